//! Files that others publish: what each is called here, where it lies, how large it is, under which terms.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AddressError, CatalogError};

/// What an index of shards is called.
const INDEX: &str = ".safetensors.index.json";

/// A number of bytes, for a person: `23.80 GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    #[expect(clippy::cast_precision_loss, reason = "shown with two decimals at most")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        match bytes {
            0..1_000_000 => write!(f, "{:.1} kB", bytes as f64 / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.1} MB", bytes as f64 / 1e6),
            _ => write!(f, "{:.2} GB", bytes as f64 / 1e9),
        }
    }
}

/// A site that models are published on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hub {
    /// huggingface.co, or a mirror of it.
    HuggingFace,
    /// modelscope.cn.
    ModelScope,
}

impl Hub {
    /// The branch that is meant when none is named.
    #[must_use]
    pub fn usual_revision(self) -> &'static str {
        match self {
            Self::HuggingFace => "main",
            Self::ModelScope => "master",
        }
    }

    /// Its name, for a person.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HuggingFace => "Hugging Face",
            Self::ModelScope => "ModelScope",
        }
    }
}

/// Where a file lies. A person writes it as an address (`address.rs`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// On which site.
    pub hub: Hub,
    /// `OWNER/NAME`.
    pub repo: String,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// The file's path in the repository, with `/`.
    pub path: String,
}

/// A file that others publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// What it is called here.
    pub id: String,
    /// Where it lies; the same bytes everywhere. Never none.
    pub places: Vec<Place>,
    /// Its size, where that is known for certain.
    pub bytes: Option<u64>,
    /// Its SHA-256, 64 digits in lower case, where that is known for certain.
    pub sha256: Option<String>,
    /// Its licence.
    pub license: String,
    /// The page on which its terms must be accepted before the first place gives it.
    pub gate: Option<String>,
    /// Files, by id, that it is of no use without: the shards of an index. They lie beside it.
    pub with: Vec<String>,
}

impl Published {
    /// Its own name at its first place, for messages only: files are known by what is in them.
    #[must_use]
    pub fn file_name(&self) -> &str {
        let path = self.places.first().map_or(self.id.as_str(), |place| place.path.as_str());
        path.rsplit('/').next().unwrap_or(path)
    }

    /// The file at an address that a person wrote as a part of a model; the address is its id. `None` for a text that
    /// is none: a path, or an id of a list.
    ///
    /// # Errors
    /// An address that no file can have, or that is an index: whose shards are unknown.
    pub(super) fn at_address(text: &str, license: &str) -> Option<Result<Self, String>> {
        let prefixed = ["hf:", "ms:"].iter().any(|prefix| text.starts_with(prefix));
        prefixed.then(|| {
            let place: Place = text.parse().map_err(|error: AddressError| error.to_string())?;
            if place.path.ends_with(INDEX) {
                return Err(format!(
                    "{text:?} is an index of shards: list it and them as [[file]]s, the shards in its `with`"
                ));
            }
            let (id, license) = (place.to_string(), license.to_owned());
            let (bytes, sha256, gate, with) = (None, None, None, Vec::new());
            Ok(Self { id, places: vec![place], bytes, sha256, license, gate, with })
        })
    }
}

/// As `models.toml` writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    id: String,
    places: Vec<RawPlace>,
    bytes: Option<u64>,
    sha256: Option<String>,
    license: String,
    gate: Option<String>,
    #[serde(default)]
    with: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlace {
    hub: Hub,
    repo: String,
    revision: Option<String>,
    path: String,
}

/// Checks the files of a list.
pub(super) fn check(raw: Vec<RawFile>) -> Result<Vec<Published>, CatalogError> {
    let files = raw.into_iter().map(one).collect::<Result<Vec<_>, _>>()?;
    for (at, file) in files.iter().enumerate() {
        if files[..at].iter().any(|before| before.id == file.id) {
            return Err(wrong(&file.id, "id", &file.id, "there is a file of that id already"));
        }
        if let Some(unknown) = file.with.iter().find(|id| files.iter().all(|file| file.id != **id)) {
            return Err(wrong(&file.id, "with", unknown, "there is no file of that id"));
        }
    }
    Ok(files)
}

/// Checks one file by itself.
pub(super) fn one(raw: RawFile) -> Result<Published, CatalogError> {
    let id = raw.id;
    if raw.places.is_empty() {
        return Err(wrong(&id, "places", "[]", "a file lies somewhere"));
    }
    let hexadecimal = |hash: &&String| hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(hash) = raw.sha256.as_ref().filter(hexadecimal) {
        return Err(wrong(&id, "sha256", hash, "it has 64 hexadecimal digits"));
    }
    let place = |raw: RawPlace| {
        let owner_and_name = raw.repo.split('/').count() == 2 && relative(&raw.repo);
        if !owner_and_name {
            return Err(wrong(&id, "repo", &raw.repo, "it is OWNER/NAME"));
        }
        if !relative(&raw.path) {
            return Err(wrong(&id, "path", &raw.path, "it is a path below the repository, with /"));
        }
        let revision = raw.revision.unwrap_or_else(|| raw.hub.usual_revision().to_owned());
        if !relative(&revision) {
            return Err(wrong(&id, "revision", &revision, "it is a branch, a tag or a commit"));
        }
        Ok(Place { hub: raw.hub, repo: raw.repo, revision, path: raw.path })
    };
    let places = raw.places.into_iter().map(place).collect::<Result<_, _>>()?;
    let sha256 = raw.sha256.map(|hash| hash.to_lowercase());
    let (bytes, license, gate, with) = (raw.bytes, raw.license, raw.gate, raw.with);
    Ok(Published { id, places, bytes, sha256, license, gate, with })
}

/// Whether a path with `/` stays below where it begins: it is joined to caches' folders.
fn relative(path: &str) -> bool {
    let plain = |name: &str| !name.is_empty() && name != "." && name != ".." && !name.contains(['\\', '\0']);
    path.split('/').all(plain)
}

fn wrong(file: &str, field: &'static str, value: &str, works: &'static str) -> CatalogError {
    CatalogError::File { file: file.to_owned(), field, value: value.to_owned(), works }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::parse;

    fn refused(text: &str, field: &str) {
        let error = parse(text).expect_err("it is wrong");
        assert!(matches!(&error, CatalogError::File { field: found, .. } if *found == field), "{error}");
    }

    #[test]
    fn paths_that_leave_the_repository_and_hashes_that_are_none_are_refused() {
        let with = |places: &str, more: &str| {
            format!("[[file]]\nid = \"a\"\nlicense = \"MIT\"\nplaces = [{places}]\n{more}\n")
        };
        let place =
            |repo: &str, path: &str| format!("{{ hub = \"modelscope\", repo = {repo:?}, path = {path:?} }}");
        refused(&with("", ""), "places");
        for path in ["../x", "/etc/passwd", "a//b", "a/..", "", "a\\b"] {
            refused(&with(&place("o/n", path), ""), "path");
        }
        for repo in ["o", "o/n/m", "../n", "/n", ""] {
            refused(&with(&place(repo, "a"), ""), "repo");
        }
        refused(&with(&place("o/n", "a"), "sha256 = \"12\""), "sha256");
        refused(&with(&place("o/n", "a"), "with = [\"b\"]"), "with");
        refused(&with(&place("o/n", "a"), "").repeat(2), "id");
    }
}
