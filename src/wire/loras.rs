//! LoRAs as a client sees them: which are in the folders, what each is, and a small copy of its picture.
//!
//! A client asks for the list, and again whenever [`Event::Loras`](super::message::Event::Loras) says that it may be
//! another. Where the system tells of no changes ([`LoraList::watched`]), it asks every so often instead, for as long as a
//! person looks at the list.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::job::LoraFacts;

/// The most LoRAs that are told.
pub const LISTED_MAX: usize = 10_000;
/// The most bytes of text of all of them together.
pub const LISTED_BYTES: usize = 16 << 20;

/// A question about LoRAs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoraRequest {
    /// All that are in the folders, as they are now.
    List(ListLoras),
    /// A small copy of the picture of one.
    Picture(LoraPicture),
}

/// How a list is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListLoras {
    /// The [`LoraList::digest`] of the list that the client has; of the same list nothing is sent.
    pub known: Option<u64>,
    /// Headers that are not read after so many milliseconds are left unread; `None`: all are read.
    pub patience_ms: Option<u32>,
}

/// Which LoRA's picture, and how small.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LoraPicture {
    /// The LoRA's [`LoraInfo::path`].
    pub path: String,
    /// As of [`ThumbnailRequest::side`](super::message::ThumbnailRequest::side).
    pub side: u32,
}

/// What is answered to a [`LoraRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoraResponse {
    /// To `List`.
    List(LoraList),
    /// To `List`: it is the one that the client has.
    Same,
    /// To `Picture`: a JPEG; `None` where the LoRA has no picture.
    Picture(Option<Bytes>),
}

/// The LoRAs in the folders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LoraList {
    /// By folder and name.
    pub loras: Vec<LoraInfo>,
    /// How many more there are than are told.
    pub left_out: usize,
    /// Whether a change of any of the folders will be told; on a network file system it may not be.
    pub watched: bool,
}

/// A LoRA's file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LoraInfo {
    /// The folders that it lies in and its name, as a tag in the prompt would have it: `styles/ink`.
    pub name: String,
    /// Where it is.
    pub path: String,
    /// Whether several files have this name: then it can only be asked for by its path.
    pub shared_name: bool,
    /// Its size.
    pub bytes: u64,
    /// What it is, or why it cannot be used; `None` while its header has not been read.
    pub facts: Option<Result<LoraFacts, String>>,
    /// A picture that is beside it under its name.
    pub picture: Option<String>,
    /// Of a LoRA with a picture, beside it or in its header: another number when that is another picture.
    pub preview: Option<u64>,
}

impl LoraInfo {
    /// What a job asks for it by.
    #[must_use]
    pub fn file(&self) -> &str {
        if self.shared_name { &self.path } else { &self.name }
    }

    /// What it is, where that is known and it can be used.
    #[must_use]
    pub fn known(&self) -> Option<&LoraFacts> {
        self.facts.as_ref()?.as_ref().ok()
    }

    /// Why it cannot be used.
    #[must_use]
    pub fn unusable(&self) -> Option<&str> {
        self.facts.as_ref()?.as_ref().err().map(String::as_str)
    }

    /// Bytes of text in it.
    fn text_len(&self) -> usize {
        let facts = match &self.facts {
            Some(Ok(LoraFacts { form, kind, title, base, phrase, tags, .. })) => {
                let notes = [title, base, phrase].into_iter().flatten();
                form.len() + kind.len() + notes.chain(tags).map(String::len).sum::<usize>()
            }
            Some(Err(reason)) => reason.len(),
            None => 0,
        };
        self.name.len() + self.path.len() + facts + self.picture.as_ref().map_or(0, String::len)
    }
}

impl LoraList {
    /// As many of these as are told, of so many in all.
    #[must_use]
    pub fn bounded(loras: impl IntoIterator<Item = LoraInfo>, of: usize) -> Self {
        let mut bytes = 0;
        let fits = |lora: &LoraInfo| {
            bytes += lora.text_len();
            bytes <= LISTED_BYTES
        };
        let loras: Vec<_> = loras.into_iter().take(LISTED_MAX).take_while(fits).collect();
        let left_out = of.saturating_sub(loras.len());
        Self { loras, left_out, watched: false }
    }

    /// What tells it from other lists of the same program.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// Whether there are some whose header has not been read.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        self.loras.iter().any(|lora| lora.facts.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lora(name: String) -> LoraInfo {
        let facts = Some(Err("it is a LoRA of SDXL, not of FLUX.1".to_owned()));
        let path = format!("/loras/{name}");
        LoraInfo { path, name, shared_name: false, bytes: 1, facts, picture: None, preview: None }
    }

    #[test]
    fn a_list_is_bounded_in_number_and_bytes() {
        let many = (0..LISTED_MAX + 7).map(|number| lora(number.to_string()));
        let list = LoraList::bounded(many, LISTED_MAX + 7);
        assert_eq!((list.loras.len(), list.left_out), (LISTED_MAX, 7));
        let long = (0..20).map(|_| lora("x".repeat(1 << 20)));
        let list = LoraList::bounded(long, 20);
        assert_eq!((list.loras.len(), list.left_out), (7, 13));
    }

    #[test]
    fn a_name_that_two_files_have_is_no_name() {
        let ink = lora("ink".to_owned());
        assert_eq!(ink.file(), "ink");
        assert_eq!(LoraInfo { shared_name: true, ..ink }.file(), "/loras/ink");
    }
}
