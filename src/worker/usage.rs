//! What a card's pictures took, into the library, and what the next plan learns, out of it. Nothing fails because of
//! it: what cannot be kept is said in the log.

use std::sync::OnceLock;

use super::store::Store;
use crate::gpu::CardMemory;
use crate::job::{Job, PictureId};
use crate::library::Kind;
use crate::usage::{Learned, Usage};

/// What a context takes of a card can only be within these bytes: what is read outside them is somebody else's doing.
const CONTEXT: std::ops::Range<u64> = 64 << 20..4 << 30;

/// One device's.
pub(super) struct Ledger {
    store: Store,
    /// The card, by what tells it from all others; `None` of the CPU.
    card: Option<String>,
    memory: OnceLock<CardMemory>,
}

impl Ledger {
    pub fn new(store: Store, card: Option<String>) -> Self {
        Self { store, card, memory: OnceLock::new() }
    }

    /// What is known for a job's pictures.
    pub fn learned(&self, job: &Job) -> Learned {
        let Some(card) = self.card.clone() else { return Learned::default() };
        let kind = Kind { card, model: job.model.clone(), load: job.load, size: job.size };
        self.store.ask_and_wait(move |library| library.learned(&kind)).unwrap_or_else(|error| {
            tracing::warn!(%error, "a plan is made without what earlier pictures taught");
            Learned::default()
        })
    }

    /// Bytes of the card's memory that are in use by all; to be asked before a model is loaded.
    pub fn used(&self) -> Option<u64> {
        let card = self.card.as_deref()?;
        self.memory.get_or_init(CardMemory::open).of(card).map(|memory| memory.used)
    }

    /// Keeps what a picture took. `before` is what [`used`](Self::used) gave before its model was loaded.
    pub fn keep(&self, picture: PictureId, usage: Usage, before: Option<u64>) {
        let Some(card) = self.card.clone() else { return };
        let context = self.context(&card, usage.held, before);
        let compared = usage.compared(context);
        let percent = |error: Option<f64>| error.map(|error| 100.0 * error);
        let (peak, step) = (percent(compared.peak_error()), percent(compared.step_error()));
        tracing::info!(
            picture = picture.0,
            ?compared,
            peak_error_percent = peak,
            step_error_percent = step,
            "beside the plan"
        );
        let kept =
            self.store.ask_and_wait(move |library| library.keep_usage(picture, &card, &usage, context));
        if let Err(error) = kept {
            tracing::warn!(picture = picture.0, %error, "what a picture took was not kept");
        }
    }

    /// What this process holds of the card besides the engine's own `held` bytes: by its entry with the driver, or, where
    /// that lists no processes, by what has come to the card's memory since `before`.
    fn context(&self, card: &str, held: u64, before: Option<u64>) -> Option<u64> {
        let memory = self.memory.get_or_init(CardMemory::open).of(card)?;
        let ours = memory.ours.or_else(|| memory.used.checked_sub(before?));
        ours?.checked_sub(held).filter(|context| CONTEXT.contains(context))
    }
}
