//! What the words of `models pull`, `verify` and `remove` mean: a model, a published file by its id, an address, a path.

use std::path::PathBuf;

use crate::catalog::find::{Search, to_fetch as files_of};
use crate::catalog::{self, Catalog, Entry, Place, Published};
use crate::cli::failure::Failure;
use crate::cli::generate::catalog;
use crate::fetch::{FetchError, Kept, Unfinished, Wanted};
use crate::model::ModelName;
use crate::paths::Paths;
use crate::worker::{Recogniser, file_here, files_here, needed_places, places_of, search, with_companions};

/// A word of the command line that is no path.
enum Word {
    Model(Box<Entry>),
    File(&'static Published),
    Address(Place),
}

impl Word {
    fn new(catalog: &Catalog, word: &str) -> Result<Self, Failure> {
        if let Some(entry) = catalog.find(&ModelName::new(word)) {
            return Ok(Self::Model(Box::new(entry)));
        }
        if let Some(file) = catalog::file(word) {
            return Ok(Self::File(file));
        }
        if word.contains(':') {
            return word
                .parse()
                .map(Self::Address)
                .map_err(|error| Failure::Fetch(FetchError::Address(error)));
        }
        let known: Vec<_> = catalog.entries().iter().map(|entry| entry.info.name.to_string()).collect();
        Err(Failure::NoFiles { word: word.to_owned(), known: known.join(", ") })
    }
}

/// The files to fetch, each with what it is called in a report. Of a model those that are not here.
pub(super) fn to_fetch(words: &[String]) -> Result<Vec<(String, Wanted)>, Failure> {
    with_catalog(|catalog, search| {
        let mut all: Vec<(String, Wanted)> = Vec::new();
        for word in words {
            let files = match Word::new(catalog, word)? {
                Word::Model(entry) => named(&files_of(&search.missing(&entry.recipe))),
                Word::File(file) => named(&with_companions(file)),
                Word::Address(place) => vec![(place.to_string(), known(place))],
            };
            let new: Vec<_> =
                files.into_iter().filter(|(_, file)| all.iter().all(|(_, one)| one != file)).collect();
            all.extend(new);
        }
        Ok(all)
    })
}

/// The files to check, each with what is known of it. Without a word all that was fetched.
pub(super) fn to_verify(words: &[String], kept: &[Kept]) -> Result<Vec<(PathBuf, Option<Kept>)>, Failure> {
    let of_kept = |kept: &Kept| (kept.file.clone(), Some(kept.clone()));
    if words.is_empty() {
        return Ok(kept.iter().map(of_kept).collect());
    }
    with_catalog(|catalog, search| {
        let mut all = Vec::new();
        for word in words {
            let path = std::path::absolute(word).unwrap_or_else(|_| PathBuf::from(word));
            match Word::new(catalog, word) {
                Ok(Word::Model(entry)) => all.extend(files_here(search, &entry.recipe, kept)),
                Ok(Word::File(file)) => all.extend(file_here(search, file, kept)),
                Ok(Word::Address(place)) => {
                    all.extend(kept.iter().filter(|kept| kept.place == place).map(of_kept));
                }
                Err(_) if path.exists() => {
                    let of = kept.iter().find(|kept| kept.file == path || kept.blob == path).cloned();
                    all.push((path, of));
                    continue;
                }
                Err(failure) => return Err(failure),
            }
            if all.is_empty() {
                return Err(Failure::NotFetched(word.clone()));
            }
        }
        Ok(all)
    })
}

/// The places of the files to remove, and those of files that other models that are here need.
pub(super) fn to_remove(
    words: &[String],
    kept: &[Kept],
    parts: &[Unfinished],
) -> Result<(Vec<Place>, Vec<Place>), Failure> {
    with_catalog(|catalog, search| {
        let (mut places, mut models) = (Vec::new(), Vec::new());
        for word in words {
            let meant: Vec<Place> = match Word::new(catalog, word)? {
                Word::Model(entry) => {
                    models.push(entry.info.name.clone());
                    places_of(&entry.recipe)
                }
                Word::File(file) => {
                    with_companions(file).iter().flat_map(|file| file.places.clone()).collect()
                }
                Word::Address(place) => vec![place],
            };
            let mut here = kept.iter().map(|kept| &kept.place).chain(parts.iter().map(|part| &part.place));
            if !here.any(|place| meant.contains(place)) {
                return Err(Failure::NotFetched(word.clone()));
            }
            places.extend(meant);
        }
        // Only a whole model is removed with care for others; a file that was named is meant.
        let named: Vec<&str> = models.iter().map(ModelName::as_str).collect();
        let shared = if named.is_empty() { Vec::new() } else { needed_places(catalog, search, &named) };
        Ok((places, shared))
    })
}

fn with_catalog<T>(act: impl FnOnce(&Catalog, &Search<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
    let paths = Paths::from_env()?;
    let catalog = catalog(&paths.config);
    search(&catalog, &paths, &Recogniser::default(), |search| act(&catalog, search))
}

fn named(files: &[&Published]) -> Vec<(String, Wanted)> {
    files.iter().map(|file| (file.id.clone(), Wanted::from(*file))).collect()
}

/// A place with what the catalogue knows of the file there.
fn known(place: Place) -> Wanted {
    let file = catalog::files().find(|file| file.places.contains(&place));
    let (bytes, sha256) = file.map_or((None, None), |file| (file.bytes, file.sha256.clone()));
    Wanted { places: vec![place], bytes, sha256 }
}
