//! From a prompt to what the transformer is told: the encoders, wherever each of them reads, and the last prompts as
//! they read them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use half::bf16;
use safetensors::tensor::Dtype;

use super::error::{CudaError, Result};
use super::gpu::Gpu;
use super::memory::Buffer;
use super::pipeline::during;
use super::text::{Clip, T5};
use super::weights::as_bf16;
use crate::engine::EngineError;
use crate::engine::budget;
use crate::engine::text::kept::{Kept, KeptPrompts, kept_as};
use crate::engine::text::t5 as host;
use crate::engine::text::tokenize::{Counter, Tokens};
use crate::engine::weights::Weights;
use crate::job::TokenCount;
use crate::model::Parts;

/// What the encoders made of a prompt, in host memory: 4 MB for FLUX.1-dev.
#[derive(Debug)]
pub struct Encoded {
    /// The prompt, and what the encoders were changed by.
    key: String,
    /// T5's, `[tokens, channels]`.
    pub text: Vec<bf16>,
    /// Tokens of T5.
    pub tokens: usize,
    /// CLIP's, `[1, channels]`.
    pub pooled: Vec<bf16>,
    /// What either did not read.
    pub cuts: Vec<TokenCount>,
}

/// How many prompts are kept as the encoders read them.
const KEPT: usize = 4;

/// T5, wherever it reads.
#[derive(Debug)]
pub enum T5Reader {
    /// On the card, in bf16; its weights stay there or are brought for each prompt.
    Card(T5),
    /// On the CPU, in fp32.
    Host(host::T5),
}

/// What T5 takes of a card when it reads on the CPU.
pub const T5_ON_HOST: budget::Encoder = budget::Encoder { weights: 0, brought: 0, room: 0 };

impl T5Reader {
    /// Columns of what it gives for each token.
    fn width(&self) -> usize {
        match self {
            Self::Card(t5) => t5.width(),
            Self::Host(t5) => t5.width(),
        }
    }

    /// `[tokens, channels]`
    fn read(&self, gpu: &Arc<Gpu>, tokens: &Tokens) -> Result<Vec<bf16>> {
        match self {
            Self::Card(t5) => {
                let count = tokens.ids.len();
                let text = Buffer::of::<bf16>(gpu, count, t5.width(), "an encoded prompt")?;
                let room = t5.room(gpu, count)?;
                let out = text.matrix(0, count, t5.width());
                t5.encode(gpu, &tokens.ids, &room, out)?;
                gpu.download(out)
            }
            Self::Host(t5) => {
                let text = t5.encode(tokens).and_then(|text| text.flatten_all()?.to_vec1::<f32>());
                let text = text.map_err(|error| CudaError::Weights(error.into()))?;
                Ok(text.into_iter().map(bf16::from_f32).collect())
            }
        }
    }
}

/// Both encoders of a model and what they read last.
#[derive(Debug)]
pub struct Prompts {
    counter: Counter,
    kept: Option<KeptPrompts>,
    t5: T5Reader,
    clip: Clip,
    /// What LoRAs changed the encoders by; empty where none does.
    changed: String,
    /// The newest first.
    last: VecDeque<Arc<Encoded>>,
}

impl Prompts {
    /// Of these encoders; `kept` as [`Prompts::kept`] gives it.
    #[must_use]
    pub fn new(counter: Counter, kept: Option<KeptPrompts>, t5: T5Reader, clip: Clip) -> Self {
        Self { counter, kept, t5, clip, changed: String::new(), last: VecDeque::new() }
    }

    /// Where prompts of these encoders are kept on disk, if the parts name a folder.
    #[must_use]
    pub fn kept(
        parts: &Parts,
        weights: (&Weights, &Weights),
        counter: &Counter,
        t5_on_host: bool,
    ) -> Option<KeptPrompts> {
        let reading = if t5_on_host { "card, T5 on the CPU" } else { "card" };
        KeptPrompts::new(parts, weights, counter, (reading, Dtype::BF16))
    }

    /// Tokens of every prompt.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.counter.t5.limit()
    }

    /// Columns of what T5 and CLIP give.
    #[must_use]
    pub fn widths(&self) -> [usize; 2] {
        [self.t5.width(), self.clip.width()]
    }

    /// Whether T5 reads on the CPU.
    #[must_use]
    pub fn t5_is_on_the_host(&self) -> bool {
        matches!(self.t5, T5Reader::Host(_))
    }

    /// The encoders, to be changed, and the line that tells what they read apart from what others did.
    pub fn encoders(&mut self) -> (&mut T5Reader, &mut Clip, &mut String) {
        (&mut self.t5, &mut self.clip, &mut self.changed)
    }

    /// Reads a prompt, unless it is one of the last or was kept; whether the encoders had to. Then `clips` is told CLIP's
    /// vector before T5 begins.
    ///
    /// # Errors
    /// When a tokenizer or the card fails; what `clips` gives.
    pub fn read(
        &mut self,
        gpu: &Arc<Gpu>,
        prompt: &str,
        clips: impl FnOnce(&[bf16]) -> std::result::Result<(), EngineError>,
    ) -> std::result::Result<(Arc<Encoded>, bool), EngineError> {
        let key = kept_as(prompt, &self.changed);
        let known = self.last.iter().position(|encoded| encoded.key == key);
        let (encoded, anew) = match known.and_then(|at| self.last.remove(at)) {
            Some(encoded) => (encoded, false),
            None => match self.read_kept(&key) {
                Some(kept) => (Arc::new(kept), false),
                None => (Arc::new(self.read_anew(gpu, prompt, &key, clips)?), true),
            },
        };
        self.last.push_front(Arc::clone(&encoded));
        self.last.truncate(KEPT);
        Ok((encoded, anew))
    }

    fn read_kept(&self, key: &str) -> Option<Encoded> {
        let Kept { text, pooled, cuts } = self.kept.as_ref()?.read(key, self.widths())?;
        let (text, pooled, tokens) = (as_bf16(&text), as_bf16(&pooled), self.tokens());
        Some(Encoded { key: key.to_owned(), text, tokens, pooled, cuts })
    }

    fn read_anew(
        &self,
        gpu: &Arc<Gpu>,
        prompt: &str,
        key: &str,
        clips: impl FnOnce(&[bf16]) -> std::result::Result<(), EngineError>,
    ) -> std::result::Result<Encoded, EngineError> {
        const STAGE: &str = "reading the prompt";
        let begun = Instant::now();
        let untokenized = |error| EngineError::Compute { stage: STAGE, source: Box::new(error) };
        let t5 = self.counter.t5.tokenize(prompt).map_err(untokenized)?;
        let clip = self.counter.clip.tokenize(prompt).map_err(untokenized)?;
        let pooled = self.pooled(gpu, &clip).map_err(during(STAGE))?;
        clips(&pooled)?;
        let text = self.t5.read(gpu, &t5).map_err(during(STAGE))?;
        let tokens = t5.ids.len();
        let cuts: Vec<_> =
            [t5.count, clip.count].into_iter().filter(|count| count.cut_at.is_some()).collect();
        if let Some(kept) = &self.kept {
            let bytes = |values: &[bf16]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let made = Kept { text: bytes(&text), pooled: bytes(&pooled), cuts: cuts.clone() };
            kept.write(key, &made, begun.elapsed());
        }
        Ok(Encoded { key: key.to_owned(), text, tokens, pooled, cuts })
    }

    fn pooled(&self, gpu: &Arc<Gpu>, tokens: &Tokens) -> Result<Vec<bf16>> {
        let pooled = Buffer::of::<bf16>(gpu, 1, self.clip.width(), "an encoded prompt")?;
        let room = self.clip.room(gpu, tokens.ids.len())?;
        let out = pooled.matrix(0, 1, self.clip.width());
        self.clip.encode(gpu, &tokens.ids, tokens.end, &room, out)?;
        gpu.download(out)
    }
}
