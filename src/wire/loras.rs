//! LoRAs as a client sees them: which are in the folders, and what each is.

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
    List,
}

/// What is answered to a [`LoraRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoraResponse {
    /// To `List`.
    List(LoraList),
}

/// The LoRAs in the folders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoraList {
    /// By folder and name.
    pub loras: Vec<LoraInfo>,
    /// How many more there are than are told.
    pub left_out: usize,
}

/// A LoRA's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoraInfo {
    /// The folders that it lies in and its name, as a tag in the prompt would have it: `styles/ink`.
    pub name: String,
    /// Where it is.
    pub path: String,
    /// Whether several files have this name: then it can only be asked for by its path.
    pub shared_name: bool,
    /// Its size.
    pub bytes: u64,
    /// What it is, or why it cannot be used.
    pub facts: Result<LoraFacts, String>,
    /// A picture that is beside it under its name.
    pub picture: Option<String>,
}

impl LoraInfo {
    /// What a job asks for it by.
    #[must_use]
    pub fn file(&self) -> &str {
        if self.shared_name { &self.path } else { &self.name }
    }

    /// Bytes of text in it.
    fn text_len(&self) -> usize {
        let facts = match &self.facts {
            Ok(LoraFacts { form, kind, title, base, phrase, tags, .. }) => {
                let notes = [title, base, phrase].into_iter().flatten();
                form.len() + kind.len() + notes.chain(tags).map(String::len).sum::<usize>()
            }
            Err(reason) => reason.len(),
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
        Self { loras, left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lora(name: String) -> LoraInfo {
        let facts = Err("it is a LoRA of SDXL, not of FLUX.1".to_owned());
        LoraInfo { path: format!("/loras/{name}"), name, shared_name: false, bytes: 1, facts, picture: None }
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
