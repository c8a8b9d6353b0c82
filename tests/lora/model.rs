//! The built-in model on the CPU with LoRAs beside it, and the numbers that it is compared with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use flux_tui::engine::dit::model::{Flux, Watch};
use flux_tui::engine::lora::Shapes;
use flux_tui::engine::loras::{Loras, Model};
use flux_tui::engine::text::encode::Clip;
use flux_tui::engine::text::t5::T5;
use flux_tui::engine::weights::{Part, Weights, WeightsError};
use flux_tui::engine::{EngineError, LoraFile};
use flux_tui::job::{LoraHash, Span, Unapplied};
use flux_tui::model::Source;
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

/// What the fixtures were made with.
pub const STRENGTH: f32 = 0.75;

pub fn nano(file: &str) -> Source {
    Source::File(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nano").join(file))
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lora/fixtures").join(format!("{name}.safetensors"))
}

pub fn lora(path: &Path, strength: f32) -> LoraFile {
    let hash = LoraHash::new(Sha256::digest(std::fs::read(path).expect("it is there")).into());
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    LoraFile { name, path: path.to_owned(), hash, strength, steps: Span::WHOLE }
}

pub fn open(file: &str, part: Part) -> Weights {
    Weights::open_part(&nano(file), part).expect("nano is whole")
}

pub fn transformer() -> Weights {
    open("flux1-nano-fp8.safetensors", Part::Transformer)
}

pub fn shapes() -> Shapes {
    Shapes::of(&transformer(), &open("clip.safetensors", Part::Clip), &open("t5.safetensors", Part::T5))
}

/// The whole model.
pub struct Nano {
    pub flux: Flux,
    pub t5: T5,
    pub clip: Clip,
    pub loras: Loras,
}

impl Nano {
    pub fn new() -> Self {
        let weights = [transformer(), open("t5.safetensors", Part::T5), open("clip.safetensors", Part::Clip)];
        let [transformer, t5, clip] = weights;
        Self {
            flux: Flux::load::<WeightsError>(&transformer, |_| Ok(())).expect("it loads"),
            t5: T5::load(&t5, &nano("t5_config.json")).expect("it loads"),
            clip: Clip::load(&clip, &nano("clip_config.json")).expect("it loads"),
            loras: Loras::new(transformer, t5, clip, &nano("clip_config.json")),
        }
    }

    pub fn try_set(&mut self, loras: &[LoraFile]) -> Result<Vec<Unapplied>, EngineError> {
        let Self { flux, t5, clip, loras: beside } = self;
        beside.set(loras, &mut Model { flux, t5, clip })
    }

    pub fn set(&mut self, loras: &[LoraFile]) -> Vec<Unapplied> {
        self.try_set(loras).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The velocity of the fixtures' noise.
    pub fn velocity(&self, numbers: &Numbers) -> Vec<f32> {
        let [noise, text, pooled] = ["noise", "text", "pooled"].map(|name| numbers.tensor(name));
        let conditions = self.flux.condition(&text, &pooled, (4, 4), &[0.7], 3.0).expect("conditions");
        let velocity = self.flux.forward(&noise, &conditions, 0, &mut Nobody).expect("a velocity");
        flat(&velocity)
    }

    /// The velocity with these LoRAs.
    pub fn velocity_with(&mut self, loras: &[LoraFile], numbers: &Numbers) -> Vec<f32> {
        self.set(loras);
        self.velocity(numbers)
    }
}

pub fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("fp32")
}

pub struct Nobody;
impl Watch for Nobody {}

/// The tensors of `velocities.safetensors`.
pub struct Numbers(BTreeMap<String, (Vec<usize>, Vec<[u8; 4]>)>);

impl Numbers {
    pub fn read() -> Self {
        let bytes = std::fs::read(fixture("velocities")).expect("it is there");
        let file = SafeTensors::deserialize(&bytes).expect("it is whole");
        let tensors = file.tensors().into_iter();
        let four = |view: &safetensors::tensor::TensorView<'_>| view.data().as_chunks().0.to_vec();
        Self(tensors.map(|(name, view)| (name, (view.shape().to_vec(), four(&view)))).collect())
    }

    pub fn values(&self, name: &str) -> Vec<f32> {
        self.0[name].1.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    pub fn ids(&self, name: &str) -> Vec<u32> {
        self.0[name].1.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
    }

    pub fn tensor(&self, name: &str) -> Tensor {
        Tensor::from_vec(self.values(name), self.0[name].0.as_slice(), &Device::Cpu).expect("as many")
    }
}

/// ‖ours − theirs‖ / ‖theirs‖.
pub fn difference(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let apart = norm(&mut ours.iter().zip(theirs).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    apart / norm(&mut theirs.iter().map(|x| f64::from(*x)))
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
