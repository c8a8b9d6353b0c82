//! Which picture a word of the command line means.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Access;
use crate::cli::failure::Failure;
use crate::cli::show;
use crate::client::ClientError;
use crate::job::{Content, PictureId};
use crate::wire::library::{LibraryRequest, LibraryResponse};

/// A picture: its number, or the path of its file or of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Which {
    Number(PictureId),
    File(PathBuf),
}

impl FromStr for Which {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        // A file of that name is `./7`.
        Ok(digits.parse().map_or_else(|_| Self::File(text.into()), |id| Self::Number(PictureId(id))))
    }
}

impl Which {
    /// Its number in the library.
    ///
    /// # Errors
    /// [`Failure::NoPicture`] for a file that is none of the library's.
    pub async fn find(&self, access: &mut Access) -> Result<PictureId, Failure> {
        let path = match self {
            Self::Number(id) => return Ok(*id),
            Self::File(path) => path,
        };
        let unknown = || Failure::NoPicture(path.clone());
        let whole = std::path::absolute(path).ok().and_then(|path| path.into_os_string().into_string().ok());
        let whole = whole.ok_or_else(unknown)?;
        let asked = LibraryRequest::Find { path: whole, content: content(path) };
        match access.ask(asked).await? {
            LibraryResponse::Found(found) => found.ok_or_else(unknown),
            _ => Err(ClientError::Unexpected.into()),
        }
    }
}

/// What the file holds; a picture of the library may be found by its path alone where that cannot be read.
fn content(path: &Path) -> Option<Content> {
    show::read(path).ok().map(|bytes| Content::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_picture_and_all_else_a_file() {
        let which = |text: &str| text.parse::<Which>().expect("it is always one");
        assert_eq!((which("12"), which("#12")), (Which::Number(PictureId(12)), Which::Number(PictureId(12))));
        assert_eq!(
            (which("./12"), which("12.png")),
            (Which::File("./12".into()), Which::File("12.png".into()))
        );
    }
}
