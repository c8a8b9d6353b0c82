//! Files that were found, brought to the library in pieces that a message holds.

use std::path::PathBuf;

use super::Access;
use super::scan;
use crate::cli::failure::Failure;
use crate::client::ClientError;
use crate::job::{Adoption, FoundPicture, Purpose};
use crate::wire::library::{LibraryRequest, LibraryResponse};

/// Bytes of text in one message, unless one picture has more.
const TEXT_MAX: usize = 256 << 10;
/// Pictures in one message.
const COUNT_MAX: usize = 200;

/// What became of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fate {
    /// The library has said it.
    Adopted(Adoption),
    /// It is no picture that the library could have: why.
    Skipped(String),
}

/// Brings files to the library.
pub(super) struct Taking<'a> {
    pub access: &'a mut Access,
    /// See [`LibraryRequest::Adopt`].
    pub purpose: Purpose,
    pub dry: bool,
}

impl Taking<'_> {
    /// What became of each file, in order.
    ///
    /// # Errors
    /// When the library cannot be asked. What was taken in before stays.
    pub async fn take(&mut self, paths: Vec<PathBuf>) -> Result<Vec<(PathBuf, Fate)>, Failure> {
        let mut fates = Vec::new();
        let (mut batch, mut text): (Vec<FoundPicture>, usize) = (Vec::new(), 0);
        for path in paths {
            match scan::examine(&path) {
                Ok(found) => {
                    let more = found.recipe.text_len() + found.path.as_os_str().len();
                    if !batch.is_empty() && (text + more > TEXT_MAX || batch.len() == COUNT_MAX) {
                        self.send(std::mem::take(&mut batch), &mut fates).await?;
                        text = 0;
                    }
                    text += more;
                    batch.push(found);
                }
                Err(reason) => fates.push((path, Fate::Skipped(reason))),
            }
        }
        self.send(batch, &mut fates).await?;
        fates.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(fates)
    }

    async fn send(
        &mut self,
        found: Vec<FoundPicture>,
        fates: &mut Vec<(PathBuf, Fate)>,
    ) -> Result<(), Failure> {
        if found.is_empty() {
            return Ok(());
        }
        let paths: Vec<PathBuf> = found.iter().map(|found| found.path.clone()).collect();
        let asked = LibraryRequest::Adopt { found, purpose: self.purpose, dry: self.dry };
        match self.access.ask(asked).await {
            Ok(LibraryResponse::Adopted(adoptions)) if adoptions.len() == paths.len() => {
                fates.extend(paths.into_iter().zip(adoptions.into_iter().map(Fate::Adopted)));
                Ok(())
            }
            // Only one that is alone can be so long.
            Err(Failure::Client(ClientError::Unsendable(reason))) if paths.len() == 1 => {
                fates.extend(paths.into_iter().map(|path| (path, Fate::Skipped(reason.clone()))));
                Ok(())
            }
            Err(failure) => Err(failure),
            Ok(_) => Err(ClientError::Unexpected.into()),
        }
    }
}
