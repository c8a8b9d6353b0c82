//! The files of a model: which are here, what is known of each, whether they are right, and which go when it is removed.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::catalog::find::Search;
use crate::catalog::{self, Catalog, Entry, Place, Published, Recipe, Role, Wanted};
use crate::engine::converted;
use crate::fetch::{
    Cancel, Checked, FetchError, Hubs, Kept, Ledger, Removal, Unfinished, Verdict, plan_removal, unfinished,
    verify,
};
use crate::model::{ModelName, Source};
use crate::wire::message::{CheckProgress, FileCheck, GoingFile, RemovalPlan, Soundness, StayingFile};

/// A file, and what is known of it.
pub type Known = (PathBuf, Option<Kept>);

/// Is told how far a check is, a few times a second.
pub type TellCheck<'t> = dyn Fn(CheckProgress) + Sync + 't;

/// How often progress is told.
const EVERY: Duration = Duration::from_millis(250);

/// A file and those that it is of no use without.
#[must_use]
pub fn with_companions(file: &'static Published) -> Vec<&'static Published> {
    std::iter::once(file).chain(file.with.iter().filter_map(|id| catalog::file(id))).collect()
}

/// All published files that would serve in a role.
fn published(recipe: &Recipe, role: Role) -> Vec<&'static Published> {
    match recipe.wanted(role) {
        Wanted::Given(_) => Vec::new(),
        Wanted::Published(ids) => ids.iter().filter_map(|id| catalog::file(id)).collect(),
    }
}

/// The places of all published files that a model may be made of.
#[must_use]
pub fn places_of(recipe: &Recipe) -> Vec<Place> {
    let files = Role::ALL.into_iter().flat_map(|role| published(recipe, role)).flat_map(with_companions);
    files.flat_map(|file| file.places.clone()).collect()
}

/// The places of files that the models which are here need, but for those that `but` names.
#[must_use]
pub fn needed_places(catalog: &Catalog, search: &Search<'_>, but: &[&str]) -> Vec<Place> {
    let others = catalog.entries().iter().filter(|entry| !but.contains(&entry.info.name.as_str()));
    let here = others.filter(|entry| search.weights(&entry.recipe, Role::Transformer).is_ok());
    here.flat_map(|entry| places_of(&entry.recipe)).collect()
}

/// The files of a model that are here, with what is known of those that are published.
#[must_use]
pub fn files_here(search: &Search<'_>, recipe: &Recipe, kept: &[Kept]) -> Vec<Known> {
    let mut all: Vec<Known> = Vec::new();
    for role in Role::ALL {
        let Ok(Source::File(path)) = search.weights(recipe, role) else { continue };
        let file =
            published(recipe, role).into_iter().find(|file| search.file(file, role).as_ref() == Some(&path));
        let found = file.map_or_else(|| vec![(path.clone(), None)], |file| with_beside(file, &path, kept));
        all.extend(found.into_iter().filter(|one| !all.contains(one)).collect::<Vec<_>>());
    }
    with_fetched(all, &places_of(recipe), kept)
}

/// A published file that is here and those that it needs.
#[must_use]
pub fn file_here(search: &Search<'_>, file: &'static Published, kept: &[Kept]) -> Vec<Known> {
    let path = Role::ALL.into_iter().find_map(|role| search.file(file, role));
    let found = path.map_or_else(Vec::new, |path| with_beside(file, &path, kept));
    let places: Vec<_> = with_companions(file).iter().flat_map(|file| file.places.clone()).collect();
    with_fetched(found, &places, kept)
}

/// What was found, and what was fetched from those places and is too damaged to be found.
fn with_fetched(mut found: Vec<Known>, places: &[Place], kept: &[Kept]) -> Vec<Known> {
    for kept in kept.iter().filter(|kept| places.contains(&kept.place)) {
        if found.iter().all(|(path, _)| *path != kept.file) {
            found.push((kept.file.clone(), Some(kept.clone())));
        }
    }
    found
}

/// A published file at its path and its companions beside it, as the catalogue knows them.
fn with_beside(file: &'static Published, path: &Path, kept: &[Kept]) -> Vec<Known> {
    let beside = |one: &Published| {
        if one.id == file.id { path.to_owned() } else { path.with_file_name(one.file_name()) }
    };
    let files = with_companions(file).into_iter().map(|one| (one, beside(one)));
    files.map(|(one, path)| (path.clone(), expected(one, path, kept))).collect()
}

/// What a file must be: by the catalogue, else by what its hub said when it was fetched.
fn expected(file: &Published, path: PathBuf, kept: &[Kept]) -> Option<Kept> {
    let fetched = kept.iter().find(|kept| kept.file == path);
    let bytes = file.bytes.or(fetched.map(|kept| kept.bytes))?;
    let hash = file.sha256.clone().or_else(|| fetched.and_then(|kept| kept.hash.clone()));
    let place = file.places.first()?.clone();
    Some(Kept { place, blob: path.clone(), file: path, bytes, hash })
}

/// Reads files whole and says of each whether it is right. It blocks.
///
/// # Errors
/// [`FetchError::Cancelled`] as soon as it is stopped; nothing is said then.
pub fn check_files(
    files: &[Known],
    fetched: &[Kept],
    tell: &TellCheck<'_>,
    cancel: &Cancel,
) -> Result<Vec<FileCheck>, FetchError> {
    let bytes = |file: &PathBuf| std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    let first = CheckProgress {
        total: files.iter().map(|(file, _)| bytes(file)).sum(),
        files: u32::try_from(files.len()).unwrap_or(u32::MAX),
        ..CheckProgress::default()
    };
    let (begun, progress) = (Instant::now(), Mutex::new((first, None::<Instant>)));
    let step = |change: &dyn Fn(&mut CheckProgress)| {
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, told) = &mut *progress;
        change(now);
        if told.is_none_or(|told| told.elapsed() >= EVERY) {
            *told = Some(Instant::now());
            #[expect(clippy::cast_precision_loss, reason = "a speed, shown with one decimal")]
            let read = now.done as f64;
            now.speed = read / begun.elapsed().as_secs_f64().max(1e-3);
            tell(now.clone());
        }
    };
    let mut found = Vec::with_capacity(files.len());
    for (file, kept) in files {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        step(&|now| now.file.clone_from(&name));
        let checked = verify(file, kept.as_ref(), cancel, |read| step(&|now| now.done += read));
        if checked.verdict == Verdict::Cancelled || cancel.is_stopped() {
            return Err(FetchError::Cancelled);
        }
        step(&|now| now.files_done += 1);
        let ours = fetched.iter().any(|kept| kept.file == *file);
        found.push(FileCheck {
            file: file.display().to_string(),
            bytes: checked.bytes,
            found: soundness(&checked, ours),
        });
    }
    Ok(found)
}

/// What was found, for a person; `ours` are files that removing the model removes.
fn soundness(checked: &Checked, ours: bool) -> Soundness {
    let what = match &checked.verdict {
        Verdict::Right { .. } => return Soundness::Right,
        Verdict::Unknown => return Soundness::NoHash,
        Verdict::Missing => {
            return Soundness::Bad { what: "it is missing: fetch the model again".to_owned() };
        }
        Verdict::Size { wanted } => format!("it has {} bytes and should have {wanted}", checked.bytes),
        Verdict::Wrong { wanted, got } => {
            format!("its hash is {} and should be {}", shortened(got), shortened(wanted))
        }
        Verdict::Unreadable { why } => format!("it cannot be read: {why}"),
        Verdict::Cancelled => "it was not read to its end".to_owned(),
    };
    let todo = if ours {
        "remove the model and fetch it again"
    } else {
        "it was not fetched by flux-tui: put a whole copy in its place, or move it away and fetch the model"
    };
    Soundness::Bad { what: format!("{what}; {todo}") }
}

/// The beginning of a hash, which tells it from every other.
fn shortened(hash: &str) -> String {
    hash.chars().take(12).chain(std::iter::once('…')).collect()
}

/// What removing a model means, with all that is needed to carry it out.
#[derive(Debug)]
pub struct Removing {
    /// Where the caches are.
    pub hubs: Hubs,
    /// The record of what was fetched.
    pub ledger: Ledger,
    /// What goes and what stays.
    pub removal: Removal,
    /// What the transformer was converted to, and its bytes: it goes too, unless the transformer stays.
    pub converted: Option<(PathBuf, u64)>,
    /// Whether something goes only because it is damaged: another model would need it.
    pub others_need: bool,
}

/// Plans the removal of a model. What other models need stays, but for `damaged` files, which serve nobody.
///
/// # Errors
/// A setting of the environment that cannot be used.
pub fn removing(
    (catalog, search): (&Catalog, &Search<'_>),
    entry: &Entry,
    (record, conversions): (PathBuf, &Path),
    damaged: &[PathBuf],
) -> Result<Removing, FetchError> {
    let (hubs, ledger) = (Hubs::from_env()?, Ledger::at(record));
    let shared = needed_places(catalog, search, &[entry.info.name.as_str()]);
    let kept = ledger.read();
    let places = places_of(&entry.recipe);
    let removal = plan(&hubs, (&kept, &unfinished(&hubs)), &places, shared.clone(), damaged);
    let others_need = removal.files.iter().any(|kept| shared.contains(&kept.place));
    let converted = converted_of(search, &entry.recipe, conversions)
        .filter(|(transformer, ..)| removal.stays.iter().all(|(stays, _)| stays != transformer))
        .map(|(_, file, bytes)| (file, bytes));
    Ok(Removing { hubs, ledger, removal, converted, others_need })
}

/// A model's transformer, the file in `folder` that it was converted to, and its bytes.
fn converted_of(search: &Search<'_>, recipe: &Recipe, folder: &Path) -> Option<(PathBuf, PathBuf, u64)> {
    let (transformer, complete_from) = match search.parts(recipe) {
        Ok(parts) => (parts.transformer, parts.complete_from),
        Err(_) => (search.weights(recipe, Role::Transformer).ok()?, None),
    };
    let (file, bytes) = converted::file_of(folder, &transformer, complete_from.as_ref())?;
    let Source::File(path) = transformer else { return None };
    Some((path, file, bytes))
}

/// [`plan_removal`], where what is damaged is needed by nobody.
#[must_use]
pub fn plan(
    hubs: &Hubs,
    (kept, parts): (&[Kept], &[Unfinished]),
    places: &[Place],
    mut shared: Vec<Place>,
    damaged: &[PathBuf],
) -> Removal {
    let bad = |place: &Place| kept.iter().any(|kept| kept.place == *place && damaged.contains(&kept.file));
    shared.retain(|place| !bad(place));
    plan_removal(hubs, (kept, parts), places, &shared)
}

/// The plan, for a client; `converted` is what the transformer was converted to.
#[must_use]
pub fn told(model: &ModelName, removal: &Removal, converted: Option<&(PathBuf, u64)>) -> RemovalPlan {
    let going = |path: &Path, bytes| GoingFile { file: path.display().to_string(), bytes };
    let files = removal.files.iter().map(|kept| going(&kept.file, kept.bytes));
    let parts = removal.unfinished.iter().map(|part| going(&part.part, part.have));
    let stays = removal
        .stays
        .iter()
        .map(|(path, why)| StayingFile { file: path.display().to_string(), why: (*why).to_owned() });
    RemovalPlan {
        model: model.clone(),
        goes: files.chain(parts).chain(converted.map(|(file, bytes)| going(file, *bytes))).collect(),
        bytes: removal.bytes + converted.map_or(0, |(_, bytes)| *bytes),
        stays: stays.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of a megabyte of zeros, by sha256sum.
    const ZEROS: &str = "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58";

    fn known(folder: &Path, name: &str, hash: &str) -> Known {
        let file = folder.join(name);
        std::fs::write(&file, vec![0; 1 << 20]).expect("room");
        let place = format!("hf:a/b/{name}").parse().expect("an address");
        let (blob, bytes, hash) = (file.clone(), 1 << 20, Some(hash.to_owned()));
        (file.clone(), Some(Kept { place, file, blob, bytes, hash }))
    }

    #[test]
    fn each_file_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().expect("a directory");
        let right = known(folder.path(), "right", ZEROS);
        let ours = known(folder.path(), "ours", &"0".repeat(64));
        let others = known(folder.path(), "others", &"0".repeat(64));
        let gone = (folder.path().join("gone"), right.1.clone());
        let fetched = [right.1.clone(), ours.1.clone()].map(|kept| kept.expect("it is known"));
        let told = Mutex::new(Vec::new());
        let tell = |progress| told.lock().expect("no panic").push(progress);
        let files = [right, ours, others, gone];
        let found = check_files(&files, &fetched, &tell, &Cancel::default()).expect("nobody stops it");
        let what: Vec<_> = found
            .iter()
            .map(|file| match &file.found {
                Soundness::Bad { what } => what.as_str(),
                other => panic_unless_right(other),
            })
            .collect();
        assert_eq!(what[0], "right");
        assert_eq!(
            what[1],
            "its hash is 30e14955ebf1… and should be 000000000000…; remove the model and fetch it again"
        );
        assert!(what[2].contains("not fetched by flux-tui: put a whole copy in its place"), "{}", what[2]);
        assert!(what[3].contains("it is missing: fetch the model again"), "{}", what[3]);
        let told = told.into_inner().expect("no panic");
        assert_eq!((told[0].total, told[0].files, told[0].done), (3 << 20, 4, 0));
    }

    fn panic_unless_right(found: &Soundness) -> &'static str {
        assert_eq!(*found, Soundness::Right);
        "right"
    }

    #[test]
    fn a_check_that_is_stopped_says_nothing_of_any_file() {
        let folder = tempfile::tempdir().expect("a directory");
        let files = [known(folder.path(), "one", ZEROS), known(folder.path(), "two", ZEROS)];
        let cancel = Cancel::default();
        let stopped = check_files(&files, &[], &|_| cancel.stop(), &cancel);
        assert!(matches!(stopped, Err(FetchError::Cancelled)), "{stopped:?}");
    }
}
