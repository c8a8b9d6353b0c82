//! The program's models and a person's: the catalogue says which there are and where they are, the engine reads them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lora_list::{KnownLoras, Looking};
use super::recognise::{Recogniser, is_flux1, role};
use super::standing;
use super::{Count, Models, PlannedRemoval, Tell, TellCheck, Unchecked, Unfetched, Unkept, details, files};
use crate::catalog::find::{Lacking, Search};
use crate::catalog::places::Places;
use crate::catalog::{self, Catalog, Entry, loras};
use crate::device::{Device, Share};
use crate::engine::converted;
use crate::engine::weights::{self, Identity, Kind, Variant, WeightsError};
use crate::engine::{self, Counter, Draw, EngineError, Observer, Placement};
use crate::fetch::{Cancel, Hubs, Kept, Ledger};
use crate::job::TokenCount;
use crate::job::costs::Planned;
use crate::model::{ModelInfo, ModelName, Parts, Source};
use crate::paths::Paths;
use crate::wire::loras::LoraList;
use crate::wire::message::{FileCheck, ModelDetails, ModelState, Refusal};

/// What a model without guidance is made for.
const STEPS_WITHOUT_GUIDANCE: u32 = 4;

/// A model with all its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Ready {
    /// What a client needs to know.
    pub info: ModelInfo,
    /// Where its parts are.
    pub parts: Parts,
}

/// The models of the catalogue, read by the engine.
#[derive(Debug, Clone)]
pub struct Catalogued {
    paths: Paths,
    recogniser: Arc<Recogniser>,
    loras: Arc<KnownLoras>,
}

impl Catalogued {
    /// With those of the configuration directory, whenever they were added, and with files wherever they are when they
    /// are asked for.
    #[must_use]
    pub fn new(paths: &Paths) -> Self {
        Self { paths: paths.clone(), recogniser: Arc::default(), loras: Arc::default() }
    }

    fn catalog(&self) -> Catalog {
        let (catalog, problems) = Catalog::load(&self.paths.config);
        for problem in problems {
            tracing::warn!(%problem, "a model of yours is left out");
        }
        catalog
    }

    fn searching<T>(&self, act: impl FnOnce(&Catalog, &Search<'_>) -> T) -> T {
        let catalog = self.catalog();
        search(&catalog, &self.paths, &self.recogniser, |search| act(&catalog, search))
    }

    /// The files of a model that are here, and the record of what was fetched.
    fn known_files(&self, name: &ModelName) -> Result<(Vec<files::Known>, Vec<Kept>), Refusal> {
        let kept = Ledger::at(self.paths.fetched()).read();
        let files = self.searching(|catalog, search| {
            let entry = catalog.find(name).ok_or_else(|| unknown(catalog, name))?;
            Ok::<_, Refusal>(files::files_here(search, &entry.recipe, &kept))
        })?;
        if files.is_empty() { Err(Refusal::NothingToCheck(name.clone())) } else { Ok((files, kept)) }
    }

    fn removing(&self, name: &ModelName, damaged: &[PathBuf]) -> Result<files::Removing, Refusal> {
        let refused = |error: crate::fetch::FetchError| Refusal::NotRemoved {
            model: name.clone(),
            reason: error.to_string(),
        };
        self.searching(|catalog, search| {
            let entry = catalog.find(name).ok_or_else(|| unknown(catalog, name))?;
            let places = (self.paths.fetched(), &*self.paths.converted());
            files::removing((catalog, search), &entry, places, damaged).map_err(refused)
        })
    }

    /// A job may be older than the catalogue, so its model may be gone.
    fn gone(name: &ModelName, reason: &NoModel) -> EngineError {
        EngineError::Load {
            model: name.clone(),
            part: "the entry",
            from: "the catalogue".to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Looks for files with what the engine knows of them.
pub fn search<T>(
    catalog: &Catalog,
    paths: &Paths,
    recogniser: &Recogniser,
    act: impl FnOnce(&Search<'_>) -> T,
) -> T {
    let recognise = |path: &Path| recogniser.roles(path);
    let search = Search::new(Places::from_env(&paths.data, catalog.folders()), &recognise);
    act(&search.keeping(recogniser.walks()))
}

/// The files that a LoRA's name or path means.
///
/// # Errors
/// In words, when there is none.
pub fn lora_files(catalog: &Catalog, paths: &Paths, file: &str) -> Result<Vec<PathBuf>, String> {
    loras::find(&lora_folders(catalog, paths), file).map_err(|reason| reason.to_string())
}

/// The folders that LoRAs are looked for in, a person's own first.
pub(super) fn lora_folders(catalog: &Catalog, paths: &Paths) -> Vec<PathBuf> {
    let usual = Places::from_env(&paths.data, catalog.folders()).loras;
    catalog.lora_folders().iter().cloned().chain(usual).collect()
}

impl Models for Catalogued {
    fn infos(&self) -> Vec<ModelInfo> {
        self.searching(|catalog, search| {
            let drawn = catalog.entries().iter().filter(|entry| search.missing(&entry.recipe).is_empty());
            drawn.map(|entry| entry.info.clone()).collect()
        })
    }

    fn check(&self, name: &ModelName) -> Result<(), Refusal> {
        self.searching(|catalog, search| match find(catalog, search, name) {
            Ok(_) => Ok(()),
            Err(reason) => Err(refused(reason)),
        })
    }

    fn states(&self) -> Vec<ModelState> {
        let hubs = Hubs::from_env().ok();
        let state = |entry: &Entry, search: &Search<'_>| standing::state(entry, search, hubs.as_ref());
        self.searching(|catalog, search| catalog.entries().iter().map(|entry| state(entry, search)).collect())
    }

    fn fetch(&self, name: &ModelName, tell: &Tell<'_>, cancel: &Cancel) -> Result<(), Unfetched> {
        // The search is over before the fetching begins: it lasts for hours.
        let (entry, missing) = self.searching(|catalog, search| {
            let entry = catalog.find(name).ok_or_else(|| unknown(catalog, name))?;
            let missing = search.missing(&entry.recipe);
            Ok::<_, Refusal>((entry, missing))
        })?;
        standing::fetch(&entry, missing, self.paths.fetched(), tell, cancel)
    }

    fn details(&self, name: &ModelName) -> Result<ModelDetails, Refusal> {
        self.searching(|catalog, search| details(catalog, search, name)).map_err(refused)
    }

    fn checkable(&self, name: &ModelName) -> Result<(), Refusal> {
        self.known_files(name).map(drop)
    }

    fn verify(
        &self,
        name: &ModelName,
        tell: &TellCheck<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<FileCheck>, Unchecked> {
        let (files, kept) = self.known_files(name)?;
        files::check_files(&files, &kept, tell, cancel).map_err(|_| Unchecked::Stopped)
    }

    fn removal(&self, name: &ModelName, damaged: &[PathBuf]) -> Result<PlannedRemoval, Refusal> {
        let refused = |reason| Refusal::NotRemoved { model: name.clone(), reason };
        let removing = self.removing(name, damaged)?;
        let goes = &removing.removal;
        let none = goes.files.is_empty() && goes.unfinished.is_empty() && removing.converted.is_none();
        match (none, &goes.stays[..]) {
            (true, []) => Err(refused(
                "nothing of it was fetched by flux-tui, which removes only what it fetched".to_owned(),
            )),
            (true, [(file, why), ..]) => {
                Err(refused(format!("all of it stays, {} for one because {why}", file.display())))
            }
            (false, _) => {
                let plan = files::told(name, goes, removing.converted.as_ref());
                Ok(PlannedRemoval { plan, others_need: removing.others_need })
            }
        }
    }

    fn remove(&self, name: &ModelName, damaged: &[PathBuf]) -> Result<u64, Refusal> {
        let files::Removing { hubs, ledger, removal, converted, .. } = self.removing(name, damaged)?;
        let refused = |error: crate::fetch::FetchError| Refusal::NotRemoved {
            model: name.clone(),
            reason: error.to_string(),
        };
        let mut freed = removal.carry_out(&hubs, &ledger).map_err(refused)?;
        if let Some((file, bytes)) = converted {
            let gone = |error: std::io::Error| Refusal::NotRemoved {
                model: name.clone(),
                reason: format!("{} cannot be removed: {error}", file.display()),
            };
            std::fs::remove_file(&file).map_err(gone)?;
            freed += bytes;
        }
        Ok(freed)
    }

    fn devices(&self) -> Vec<Device> {
        engine::devices()
    }

    fn load(
        &self,
        name: &ModelName,
        on: &Placement,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Draw>, EngineError> {
        let found = self.searching(|catalog, search| find(catalog, search, name));
        let Ready { info, parts } = found.map_err(|reason| Self::gone(name, &reason))?;
        let parts = Parts {
            encoded: Some(self.paths.prompts()),
            converted: Some(self.paths.converted()),
            products: Some(self.paths.products()),
            ..parts
        };
        engine::load(name, &parts, info.limits, on, observer)
    }

    fn counter(&self, name: &ModelName) -> Result<Box<dyn Count>, EngineError> {
        // Text can be counted before the weights are here.
        let entry = match self.catalog().find(name) {
            Some(Entry { info, recipe }) => (recipe.t5_tokenizer, recipe.clip_tokenizer, info.limits),
            None => {
                let found = self.searching(|catalog, search| find(catalog, search, name));
                let Ready { info, parts } = found.map_err(|reason| Self::gone(name, &reason))?;
                (parts.t5_tokenizer, parts.clip_tokenizer, info.limits)
            }
        };
        let (t5, clip, limits) = entry;
        Ok(Box::new(Counter::load(&t5, &clip, limits).map_err(uncounted)?))
    }

    fn lora(&self, file: &str) -> Result<Vec<PathBuf>, String> {
        lora_files(&self.catalog(), &self.paths, file)
    }

    fn loras(&self, looking: Looking<'_>) -> LoraList {
        self.loras.list(&self.catalog(), &self.paths, looking)
    }

    fn lora_picture(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        self.loras.picture(path)
    }

    fn keep_converted(
        &self,
        name: &ModelName,
        observer: &mut dyn Observer,
    ) -> Result<Option<converted::Kept>, Unkept> {
        let Ready { parts, .. } = self.searching(|catalog, search| find(catalog, search, name))?;
        Ok(Some(converted::keep(&parts, &self.paths.converted(), None, observer)?))
    }

    fn describe(&self, device: Device) -> String {
        engine::describe(device)
    }

    fn foresee(&self, name: &ModelName, on: &[Placement]) -> Vec<Option<Planned>> {
        let found = self.searching(|catalog, search| find(catalog, search, name));
        let Ok(Ready { info, parts }) = found else { return Vec::new() };
        let parts = Parts { converted: Some(self.paths.converted()), ..parts };
        match engine::foresee(name, &parts, info.limits, on) {
            Ok(planned) => planned.into_iter().map(Some).collect(),
            Err(error) => {
                tracing::warn!(%error, model = %name, "what pictures will take is not planned");
                Vec::new()
            }
        }
    }

    fn held(&self, device: Device) -> Vec<Share> {
        engine::held(device)
    }

    fn identity(&self, device: Device) -> Option<String> {
        engine::identity(device)
    }
}

impl Count for Counter {
    fn count(&self, text: &str) -> Result<Vec<TokenCount>, EngineError> {
        Counter::count(self, text).map_err(uncounted)
    }
}

/// Why no model is meant by a name.
#[derive(Debug, thiserror::Error)]
pub enum NoModel {
    /// None of that name.
    #[error("there is no model {name:?}; there is {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: WeightsError,
    },
    /// The file is no transformer to draw with.
    #[error("{path} cannot be drawn with: {reason}", path = path.display())]
    NotDrawn {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is known, and something of it is not here.
    #[error(transparent)]
    Lacking(#[from] Lacking),
    /// The encoders and the VAE of no model go with it.
    #[error(
        "{path} is a transformer, and the encoders and the VAE of no model here fit it ({reasons}); name those that do \
         in models.toml", path = path.display()
    )]
    NoBase {
        /// Which.
        path: PathBuf,
        /// Of each model, why not.
        reasons: String,
    },
}

/// The model that a name or a path means: by name from the catalogue; a file with the parts that are in it, and the
/// rest of the first model that they fit: FLUX.1's own where it has that size.
///
/// # Errors
/// [`NoModel`].
pub fn find(catalog: &Catalog, search: &Search<'_>, name: &ModelName) -> Result<Ready, NoModel> {
    if let Some(path) = name.as_path() {
        return of_file(catalog, search, name, path);
    }
    let Some(Entry { info, recipe }) = catalog.find(name) else {
        return Err(NoModel::Unknown { name: name.to_string(), known: names(catalog) });
    };
    match search.parts(&recipe) {
        Ok(parts) => Ok(Ready { info, parts }),
        Err(missing) => Err(Lacking { model: name.clone(), missing }.into()),
    }
}

/// The names of all models, for a message.
fn names(catalog: &Catalog) -> String {
    let names: Vec<_> = catalog.entries().iter().map(|entry| entry.info.name.as_str()).collect();
    names.join(", ")
}

/// A refusal of the same words.
fn refused(reason: NoModel) -> Refusal {
    match reason {
        NoModel::Unknown { name, known } => Refusal::UnknownModel { name, known },
        other => Refusal::LackingModel(other.to_string()),
    }
}

fn unknown(catalog: &Catalog, name: &ModelName) -> Refusal {
    Refusal::UnknownModel { name: name.to_string(), known: names(catalog) }
}

fn of_file(catalog: &Catalog, search: &Search<'_>, name: &ModelName, path: &Path) -> Result<Ready, NoModel> {
    let path = path.to_owned();
    let identity = match weights::identify(&path) {
        Ok(identity) => identity,
        Err(source) => return Err(NoModel::File { path, source }),
    };
    // What is only blocks may be completed by a base.
    if !matches!(identity.kind, Kind::Blocks(_)) {
        identity.drawn().map_err(|reason| NoModel::NotDrawn { path: path.clone(), reason })?;
    }
    let (mut reasons, mut lacking) = (Vec::new(), None);
    for base in bases(catalog, &identity) {
        let mut recipe = base.recipe.clone();
        for found in &identity.parts {
            recipe.replace(role(found.part), Source::File(path.clone()));
        }
        let parts = match search.parts(&recipe) {
            Ok(parts) => parts,
            Err(missing) => {
                lacking = lacking.or(Some(Lacking { model: name.clone(), missing }));
                continue;
            }
        };
        match weights::fits(&parts) {
            Ok(()) => return Ok(Ready { info: named(base, name, &identity), parts }),
            Err(reason) => reasons.push(format!("{}: {reason}", base.info.name)),
        }
    }
    match lacking {
        Some(lacking) => Err(lacking.into()),
        None => Err(NoModel::NoBase { path, reasons: reasons.join("; ") }),
    }
}

/// The models whose encoders and VAE may go with a file, the likeliest first.
fn bases<'c>(catalog: &'c Catalog, identity: &Identity) -> Vec<&'c Entry> {
    let own = catalog.entries().iter().filter(|entry| catalog::find(&entry.info.name).is_none());
    let flux1 = catalog::base_of(has_guidance(identity));
    // Of blocks alone it is not known whose they are.
    let names = match identity.kind {
        Kind::Blocks(_) => &[flux1, ModelName::NANO][..],
        _ if is_flux1(identity) => &[flux1],
        _ => &[ModelName::NANO],
    };
    let usual = catalog.entries().iter().filter(|entry| names.contains(&entry.info.name.as_str()));
    usual.chain(own).collect()
}

fn has_guidance(identity: &Identity) -> bool {
    !matches!(identity.kind, Kind::Transformer { variant: Variant::Schnell, .. })
}

/// What a client is told of a file on top of a model.
fn named(base: &Entry, name: &ModelName, identity: &Identity) -> ModelInfo {
    let mut info = base.info.clone();
    info.about = format!("a file, on top of {}", info.name);
    info.name = name.clone();
    if !has_guidance(identity) {
        info.defaults.steps = STEPS_WITHOUT_GUIDANCE;
    }
    info
}

fn uncounted(error: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    EngineError::Compute { stage: "counting tokens", source: Box::new(error) }
}
