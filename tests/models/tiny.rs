//! Models that are small enough to be fetched and drawn with in a test: nano with some of its files on the hub.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flux_tui::catalog::{self, Place, Role, Wanted as Weights};
use flux_tui::device::Device;
use flux_tui::engine::{self, Counter, Draw, EngineError, Observer, Placement};
use flux_tui::fetch::{Cancel, Hubs, Kept, Ledger, Options, Removal, Wanted, unfinished};
use flux_tui::model::{ModelInfo, ModelName, Parts, Source};
use flux_tui::wire::message::{FileCheck, Lacks, ModelState, Refusal, Standing, ToFetch};
use flux_tui::worker::{
    Count, Known, Models, PlannedRemoval, Tell, TellCheck, Unchecked, Unfetched, check_files, fetch_files,
    plan_removal_of, removal_told,
};

use crate::server::{COMMIT, Manner, Server};

/// A file of nano, where the hub has it, and what it is.
type OnHub = (Role, &'static str, &'static str);

const TRANSFORMER: OnHub =
    (Role::Transformer, "me/tiny/flux1-nano.safetensors", "flux1-nano-fp8.safetensors");
const VAE: OnHub = (Role::Vae, "me/tiny/ae.safetensors", "ae.safetensors");
const CLIP: OnHub = (Role::Clip, "me/other/clip.safetensors", "clip.safetensors");

/// Each model, and what of it is on the hub; the rest is in the program.
const MODELS: [(&str, &[OnHub]); 4] =
    [("nano", &[]), ("tiny", &[TRANSFORMER, VAE]), ("other", &[CLIP]), ("both", &[VAE, CLIP])];

/// Publishes the files of all of them.
pub fn publish(server: &Server, manner: &Manner) {
    for (_, address, file) in [TRANSFORMER, VAE, CLIP] {
        server.publish(address, content(file), manner.clone());
    }
}

/// As fast as it goes, named by its hash as large files are.
pub fn fast() -> Manner {
    Manner { lfs: true, ..Manner::default() }
}

/// Slow enough for a record of what has come to be written.
pub fn slow() -> Manner {
    Manner { pace: Some((32 * 1024, Duration::from_millis(20))), ..fast() }
}

fn content(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nano").join(file);
    std::fs::read(path).expect("nano is whole")
}

/// The models, fetched to a home by the variables that a person would set.
#[derive(Debug, Clone)]
pub struct Tiny {
    hubs: Hubs,
    record: PathBuf,
    /// While it is set a check does not get beyond its first word, until it is cancelled.
    pub held: Arc<AtomicBool>,
}

impl Tiny {
    pub fn new(home: &Path, server: &Server) -> Self {
        let (record, endpoint, home) = (home.join("fetched.json"), server.endpoint(), home.to_owned());
        let hubs = Hubs::from_lookup(|name| match name {
            "HOME" => Some(home.clone().into()),
            "HF_ENDPOINT" | "MODELSCOPE_ENDPOINT" => Some(endpoint.clone().into()),
            _ => None,
        });
        Self { hubs: hubs.expect("these can be used"), record, held: Arc::default() }
    }

    /// Where a file comes to.
    pub fn path(&self, address: &str) -> PathBuf {
        let (repo, file) = address.rsplit_once('/').expect("a file in a repository");
        let folder = format!("models--{}", repo.replace('/', "--"));
        self.hubs.huggingface.cache.join(folder).join("snapshots").join(COMMIT).join(file)
    }

    fn missing(&self, files: &[OnHub]) -> Vec<OnHub> {
        files.iter().filter(|(_, address, _)| !self.path(address).exists()).copied().collect()
    }

    /// Whether all of a model is there.
    pub fn has(&self, model: &str) -> bool {
        self.missing(files_of(&ModelName::new(model))).is_empty()
    }

    /// The files of a model that were fetched, and all of the record.
    fn fetched(&self, name: &ModelName) -> (Vec<Known>, Vec<Kept>) {
        let (places, kept) = (places_of(name), Ledger::at(self.record.clone()).read());
        let of_model = kept.iter().filter(|kept| places.contains(&kept.place));
        (of_model.map(|kept| (kept.file.clone(), Some(kept.clone()))).collect(), kept)
    }

    fn plan(&self, name: &ModelName, damaged: &[PathBuf]) -> (Removal, bool) {
        let others =
            MODELS.iter().filter(|(other, files)| *other != name.as_str() && self.missing(files).is_empty());
        let shared: Vec<Place> = others.flat_map(|(other, _)| places_of(&ModelName::new(*other))).collect();
        let kept = Ledger::at(self.record.clone()).read();
        let parts = unfinished(&self.hubs);
        let removal = plan_removal_of(&self.hubs, (&kept, &parts), &places_of(name), shared.clone(), damaged);
        let others_need = removal.files.iter().any(|kept| shared.contains(&kept.place));
        (removal, others_need)
    }

    fn parts(&self, name: &ModelName) -> Parts {
        let recipe = catalog::find(&ModelName::new("nano")).expect("it is built in").recipe;
        let weights = |role| match files_of(name).iter().find(|(of, ..)| *of == role) {
            Some((_, address, _)) => Source::File(self.path(address)),
            None => match recipe.wanted(role) {
                Weights::Given(source) => source.clone(),
                Weights::Published(ids) => panic!("{ids:?} are not built in"),
            },
        };
        let parts: Result<Parts, Infallible> = recipe.parts(None, |role| Ok(weights(role)));
        parts.unwrap_or_else(|never| match never {})
    }
}

fn files_of(name: &ModelName) -> &'static [OnHub] {
    MODELS.iter().find(|(known, _)| *known == name.as_str()).expect("it is one of these").1
}

fn places_of(name: &ModelName) -> Vec<Place> {
    let place = |(_, address, _): &OnHub| format!("hf:{address}").parse().expect("an address");
    files_of(name).iter().map(place).collect()
}

fn info(name: &str) -> ModelInfo {
    let nano = catalog::find(&ModelName::new("nano")).expect("it is built in").info;
    ModelInfo { name: ModelName::new(name), about: format!("{name}, for tests"), ..nano }
}

/// The first file's size and hash are known, as in the catalogue; those of the others the hub tells.
fn wanted(missing: &[OnHub]) -> Vec<Wanted> {
    let file = |(at, (_, address, file)): (usize, &OnHub)| {
        let place: Place = format!("hf:{address}").parse().expect("an address");
        let known = (at == 0).then(|| content(file));
        let (bytes, sha256) = (
            known.as_ref().map(|content| content.len() as u64),
            known.map(|content| crate::server::sha256(&content)),
        );
        Wanted { bytes, sha256, ..place.into() }
    };
    missing.iter().enumerate().map(file).collect()
}

impl Models for Tiny {
    fn infos(&self) -> Vec<ModelInfo> {
        MODELS
            .iter()
            .filter(|(_, files)| self.missing(files).is_empty())
            .map(|(name, _)| info(name))
            .collect()
    }

    fn states(&self) -> Vec<ModelState> {
        let state = |(name, files): &(&str, &[OnHub])| {
            let missing = self.missing(files);
            let bytes = wanted(&missing).iter().filter_map(|file| file.bytes).sum();
            let fetch = ToFetch {
                files: missing.len() as u32,
                of_unknown_size: missing.len().saturating_sub(1) as u32,
                bytes,
                have: 0,
                free: Some(61_000_000_000),
                gate: None,
            };
            let parts = missing.iter().map(|(role, ..)| role.key().to_owned()).collect();
            let lacks = Lacks { parts, fetch: Some(fetch), reason: "it is on the hub".into() };
            let standing = if missing.is_empty() { Standing::Ready } else { Standing::Lacks(lacks) };
            ModelState { info: info(name), bytes: 0, standing }
        };
        MODELS.iter().map(state).collect()
    }

    fn fetch(&self, name: &ModelName, tell: &Tell<'_>, cancel: &Cancel) -> Result<(), Unfetched> {
        let options = Options {
            connections: 1,
            piece: 1 << 20,
            tries: 2,
            backoff: Duration::from_millis(5),
            ..Options::default()
        };
        let wanted = wanted(&self.missing(files_of(name)));
        fetch_files(&wanted, &self.hubs, &options, self.record.clone(), tell, cancel)
    }

    fn checkable(&self, name: &ModelName) -> Result<(), Refusal> {
        let (files, _) = self.fetched(name);
        if files.is_empty() { Err(Refusal::NothingToCheck(name.clone())) } else { Ok(()) }
    }

    fn verify(
        &self,
        name: &ModelName,
        tell: &TellCheck<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<FileCheck>, Unchecked> {
        let held = |progress| {
            tell(progress);
            while self.held.load(Ordering::Relaxed) && !cancel.is_stopped() {
                std::thread::yield_now();
            }
        };
        let (files, kept) = self.fetched(name);
        check_files(&files, &kept, &held, cancel).map_err(|_| Unchecked::Stopped)
    }

    fn removal(&self, name: &ModelName, damaged: &[PathBuf]) -> Result<PlannedRemoval, Refusal> {
        let (removal, others_need) = self.plan(name, damaged);
        if removal.files.is_empty() && removal.unfinished.is_empty() {
            let reason = format!("nothing of it would go: {:?}", removal.stays);
            return Err(Refusal::NotRemoved { model: name.clone(), reason });
        }
        Ok(PlannedRemoval { plan: removal_told(name, &removal, None), others_need })
    }

    fn remove(&self, name: &ModelName, damaged: &[PathBuf]) -> Result<u64, Refusal> {
        let removed = self.plan(name, damaged).0.carry_out(&self.hubs, &Ledger::at(self.record.clone()));
        removed.map_err(|error| Refusal::NotRemoved { model: name.clone(), reason: error.to_string() })
    }

    fn devices(&self) -> Vec<Device> {
        vec![Device::Cpu]
    }

    fn load(
        &self,
        name: &ModelName,
        on: &Placement,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Draw>, EngineError> {
        engine::load(name, &self.parts(name), info(name.as_str()).limits, on, observer)
    }

    fn counter(&self, name: &ModelName) -> Result<Box<dyn Count>, EngineError> {
        let parts = self.parts(name);
        let counter = Counter::load(&parts.t5_tokenizer, &parts.clip_tokenizer, info("nano").limits);
        Ok(Box::new(counter.expect("nano's tokenizers are built in")))
    }

    fn describe(&self, device: Device) -> String {
        engine::describe(device)
    }
}
