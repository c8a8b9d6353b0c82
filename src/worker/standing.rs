//! What there is of each model of the catalogue, and the fetching of what is not.

use std::path::PathBuf;

use super::fetching::{Tell, Unfetched, fetch_files};
use crate::catalog::find::{Lacking, Missing, Search, to_fetch};
use crate::catalog::{Entry, Hub, Published, Role};
use crate::engine::weights::identify;
use crate::fetch::{self, Cancel, Hubs, Options, Wanted};
use crate::model::Source;
use crate::wire::message::{Gate, Lacks, ModelState, Refusal, Standing, ToFetch};

/// What there is of a model. Without `hubs`, as where the environment is wrong, nothing is said of their caches.
pub(super) fn state(entry: &Entry, search: &Search<'_>, hubs: Option<&Hubs>) -> ModelState {
    let (mut here, mut missing) = (Vec::new(), Vec::new());
    for role in Role::ALL {
        match search.weights(&entry.recipe, role) {
            // One file may have several parts.
            Ok(source) if here.contains(&source) => {}
            Ok(source) => here.push(source),
            Err(lacks) => missing.push(lacks),
        }
    }
    let bytes = here.iter().map(weight_bytes).sum();
    let standing =
        if missing.is_empty() { Standing::Ready } else { Standing::Lacks(lacks(entry, missing, hubs)) };
    ModelState { info: entry.info.clone(), bytes, standing }
}

/// Fetches what is missing of a model, and records it in the file `record`.
///
/// # Errors
/// [`Unfetched`].
pub(super) fn fetch(
    entry: &Entry,
    missing: Vec<Missing>,
    record: PathBuf,
    tell: &Tell<'_>,
    cancel: &Cancel,
) -> Result<(), Unfetched> {
    if missing.iter().any(|missing| missing.files.is_empty()) {
        let lacking = Lacking { model: entry.info.name.clone(), missing };
        return Err(Refusal::LackingModel(lacking.to_string()).into());
    }
    let wanted: Vec<Wanted> = to_fetch(&missing).into_iter().map(Wanted::from).collect();
    fetch_files(&wanted, &Hubs::from_env()?, &Options::default(), record, tell, cancel)
}

/// Bytes of weights; what cannot be read has none.
#[must_use]
pub fn weight_bytes(source: &Source) -> u64 {
    match source {
        Source::Embedded { bytes, .. } => bytes.len() as u64,
        Source::File(path) => {
            let several = path.is_dir() || path.extension().is_some_and(|extension| extension == "json");
            if several {
                identify(path).map_or(0, |identity| identity.parts.iter().map(|found| found.bytes).sum())
            } else {
                std::fs::metadata(path).map_or(0, |metadata| metadata.len())
            }
        }
    }
}

fn lacks(entry: &Entry, missing: Vec<Missing>, hubs: Option<&Hubs>) -> Lacks {
    let fetchable = missing.iter().all(|missing| !missing.files.is_empty());
    let files = to_fetch(&missing);
    let parts = missing.iter().map(|missing| missing.role.key().to_owned()).collect();
    let lacking = Lacking { model: entry.info.name.clone(), missing };
    Lacks { parts, fetch: fetchable.then(|| sum(&files, hubs)), reason: lacking.to_string() }
}

fn sum(files: &[&'static Published], hubs: Option<&Hubs>) -> ToFetch {
    let wanted: Vec<Wanted> = files.iter().map(|file| Wanted::from(*file)).collect();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let (first, missing_token) = (wanted.first(), hubs.and_then(missing_token));
    ToFetch {
        files: count(files.len()),
        of_unknown_size: count(files.iter().filter(|file| file.bytes.is_none()).count()),
        bytes: files.iter().filter_map(|file| file.bytes).sum(),
        have: hubs.map_or(0, |hubs| wanted.iter().map(|file| fetch::already_here(hubs, file)).sum()),
        free: hubs.zip(first).and_then(|(hubs, file)| fetch::room(hubs, file, fetch::free)),
        gate: files.iter().find_map(|file| file.gate.clone()).map(|page| Gate { page, missing_token }),
    }
}

/// The variable to set: only Hugging Face has gates.
fn missing_token(hubs: &Hubs) -> Option<String> {
    hubs.server(Hub::HuggingFace).token.is_none().then(|| "HF_TOKEN".to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::catalog::{self, places::Places};
    use crate::model::ModelName;

    fn of(name: &str, home: &Path, token: Option<&str>) -> ModelState {
        let hubs = Hubs::from_lookup(|variable| match variable {
            "HOME" => Some(home.into()),
            "HF_TOKEN" => token.map(Into::into),
            _ => None,
        });
        let entry = catalog::find(&ModelName::new(name)).expect("it is known");
        let recognise = |_: &Path| Err("there is no file".to_owned());
        state(&entry, &Search::new(Places::default(), &recognise), Some(&hubs.expect("a home")))
    }

    #[test]
    fn a_model_that_is_not_here_says_what_it_takes_and_which_terms_and_token_are_wanted() {
        let home = tempfile::tempdir().expect("a directory");
        let nano = of("nano", home.path(), None);
        assert!(nano.is_ready() && nano.bytes > 20_000_000, "{nano:?}");
        let dev = of("flux1-dev", home.path(), None);
        let Standing::Lacks(Lacks { parts, fetch: Some(fetch), reason }) = dev.standing else {
            panic!("{dev:?}")
        };
        assert_eq!(parts, ["transformer", "t5", "clip", "vae"]);
        assert_eq!((fetch.files, fetch.of_unknown_size, fetch.bytes / 1_000_000), (4, 0, 34_172));
        assert!(fetch.free.is_some() && fetch.have == 0);
        let gate = fetch.gate.expect("it is gated");
        assert_eq!(gate.page, "https://huggingface.co/black-forest-labs/FLUX.1-dev");
        assert_eq!(gate.missing_token.as_deref(), Some("HF_TOKEN"));
        assert!(reason.contains("missing: the transformer"), "{reason}");
        let with_token = of("flux1-dev", home.path(), Some("hf_x"));
        let Standing::Lacks(Lacks { fetch: Some(fetch), .. }) = with_token.standing else {
            panic!("{with_token:?}")
        };
        assert_eq!(fetch.gate.expect("it is gated still").missing_token, None);
    }
}
