//! Finding what a model is made of on this machine.
//!
//! A published file is looked for at its places in the hubs' caches, then anywhere in the folders of [`Places`]. There it
//! is known by its content, and where several files have such a content, by its size. Its name says nothing: people
//! rename files, and other programs' names for one file differ.
//!
//! An encoder of the right shapes serves even if it is none of the published ones. A transformer does not, because a
//! fine-tune has the same shapes; nor does a VAE alone, because SD3's has the same shapes and other scales.

use std::cell::{OnceCell, RefCell};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::places::Places;
use super::published::{Bytes, Published};
use super::recipe::{Recipe, Role, Wanted};
use super::walk::{Walk, Walks, walk};
use crate::model::{ModelName, Parts, Source};

/// Which roles a weight file of FLUX.1's size can play, by its content; or why it is of no use. It must be quick: it is
/// asked of every large file.
pub type Recognise<'r> = dyn Fn(&Path) -> Result<Vec<Role>, String> + 'r;

/// One look at this machine: every folder is gone through once, every file is opened once.
pub struct Search<'r> {
    places: Places,
    recognise: &'r Recognise<'r>,
    walks: Option<&'r Walks>,
    walk: OnceCell<Arc<Walk>>,
    known: RefCell<HashMap<PathBuf, Result<Vec<Role>, String>>>,
}

impl fmt::Debug for Search<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").field("places", &self.places).finish_non_exhaustive()
    }
}

/// Weights that are not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub role: Role,
    /// The files that would serve, the one to fetch first.
    pub files: Vec<&'static Published>,
    /// What is where one of them should be and is not it.
    pub passed_over: Vec<PassedOver>,
}

/// A file that is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

impl<'r> Search<'r> {
    /// Looks in these places; nothing is read yet.
    #[must_use]
    pub fn new(places: Places, recognise: &'r Recognise<'r>) -> Self {
        Self { places, recognise, walks: None, walk: OnceCell::new(), known: RefCell::default() }
    }

    /// The same, where folders that have not changed since an earlier look are not gone through again.
    #[must_use]
    pub fn keeping(self, walks: &'r Walks) -> Self {
        Self { walks: Some(walks), ..self }
    }

    /// All parts of a model.
    ///
    /// # Errors
    /// The weights that are not here.
    pub fn parts(&self, recipe: &Recipe) -> Result<Parts, Vec<Missing>> {
        let missing = self.missing(recipe);
        if missing.is_empty() {
            let transformer = |wanted| self.find(wanted, Role::Transformer).ok();
            let complete_from = recipe.complete_from.as_ref().and_then(transformer);
            recipe.parts(complete_from, |role| self.weights(recipe, role)).map_err(|one| vec![one])
        } else {
            Err(missing)
        }
    }

    /// The weights of a model that are not here.
    #[must_use]
    pub fn missing(&self, recipe: &Recipe) -> Vec<Missing> {
        Role::ALL.into_iter().filter_map(|role| self.weights(recipe, role).err()).collect()
    }

    /// Where the weights of a role are.
    ///
    /// # Errors
    /// When they are nowhere: what would serve.
    pub fn weights(&self, recipe: &Recipe, role: Role) -> Result<Source, Missing> {
        self.find(recipe.wanted(role), role)
    }

    fn find(&self, wanted: &Wanted, role: Role) -> Result<Source, Missing> {
        let ids = match wanted {
            Wanted::Given(source) => return given(source, role),
            Wanted::Published(ids) => ids,
        };
        let files: Vec<&'static Published> = ids.iter().filter_map(|id| super::file(id)).collect();
        let mut passed_over = Vec::new();
        let published = files.iter().find_map(|file| self.published(file, role, &mut passed_over));
        match published.or_else(|| self.by_content(role)) {
            Some(path) => Ok(Source::File(path)),
            None => Err(Missing { role, files, passed_over }),
        }
    }

    /// Where a published file is.
    #[must_use]
    pub fn file(&self, file: &Published, role: Role) -> Option<PathBuf> {
        self.published(file, role, &mut Vec::new())
    }

    /// Transformers that are none of the published files, but fine-tunes: by path, to be drawn by their path.
    #[must_use]
    pub fn other_transformers(&self) -> Vec<PathBuf> {
        let published = |bytes: u64| super::files().any(|file| file.bytes == Some(bytes));
        let others = self.walk().files.iter().filter(|(_, bytes)| !published(*bytes));
        let transformers = others.filter(|(path, _)| self.plays(path, Role::Transformer));
        transformers.map(|(path, _)| path.clone()).collect()
    }

    /// Whether folders have more files than are looked at.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.walk().cut
    }

    fn published(&self, file: &Published, role: Role, passed_over: &mut Vec<PassedOver>) -> Option<PathBuf> {
        let candidates = file.places.iter().flat_map(|place| self.places.candidates(place));
        for path in candidates {
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            match self.check(&path, metadata.len(), file, role) {
                Ok(()) => return Some(path),
                Err(reason) => {
                    let known = passed_over.iter().any(|passed| passed.path == path);
                    passed_over.extend((!known).then_some(PassedOver { path, reason }));
                }
            }
        }
        let bytes = file.bytes?;
        let of_its_size = self.walk().files.iter().filter(|(_, found)| *found == bytes);
        of_its_size.map(|(path, _)| path).find(|path| self.plays(path, role)).cloned()
    }

    /// That what lies at a file's place is that file.
    fn check(&self, path: &Path, found: u64, file: &Published, role: Role) -> Result<(), String> {
        if let Some(bytes) = file.bytes.filter(|bytes| *bytes != found) {
            return Err(format!(
                "it has {found} bytes and {bytes} are published: it is not whole, or another file"
            ));
        }
        let roles = self.roles(path)?;
        if roles.contains(&role) { Ok(()) } else { Err(format!("by its content it is not {role} of FLUX.1")) }
    }

    /// A file in any folder that can play a role whoever published it: what does nothing else first, then the largest,
    /// which is the most precise.
    fn by_content(&self, role: Role) -> Option<PathBuf> {
        if role == Role::Transformer {
            return None;
        }
        let serves = |roles: &[Role]| match role {
            Role::Vae => roles.contains(&Role::Vae) && roles.contains(&Role::Transformer),
            _ => roles.contains(&role),
        };
        let files = self.walk().files.iter();
        let roles = files.filter_map(|(path, bytes)| Some((path, *bytes, self.roles(path).ok()?)));
        let serving = roles.filter(|(_, _, roles)| serves(roles));
        serving
            .min_by_key(|(path, bytes, roles)| (roles.len(), Reverse(*bytes), *path))
            .map(|(path, ..)| path.clone())
    }

    fn plays(&self, path: &Path, role: Role) -> bool {
        self.roles(path).is_ok_and(|roles| roles.contains(&role))
    }

    fn roles(&self, path: &Path) -> Result<Vec<Role>, String> {
        if let Some(known) = self.known.borrow().get(path) {
            return known.clone();
        }
        let roles = (self.recognise)(path);
        self.known.borrow_mut().insert(path.to_owned(), roles.clone());
        roles
    }

    fn walk(&self) -> &Walk {
        let folders = &self.places.folders;
        self.walk.get_or_init(|| match self.walks {
            Some(walks) => walks.of(folders, SystemTime::now()),
            None => Arc::new(walk(folders)),
        })
    }
}

/// What a person has named, if there is such a file. What is in it shows when it is opened.
fn given(source: &Source, role: Role) -> Result<Source, Missing> {
    match source {
        Source::File(path) if !path.exists() => {
            let passed = PassedOver { path: path.clone(), reason: "there is no such file".to_owned() };
            Err(Missing { role, files: Vec::new(), passed_over: vec![passed] })
        }
        there => Ok(there.clone()),
    }
}

/// What must be fetched for weights that are missing: for each the first file that serves, with all that it needs.
#[must_use]
pub fn to_fetch(missing: &[Missing]) -> Vec<&'static Published> {
    let mut files: Vec<&'static Published> = Vec::new();
    for file in missing.iter().filter_map(|missing| missing.files.first()) {
        for file in std::iter::once(*file).chain(file.with.iter().filter_map(|id| super::file(id))) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    files
}

/// A model that is known and of which something is missing, for a person: what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// What is drawn with: a model's name or a transformer's path.
    pub model: ModelName,
    /// What is not here. Never nothing.
    pub missing: Vec<Missing>,
}

impl std::error::Error for Lacking {}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = to_fetch(&self.missing);
        write!(f, "{} cannot be drawn with yet; missing: {}", self.model, self.missing_parts().join(", "))?;
        if !files.is_empty() {
            self.fetching(f, &files)?;
        }
        for PassedOver { path, reason } in self.missing.iter().flat_map(|missing| &missing.passed_over) {
            write!(f, "\n{} was passed over: {reason}", path.display())?;
        }
        Ok(())
    }
}

impl Lacking {
    /// The parts, those that one file has together: `the CLIP encoder (clip_l.safetensors, 246.1 MB)`.
    fn missing_parts(&self) -> Vec<String> {
        let together =
            self.missing.chunk_by(|a, b| !a.files.is_empty() && a.files.first() == b.files.first());
        let parts = |missing: &[Missing]| {
            let roles: Vec<_> = missing.iter().map(|missing| missing.role.to_string()).collect();
            let roles = roles.join(" and ");
            match missing.first().and_then(|missing| missing.files.first()) {
                Some(file) => format!("{roles} ({}{})", file.file_name(), comma(file.bytes)),
                None => roles,
            }
        };
        together.map(parts).collect()
    }

    /// How to get files, and under which terms.
    fn fetching(&self, f: &mut fmt::Formatter<'_>, files: &[&'static Published]) -> fmt::Result {
        let pull = match self.model.as_path() {
            None => self.model.to_string(),
            Some(_) => files.iter().map(|file| file.id.as_str()).collect::<Vec<_>>().join(" "),
        };
        write!(f, ". `flux-tui models pull {pull}` fetches {}", Total(files))?;
        let mut gates: Vec<_> =
            files.iter().filter_map(|file| Some((file.gate.as_ref()?, &file.license))).collect();
        gates.dedup();
        for (gate, license) in gates {
            write!(f, "; first accept the terms ({license}) at {gate}")?;
        }
        write!(
            f,
            ". Files that are here already are found in the folders that models.toml names: folders = [\"/folder\"]"
        )
    }
}

/// `, 246.1 MB`, where the size is known.
fn comma(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| format!(", {}", Bytes(bytes)))
}

/// The size of files together, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub struct Total<'f>(pub &'f [&'static Published]);

impl fmt::Display for Total<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.iter().filter_map(|file| file.bytes).sum();
        let unknown = self.0.iter().filter(|file| file.bytes.is_none()).count();
        match (total, unknown) {
            (0, _) => write!(f, "files of unknown size"),
            (total, 0) => write!(f, "{}", Bytes(total)),
            (total, 1) => write!(f, "{} and a file of unknown size", Bytes(total)),
            (total, unknown) => write!(f, "{} and {unknown} files of unknown size", Bytes(total)),
        }
    }
}
