//! How a person writes a published file's place: `hf:ORG/NAME/PATH`, or with a revision `hf:ORG/NAME@REVISION/PATH`.
//!
//! `hf` is Hugging Face, `ms` ModelScope. On the command line and as a part in `models.toml` the form is the same.
//! Everything here ends up in URLs and in the names of files, so it is checked letter by letter before either is made.

use std::fmt;
use std::str::FromStr;

use super::published::{Hub, Place};

/// Longer names and paths are no hub's.
const LENGTH_MAX: usize = 1024;

/// What an address on a hub begins with.
fn prefix(hub: Hub) -> &'static str {
    match hub {
        Hub::HuggingFace => "hf",
        Hub::ModelScope => "ms",
    }
}

/// An address that names no file that could be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not of the form.
    #[error("{0:?} is no address: write hf:ORG/NAME/PATH (Hugging Face) or ms:ORG/NAME/PATH (ModelScope)")]
    Form(String),
    /// A repository's name with something else in it.
    #[error("{0:?} is no repository: ORG/NAME of letters, digits, `-`, `_` and `.`")]
    Repo(String),
    /// A revision with something else in it.
    #[error("{0:?} is no revision: a branch, a tag or a commit")]
    Revision(String),
    /// A path that leaves the repository, or that no file can have.
    #[error("{path:?} is no path of a file in a repository: {why}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Place {
    /// That its names can be put into URLs and below a folder.
    ///
    /// # Errors
    /// The first name that cannot.
    pub fn check(&self) -> Result<(), AddressError> {
        if !is_repo(&self.repo) {
            return Err(AddressError::Repo(self.repo.clone()));
        }
        if !is_revision(&self.revision) {
            return Err(AddressError::Revision(self.revision.clone()));
        }
        check_path(&self.path).map_err(|why| AddressError::Path { path: self.path.clone(), why })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hub, repo, revision, path } = self;
        let at = if revision == hub.usual_revision() { String::new() } else { format!("@{revision}") };
        write!(f, "{}:{repo}{at}/{path}", prefix(*hub))
    }
}

impl FromStr for Place {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let form = || AddressError::Form(text.to_owned());
        let (prefix, rest) = text.split_once(':').ok_or_else(form)?;
        let hub = match prefix {
            "hf" => Hub::HuggingFace,
            "ms" => Hub::ModelScope,
            _ => return Err(form()),
        };
        let mut parts = rest.splitn(3, '/');
        let (Some(owner), Some(name), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(form());
        };
        let (name, revision) = name.split_once('@').unwrap_or((name, hub.usual_revision()));
        let place = Self {
            hub,
            repo: format!("{owner}/{name}"),
            revision: revision.to_owned(),
            path: path.to_owned(),
        };
        place.check().map(|()| place)
    }
}

/// Whether the text can be one name of a file below a folder, without any sense to a shell or a file system.
pub(crate) fn is_plain_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.len() <= 128 && !text.starts_with('.') && text.chars().all(plain)
}

fn is_repo(repo: &str) -> bool {
    repo.split_once('/').is_some_and(|(owner, name)| is_plain_name(owner) && is_plain_name(name))
}

fn is_revision(revision: &str) -> bool {
    revision.len() <= 256 && revision.split('/').all(is_plain_name)
}

/// That the path stays below whatever folder it is joined to.
fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() || path.ends_with('/') {
        return Err("it names no file");
    }
    if path.len() > LENGTH_MAX {
        return Err("it is too long");
    }
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return Err("it has a control character or a backslash in it");
    }
    if path.split('/').any(|name| matches!(name, "" | "." | "..")) {
        return Err("it leaves the repository, or has an empty name in it");
    }
    if path.split('/').any(|name| name.len() > 255) {
        return Err("a name in it is longer than a file's can be");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written_back() {
        for text in [
            "hf:black-forest-labs/FLUX.1-dev/ae.safetensors",
            "hf:black-forest-labs/FLUX.1-dev@refs/text_encoder/model.safetensors",
            "ms:MAILAND/majicflus_v1/majicflus_v134.safetensors",
            "hf:a/b/测试 目录/x y.safetensors",
        ] {
            let place: Place = text.parse().expect("an address");
            assert_eq!(place.to_string(), text);
        }
        let place: Place = "ms:a/b/c/d".parse().expect("an address");
        assert_eq!((place.revision.as_str(), place.path.as_str()), ("master", "c/d"));
    }

    #[test]
    fn what_leaves_the_folder_is_refused() {
        for text in [
            "hf:a/b/../c",
            "hf:a/b//etc/passwd",
            "hf:a/b/c/./d",
            "hf:a/b/c\\d",
            "hf:a/b/c\u{7}",
            "hf:a/b/c/",
            "hf:../b/c",
            "hf:a/../c",
            "hf:a/b@../c",
            "hf:a/b",
            "a/b/c",
            "gh:a/b/c",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
