//! An engine that does what the prompt says. It draws pictures of one colour that depends on the
//! seed, and obeys these words: `hold` waits after the first step until it is released, `fail`
//! fails after the first step, `panic` panics there, `nan` breaks down as a computation does,
//! `taken` finds no memory there unless it was loaded with care, `scarce` never finds any,
//! `shatter` breaks the device down there, `crack` does so once, `broken` cannot be loaded, `slow` takes 5 ms a step. It runs on as many devices as it is told to
//! pretend, says of pictures on cards what they took; `hold0` and `hold1` wait only on the card with that number.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use flux_tui::device::{Device, PrecisionChoice};
use flux_tui::engine::converted::{ConvertError, Kept};
use flux_tui::engine::{
    Brief, Draw, Drawn, EngineError, LatentPreview, LatentValues, Observer, Placement, Report, Step,
    StepLatent,
};
use flux_tui::job::costs::Planned;
use flux_tui::job::{Encoder, Size, Times, TokenCount};
use flux_tui::model::{Defaults, ModelInfo, ModelName, TextLimits};
use flux_tui::usage::{CardPace, Foreseen, Learned, Usage};
use flux_tui::worker::{Count, Models, Unkept};

/// Two models, `alpha` and `beta`, that are the same but for their names.
#[derive(Debug, Clone)]
pub struct Scripted(Arc<Inner>);

impl Default for Scripted {
    fn default() -> Self {
        Self::on(&[Device::Cpu])
    }
}

#[derive(Debug, Default)]
struct Inner {
    devices: Vec<Device>,
    /// Every load: where, which model, in which precision.
    loaded: Mutex<Vec<(Device, ModelName, PrecisionChoice)>>,
    /// What each load was told of earlier pictures.
    placed: Mutex<Vec<Placement>>,
    /// Which models were to be kept in fp8, and that it was stopped.
    kept: Mutex<Vec<String>>,
    keeping: Condvar,
    held: Mutex<Held>,
    /// Made when the device has cracked once.
    cracked: Option<PathBuf>,
    changed: Condvar,
    loads: AtomicU32,
    previews: AtomicU32,
    counters: AtomicU32,
    counted: AtomicU32,
}

#[derive(Debug, Default)]
struct Held {
    /// How many have been let through.
    released: u32,
    /// How many have come.
    waiting: u32,
}

impl Scripted {
    /// On a machine with these devices, the best first.
    pub fn on(devices: &[Device]) -> Self {
        Self(Arc::new(Inner { devices: devices.to_vec(), ..Inner::default() }))
    }

    /// On the CPU; `crack` breaks the device unless this file is there already, and makes it.
    pub fn cracking_at(cracked: &Path) -> Self {
        let (devices, cracked) = (vec![Device::Cpu], Some(cracked.to_owned()));
        Self(Arc::new(Inner { devices, cracked, ..Inner::default() }))
    }

    /// Whether this is the first crack.
    fn cracks(&self) -> bool {
        let Some(path) = &self.0.cracked else { return false };
        File::options().write(true).create_new(true).open(path).is_ok()
    }

    /// Every load so far: where, which model, in which precision.
    pub fn loaded(&self) -> Vec<(Device, ModelName, PrecisionChoice)> {
        self.0.loaded.lock().expect("nobody panics with it").clone()
    }

    /// What each load so far was told of earlier pictures.
    pub fn learned(&self) -> Vec<Learned> {
        self.placed().iter().map(|on| on.learned).collect()
    }

    /// How each model so far was to be placed.
    pub fn placed(&self) -> Vec<Placement> {
        self.0.placed.lock().expect("nobody panics with it").clone()
    }

    /// Which models were to be kept in fp8 so far, and that it was stopped.
    pub fn kept(&self) -> Vec<String> {
        self.0.kept.lock().expect("nobody panics with it").clone()
    }

    /// Lets one picture, or one count, that is held go on.
    pub fn release(&self) {
        self.0.held.lock().expect("nobody panics with it").released += 1;
        self.0.changed.notify_all();
    }

    /// How many pictures and counts have been held so far.
    pub fn held(&self) -> u32 {
        self.0.held.lock().expect("nobody panics with it").waiting
    }

    /// How often a model was loaded.
    pub fn loads(&self) -> u32 {
        self.0.loads.load(Ordering::Relaxed)
    }

    /// How many previews were computed.
    pub fn previews(&self) -> u32 {
        self.0.previews.load(Ordering::Relaxed)
    }

    /// How often tokenizers were read.
    pub fn counters(&self) -> u32 {
        self.0.counters.load(Ordering::Relaxed)
    }

    /// How many texts were counted.
    pub fn counted(&self) -> u32 {
        self.0.counted.load(Ordering::Relaxed)
    }

    /// Waits to be released, or until `gone` says that waiting is over.
    fn hold(&self, gone: impl Fn() -> bool) {
        let mut held = self.0.held.lock().expect("nobody panics with it");
        let mine = held.waiting;
        held.waiting += 1;
        while held.released <= mine && !gone() {
            let waited = self.0.changed.wait_timeout(held, Duration::from_millis(1));
            held = waited.expect("nobody panics with it").0;
        }
        // A stopped one does not take the place of the next.
        held.released = held.released.max(mine + 1);
    }
}

impl Models for Scripted {
    fn infos(&self) -> Vec<ModelInfo> {
        let defaults =
            Defaults { size: Size::new(64, 64).expect("it is on the grid"), steps: 4, guidance: 3.5 };
        let limits = TextLimits { t5: 8, clip: 8 };
        let info = |name| ModelInfo {
            name: ModelName::new(name),
            about: "scripted".into(),
            defaults,
            limits,
            license: "none".into(),
        };
        vec![info("alpha"), info("beta")]
    }

    fn devices(&self) -> Vec<Device> {
        self.0.devices.clone()
    }

    fn load(
        &self,
        name: &ModelName,
        on: &Placement,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Draw>, EngineError> {
        self.0.loads.fetch_add(1, Ordering::Relaxed);
        let load = (on.device, name.clone(), on.options.precision);
        self.0.loaded.lock().expect("nobody panics with it").push(load);
        self.0.placed.lock().expect("nobody panics with it").push(*on);
        for done in 0..=10 {
            observer.report(Report::Loading { done, total: 10 });
        }
        Ok(Box::new(Engine { models: self.clone(), name: name.clone(), on: *on, loras: 0 }))
    }

    fn counter(&self, _: &ModelName) -> Result<Box<dyn Count>, EngineError> {
        self.0.counters.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Words(self.clone())))
    }

    /// It is never done, and ends when it is told to.
    fn keep_converted(&self, name: &ModelName, observer: &mut dyn Observer) -> Result<Option<Kept>, Unkept> {
        let mut kept = self.0.kept.lock().expect("nobody panics with it");
        kept.push(format!("{name} begun"));
        while !observer.wants_stop() {
            let waited = self.0.keeping.wait_timeout(kept, Duration::from_millis(1));
            kept = waited.expect("nobody panics with it").0;
        }
        kept.push(format!("{name} stopped"));
        Err(ConvertError::Stopped.into())
    }

    /// As many seconds as steps and kilobytes as tokens; beyond a megapixel there is no room.
    fn foresee(&self, _: &ModelName, on: &[Placement]) -> Vec<Option<Planned>> {
        let planned = |on: &Placement| match on.picture.size.image_tokens() {
            4097.. => Planned::TooLarge,
            tokens => Planned::Fits { seconds: f64::from(on.picture.steps), peak: tokens as u64 * 1000 },
        };
        self.0.placed.lock().expect("nobody panics with it").extend(on);
        on.iter().map(|on| Some(planned(on))).collect()
    }

    fn describe(&self, device: Device) -> String {
        match device {
            Device::Cpu => "a script".to_owned(),
            Device::Cuda(number) => format!("script {number}"),
        }
    }

    fn identity(&self, device: Device) -> Option<String> {
        device.is_gpu().then(|| self.describe(device))
    }
}

/// Counts words.
struct Words(Scripted);

impl Count for Words {
    fn count(&self, text: &str) -> Result<Vec<TokenCount>, EngineError> {
        if text.contains("hold") {
            self.0.hold(|| false);
        }
        self.0.0.counted.fetch_add(1, Ordering::Relaxed);
        let tokens = text.split_whitespace().count();
        let count = |encoder| TokenCount { encoder, tokens, limit: 8, cut_at: None, unknown: 0 };
        Ok(vec![count(Encoder::T5), count(Encoder::Clip)])
    }
}

/// What every picture on a card takes: more than was planned.
pub const TOOK: Usage = Usage {
    foreseen: Foreseen { peak: 8_000, context: 600, step: 0.5 },
    peak: 7_500,
    held: 5_000,
    step: Some(0.25),
    compute: Some(0.25),
    decode: 0.125,
    files: None,
    card: CardPace { bf16: 500.0, fp8: None, pinned: 25e9, mapped: 20e9 },
};

/// What every LoRA holds of a card.
pub const LORA_BYTES: u64 = 18_900_000;

struct Engine {
    models: Scripted,
    name: ModelName,
    on: Placement,
    loras: u64,
}

/// The colour of a seed.
pub fn colour(seed: u64) -> [u8; 3] {
    [seed as u8, (seed >> 8) as u8, (seed >> 16) as u8]
}

#[derive(Debug)]
struct Flat<'a> {
    models: &'a Scripted,
    size: Size,
    seed: u64,
    step: u32,
}

impl LatentValues for Flat<'_> {
    fn copy(&self) -> Result<StepLatent, EngineError> {
        let tokens = self.size.image_tokens();
        Ok(StepLatent { step: self.step, tokens, channels: 1, values: vec![self.seed as f32; tokens] })
    }
}

impl LatentPreview for Flat<'_> {
    fn size(&self) -> (u32, u32) {
        (self.size.width() / 8, self.size.height() / 8)
    }

    fn rgb(&self) -> Vec<u8> {
        self.models.0.previews.fetch_add(1, Ordering::Relaxed);
        let (width, height) = self.size();
        colour(self.seed).repeat((width * height) as usize)
    }
}

impl Draw for Engine {
    fn rounded(&self) -> bool {
        self.on.options.precision == PrecisionChoice::Fp8
    }

    fn draw_from(
        &mut self,
        brief: &Brief,
        begun: Option<&StepLatent>,
        observer: &mut dyn Observer,
    ) -> Result<Drawn, EngineError> {
        begun.map_or(Ok(()), |begun| begun.check(brief, 1))?;
        self.loras = brief.loras.len() as u64 * LORA_BYTES;
        let says = |word: &str| brief.prompt.as_str().split_whitespace().any(|said| said == word);
        observer.report(Report::Encoding);
        for step in begun.map_or(0, |begun| begun.step)..=brief.steps {
            let (models, size, seed) = (&self.models, brief.size, brief.seed);
            let flat = Flat { models, size, seed, step };
            let sigma = 1.0 - step as f32 / brief.steps as f32;
            let (preview, latent) = (&flat, &flat);
            observer.report(Report::Step(Step { step, steps: brief.steps, sigma, preview, latent }));
            if step == 1 {
                let here = match self.on.device {
                    Device::Cpu => String::new(),
                    Device::Cuda(number) => format!("hold{number}"),
                };
                if says("hold") || says(&here) {
                    self.models.hold(|| observer.wants_stop());
                    if observer.wants_stop() {
                        return Err(EngineError::Stopped);
                    }
                }
                assert!(!says("panic"), "told to by the prompt");
                let unplanned = brief.size.image_tokens() > self.on.picture.size.image_tokens();
                if unplanned || says("scarce") || says("taken") && !self.on.cautious {
                    let reason = "9 GB were wanted and 8 GB are free".into();
                    return Err(EngineError::OutOfMemory { stage: "drawing", reason });
                }
                if says("shatter") || says("crack") && self.models.cracks() {
                    let reason = "an illegal address was read".into();
                    return Err(EngineError::Device { stage: "drawing", reason });
                }
                if says("fail") {
                    let source = "out of memory: 9 GiB were asked for".into();
                    return Err(EngineError::Compute { stage: "double block 3", source });
                }
            }
            if says("slow") {
                let nobody = Mutex::new(());
                let held = nobody.lock().expect("it is new");
                drop(Condvar::new().wait_timeout(held, Duration::from_millis(5)));
            }
            if observer.wants_stop() {
                return Err(EngineError::Stopped);
            }
        }
        observer.report(Report::Decoding);
        let pixels = (brief.size.width() * brief.size.height()) as usize;
        let times = Times { load: 0.0, encode: 0.25, denoise: 0.5, decode: 0.125 };
        let usage = self.on.device.is_gpu().then_some(TOOK);
        Ok(Drawn {
            rgb: colour(brief.seed).repeat(pixels),
            cuts: Vec::new(),
            times,
            usage,
            unapplied: Vec::new(),
        })
    }

    fn precision(&self) -> String {
        format!("words of {}", self.name)
    }

    fn lora_bytes(&self) -> u64 {
        self.loras
    }

    fn numerics(&self, _: &Brief) -> String {
        self.precision()
    }
}
