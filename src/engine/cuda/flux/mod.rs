//! FLUX.1's transformer on a card.
//!
//! The same function as [`crate::engine::dit`], in the same names, over buffers that are laid out once for a size:
//! [`workspace`] holds them, [`step`] runs an evaluation in them, [`modulation`] the tables that are computed before
//! the first, [`block`] where weights lie, [`store`] whether they stay on the card or are streamed, [`bring`] how they come
//! while the first step already runs, [`ahead`] how its tables are made while the prompt is read, [`sides`] what LoRAs add beside them, [`merge`] how they are put into
//! them instead. Text rows come first, then the image's, and stay in one buffer throughout; in the double
//! blocks only the products are separate.
//!
//! What a step costs at 1024² (4,608 tokens): 59.5 TFLOP in products, 14.9 in attention; measured and compared with
//! that floor in `benches/PERFORMANCE.md`.

pub mod ahead;
mod arrival;
pub mod block;
mod bring;
pub mod forms;
mod kron;
pub mod linear;
mod merge;
pub mod modulation;
pub mod origin;
pub mod precision;
pub mod side;
pub mod sides;
pub mod step;
pub mod store;
pub mod workspace;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use cudarc::driver::CudaEvent;
use half::bf16;

use super::attention::Attention;
use super::error::{CudaError, Result};
use super::gpu::Gpu;
use super::in_place::InPlace;
use super::memory::{Buffer, Layout, Matrix};
use super::pinning::Pinning;
use super::product::GRAIN;
use crate::engine::budget::{Kind, Modulation, Residence, Source};
use crate::engine::dit::config::Config;
use crate::engine::dit::rope;
use ahead::Ahead;
use arrival::Arrival;
use block::{DoubleBlock, SingleBlock};
use bring::{Load, Owned, Part};
use forms::Forms;
use linear::{Filling, Form, Input, Linear, SCRATCH, Scratch};
use merge::Merged;
use modulation::{Kept, Modulator, Tables};
use origin::Origin;
use precision::Precision;
use side::Beside;
use sides::Sides;
use step::Watch;
use store::Store;

/// The transformer, its weights resident or streamed.
#[derive(Debug)]
pub struct Flux {
    /// Its size.
    pub config: Config,
    /// How its blocks compute.
    pub precision: Precision,
    // Its thread has ended before any memory goes.
    arrival: Arrival<CudaEvent>,
    /// Whether any weight has to be made, because it is not stored as the card wants it.
    made: bool,
    /// Bytes that arrive.
    arriving: u64,
    /// Parts that what is asked of the card finds there.
    here: Cell<usize>,
    waited: Cell<Duration>,
    gpu: Arc<Gpu>,
    ends: Ends,
    modulator: Arc<Modulator>,
    tables: Kept,
    double: Arc<[DoubleBlock]>,
    single: Arc<[SingleBlock]>,
    store: Store,
    pinning: Pinning,
    /// Whether a step has been begun.
    begun: Cell<bool>,
    attention: Attention,
    scratch: Arc<Buffer>,
    /// What LoRAs add beside it.
    sides: Option<Sides>,
    /// What they were merged into.
    merged: Merged,
}

/// The small layers at both ends, in bf16.
#[derive(Debug)]
struct Ends {
    memory: Buffer,
    img_in: Linear,
    txt_in: Linear,
    last: Linear,
}

/// What stays the same over the steps of a picture.
#[derive(Debug)]
pub struct Conditions {
    /// T5's tokens through `txt_in`, `[text tokens, hidden]`, and the rotations.
    memory: Buffer,
    rotations: usize,
    text: usize,
    image: usize,
    hidden: usize,
    dim: usize,
    /// A row for each step.
    pub tables: Tables,
}

impl Flux {
    /// Reads the whole transformer: onto the card what stays there by the plan, the rest into host memory. `progress` is
    /// told of the share that is done, and may end it.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape; when there is no memory, or the plan is for another model; what
    /// `progress` gives.
    pub fn load(
        gpu: &Arc<Gpu>,
        config: Config,
        precision: Precision,
        origin: &Origin<'_>,
        plan: &Residence,
        progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Self> {
        let flux = Self::begin(gpu, config, precision, origin, plan)?;
        flux.arrive_whole(&mut Telling(progress))?;
        gpu.wait()?;
        Ok(flux)
    }

    /// Takes all memory, reads what is small and begins to read the rest ([`bring`]): what is computed waits for what it
    /// needs. Where any weight has to be made, because it is not stored as the card wants it, all are waited for first.
    ///
    /// # Errors
    /// When there is no memory, or the plan is for another model; what is wrong with a tensor shows here or where it is
    /// waited for.
    pub fn begin(
        gpu: &Arc<Gpu>,
        config: Config,
        precision: Precision,
        origin: &Origin<'_>,
        plan: &Residence,
    ) -> Result<Self> {
        check(&config)?;
        let forms = Forms { precision, origin: *origin };
        let scratch = Arc::new(Buffer::new(gpu, SCRATCH, "a piece of a weight")?);
        let (double, single) = place(&config, &forms);
        let modulator = Arc::new(Modulator::new(gpu, &config, &forms, plan.modulation_stays)?);
        let doubles = double.iter().map(|block| (block.bytes, "a double block"));
        let singles = single.iter().map(|block| (block.bytes, "a single block"));
        let store = Store::new(gpu, plan, &doubles.chain(singles).collect::<Vec<_>>())?;
        let filling = Filling { gpu, origin, scratch: &Scratch(&scratch), in_place: None };
        let ends = Ends::load(gpu, &config, &filling)?;
        let attention = Attention::new(gpu, config.heads, config.head_dim())?;
        // Memory that is new may be cleared in an order of its own.
        gpu.wait()?;
        let (double, single): (Arc<[_]>, Arc<[_]>) = (double.into(), single.into());
        let load = Load {
            config: config.clone(),
            precision,
            origin: Owned::of(origin),
            plan: plan.clone(),
            double: Arc::clone(&double),
            single: Arc::clone(&single),
            modulator: Arc::clone(&modulator),
            places: Arc::clone(store.places()),
            scratch: Arc::clone(&scratch),
        };
        let arriving = load.bytes();
        let made = !Self::streams_from_files(&config, precision, origin);
        Ok(Self {
            made,
            arrival: load.start(gpu)?,
            arriving,
            here: Cell::new(0),
            waited: Cell::default(),
            config,
            precision,
            gpu: Arc::clone(gpu),
            ends,
            modulator,
            tables: Kept::default(),
            double,
            single,
            store,
            pinning: Pinning::default(),
            begun: Cell::default(),
            attention,
            scratch,
            sides: None,
            merged: Merged::default(),
        })
    }

    /// Bytes of a model's parts before anything is loaded: the ends, the modulation layers, a double block, a single
    /// block. Quantisers give some blocks more bits than others: the largest of each kind counts.
    #[must_use]
    pub fn sizes(config: &Config, precision: Precision, origin: &Origin<'_>) -> (u64, Modulation, [Kind; 2]) {
        let forms = Forms { precision, origin: *origin };
        let (double, single) = place(config, &forms);
        let kind = |bytes: Vec<usize>| Kind {
            count: bytes.len(),
            bytes: bytes.into_iter().max().unwrap_or_default() as u64,
        };
        let double = kind(double.iter().map(|block| block.bytes).collect());
        let single = kind(single.iter().map(|block| block.bytes).collect());
        (Ends::place(config).0.bytes() as u64, Modulator::sizes(config, &forms), [double, single])
    }

    /// Whether every block's weights, and those of the modulation layers, lie in their file as the card wants them.
    #[must_use]
    pub fn streams_from_files(config: &Config, precision: Precision, origin: &Origin<'_>) -> bool {
        let forms = Forms { precision, origin: *origin };
        let (double, single) = place(config, &forms);
        let lies = |(name, layer): (String, &Linear)| {
            layer.as_stored(&name, origin).is_ok_and(|spans| !spans.is_empty())
        };
        double.iter().enumerate().all(|(index, block)| block.layers(index).all(lies))
            && single.iter().enumerate().all(|(index, block)| block.layers(index).all(lies))
            && Modulator::streams_from_files(config, &forms)
    }

    /// Bytes of [`Conditions`] before there are any.
    #[must_use]
    pub fn condition_bytes(config: &Config, text: usize, image: usize, steps: usize) -> usize {
        let (layout, _) = Conditions::place(config, text, image);
        layout.bytes() + Tables::bytes_for(config, steps)
    }

    /// All that can be computed before the first step. `text` is T5's output `[tokens, context_dim]`, `pooled` CLIP's
    /// `[1, vec_dim]`, `grid` the rows and columns of image tokens, `times` the noise level of each evaluation.
    ///
    /// # Errors
    /// When the shapes do not fit; when there is no memory; when weights do not arrive.
    pub fn condition(
        &self,
        text: Matrix<'_, bf16>,
        pooled: Matrix<'_, bf16>,
        grid: (usize, usize),
        times: &[f32],
        guidance: f32,
    ) -> Result<Conditions> {
        self.condition_watched((text, pooled), grid, (times, guidance), None, &mut ())
    }

    /// The same, with tables of these that were begun; `watch` is told of weights that are waited for.
    ///
    /// # Errors
    /// As [`Flux::condition`], and what `watch` gives.
    pub fn condition_watched(
        &self,
        (text, pooled): (Matrix<'_, bf16>, Matrix<'_, bf16>),
        grid: (usize, usize),
        (times, guidance): (&[f32], f32),
        ahead: Option<Ahead>,
        watch: &mut dyn Watch,
    ) -> Result<Conditions> {
        let (gpu, hidden, dim) = (&self.gpu, self.config.hidden, self.config.head_dim());
        let (text_tokens, image) = (text.rows(), grid.0 * grid.1);
        if text_tokens == 0 || image == 0 {
            return Err(CudaError::Shape(format!("a picture of {image} tokens from {text_tokens} of text")));
        }
        let (layout, rotations) = Conditions::place(&self.config, text_tokens, image);
        let memory = Buffer::new(gpu, layout.bytes(), "what a prompt gives")?;
        let scratch = Scratch(&self.scratch);
        let sides = self.sides.as_ref();
        let embedded = memory.matrix(0, text_tokens, hidden);
        let txt_in = (&self.ends.txt_in, &self.ends.memory);
        run(gpu, sides.and_then(|sides| sides.end(1)), txt_in, Input::Bf16(text), embedded, &scratch)?;
        let turns = rope::angles(&self.config, text_tokens, grid);
        gpu.upload(memory.matrix::<f32>(rotations, text_tokens + image, dim), &turns)?;
        self.arrive(Part::Modulation, watch)?;
        let tables = match self.taken(ahead)? {
            Some(tables) => tables,
            None => self.tables.prepare(&self.modulator, gpu, (times, guidance), pooled, sides, &scratch)?,
        };
        Ok(Conditions { memory, rotations, text: text_tokens, image, hidden, dim, tables })
    }

    /// Keeps the tables of these conditions for another picture of the same prompt; to be called when the first step is
    /// done. Nothing is done where the layers that make them stay on the card.
    ///
    /// # Errors
    /// What the driver says.
    pub fn keep_tables(&self, conditions: &Conditions) -> Result<()> {
        self.tables.keep(&self.gpu, &conditions.tables)
    }

    /// Whether attention runs by the kernel for every card although this one has a better one: for tests.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn use_portable_attention(&mut self, portable: bool) -> Result<()> {
        let (heads, dim) = (self.config.heads, self.config.head_dim());
        self.attention = if portable {
            Attention::portable(&self.gpu, heads, dim)
        } else {
            Attention::new(&self.gpu, heads, dim)?
        };
        Ok(())
    }

    /// The blocks' weights, and where they are.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Bytes of device memory that the modulation layers hold while a picture is drawn.
    #[must_use]
    pub fn modulation_bytes(&self) -> usize {
        self.modulator.bytes()
    }
}

impl Conditions {
    /// What lies before the tables, and where the rotations begin.
    fn place(config: &Config, text: usize, image: usize) -> (Layout, usize) {
        let mut layout = Layout::default();
        layout.place::<bf16>(text, config.hidden);
        let rotations = layout.place::<f32>(text + image, config.head_dim());
        (layout, rotations)
    }

    fn txt(&self) -> Matrix<'_, bf16> {
        self.memory.matrix(0, self.text, self.hidden)
    }

    fn rotations(&self) -> Matrix<'_, f32> {
        self.memory.matrix(self.rotations, self.text + self.image, self.dim)
    }
}

impl Ends {
    /// `img_in`, `txt_in` and the last layer.
    fn place(config: &Config) -> (Layout, [Linear; 3]) {
        let hidden = config.hidden;
        let mut layout = Layout::default();
        let shapes =
            [(config.in_channels, hidden), (config.context_dim, hidden), (hidden, config.out_channels)];
        let layers = shapes.map(|shape| Linear::place(&mut layout, shape, Form::Bf16));
        (layout, layers)
    }

    fn load(gpu: &Arc<Gpu>, config: &Config, from: &Filling<'_>) -> Result<Self> {
        let (layout, [img_in, txt_in, last]) = Self::place(config);
        let memory = Buffer::new(gpu, layout.bytes(), "the first and last layers")?;
        img_in.fill(&memory, "img_in", from)?;
        txt_in.fill(&memory, "txt_in", from)?;
        last.fill(&memory, "final_layer.linear", from)?;
        Ok(Self { memory, img_in, txt_in, last })
    }
}

/// Tells of a load that is waited for.
struct Telling<P>(P);

impl<P: FnMut(f64) -> Result<()>> Watch for Telling<P> {
    fn before_block(&mut self) -> Result<()> {
        Ok(())
    }

    fn arriving(&mut self, share: f64) -> Result<()> {
        self.0(share)
    }
}

/// A layer, with what LoRAs add beside it.
fn run(
    gpu: &Gpu,
    beside: Option<Beside<'_>>,
    layer: (&Linear, &Buffer),
    x: Input<'_>,
    out: Matrix<'_, bf16>,
    scratch: &Scratch<'_>,
) -> Result<()> {
    match beside {
        Some(beside) => beside.run(gpu, layer, x, out, scratch),
        None => layer.0.run(gpu, layer.1, x, out, scratch),
    }
}

/// Lays out every block.
fn place(config: &Config, forms: &Forms<'_>) -> (Vec<DoubleBlock>, Vec<SingleBlock>) {
    let double = (0..config.double_blocks).map(|index| DoubleBlock::place(config, forms, index));
    let single = (0..config.single_blocks).map(|index| SingleBlock::place(config, forms, index));
    (double.collect(), single.collect())
}

/// What of the weights that are streamed lies in its file as the card wants it: to be pinned there, or copied by the host
/// where the plan says that so much cannot be.
fn in_place(
    gpu: &Arc<Gpu>,
    config: &Config,
    forms: &Forms<'_>,
    plan: &Residence,
    (double, single): (&[DoubleBlock], &[SingleBlock]),
) -> Result<Option<Arc<InPlace>>> {
    let Origin::File(weights) = forms.origin else { return Ok(None) };
    let mut spans = Vec::new();
    if !plan.modulation_stays {
        spans.extend(Modulator::spans(config, forms)?);
    }
    let streamed = |block: usize| plan.streamed.get(block).copied().unwrap_or(false);
    for (index, double) in double.iter().enumerate().filter(|(index, _)| streamed(*index)) {
        spans.extend(double.spans(index, &forms.origin, None)?);
    }
    for (index, single) in single.iter().enumerate().filter(|(index, _)| streamed(double.len() + *index)) {
        spans.extend(single.spans(index, &forms.origin, None)?);
    }
    if spans.is_empty() {
        return Ok(None);
    }
    let bytes = spans.iter().map(|span| span.1);
    let files = match plan.source {
        Source::Pinned => InPlace::to_pin(gpu, weights.mapping(), bytes)?,
        Source::File => InPlace::mapped(gpu, weights.mapping(), bytes),
    };
    Ok(Some(Arc::new(files)))
}

/// What the kernels and fp8 products ask of the sizes.
fn check(config: &Config) -> Result<()> {
    let sides = [
        config.hidden,
        config.mlp,
        config.in_channels,
        config.out_channels,
        config.context_dim,
        config.vec_dim,
    ];
    if config.single_blocks == 0 || config.double_blocks == 0 {
        return Err(CudaError::Shape("a FLUX.1 transformer has double and single blocks".to_owned()));
    }
    match sides.into_iter().find(|side| *side == 0 || !side.is_multiple_of(GRAIN)) {
        Some(side) => {
            Err(CudaError::Shape(format!("{side} channels: the card's kernels want multiples of {GRAIN}")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::engine::converted::is_fp8;

    #[test]
    fn what_is_kept_in_fp8_is_what_a_converted_file_has_so() {
        let config = Config::flux1_dev();
        let forms = Forms { precision: Precision::Fp8, origin: Origin::Random(0) };
        let (double, single) = place(&config, &forms);
        let double = double.iter().enumerate().flat_map(|(index, block)| block.layers(index));
        let single = single.iter().enumerate().flat_map(|(index, block)| block.layers(index));
        let blocks = double.chain(single).map(|(name, _)| name);
        let kept: BTreeSet<_> =
            blocks.chain(Modulator::layer_names(&config)).map(|name| format!("{name}.weight")).collect();
        let converted: BTreeSet<_> =
            config.tensors().into_iter().map(|(name, _)| name).filter(|name| is_fp8(name)).collect();
        assert_eq!(kept, converted);
        assert_eq!(kept.len(), 19 * 10 + 38 * 3 + 1);
    }
}
