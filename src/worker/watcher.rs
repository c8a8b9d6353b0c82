//! Follows one picture while it is loaded for and drawn: tells how far it is, shows it to whoever looks, keeps checkpoints
//! and knows when it is to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::checkpoint::Keeper;
use super::painter::{Report, Supplies};
use super::queue::Work;
use crate::device::Device;
use crate::engine::{Brief, Draw, Drawn, EngineError, Observer, Report as Reached};
use crate::wire::message::{Preview, Stage};

/// How often the progress of a load is told.
const LOADING_EVERY: Duration = Duration::from_millis(50);

/// Follows one picture for the worker.
pub(super) struct Watcher<'a> {
    supplies: &'a Supplies,
    device: Device,
    work: &'a Work,
    stop: &'a AtomicBool,
    /// When the progress of a load was last told.
    told: Option<Instant>,
    keeper: Option<Keeper<'a>>,
    /// The step that the picture is gone on with from.
    begun: u32,
}

impl<'a> Watcher<'a> {
    /// Of a picture on a device, until the flag is set.
    pub fn new((supplies, device): (&'a Supplies, Device), work: &'a Work, stop: &'a AtomicBool) -> Self {
        Self { supplies, device, work, stop, told: None, keeper: None, begun: 0 }
    }

    /// Draws, from the last checkpoint if there is one that fits.
    pub fn draw(&mut self, draw: &mut dyn Draw, brief: &Brief) -> Result<Drawn, EngineError> {
        let Supplies { store, checkpoint_every, .. } = self.supplies;
        self.keeper =
            checkpoint_every.map(|every| Keeper::new(store, every, self.work, draw.numerics(brief)));
        let begun = self.keeper.as_ref().and_then(Keeper::find);
        self.begun = begun.as_ref().map_or(0, |begun| begun.step);
        match draw.draw_from(brief, begun.as_ref(), self) {
            Err(error @ EngineError::Resume { .. }) => {
                tracing::warn!(job = self.work.id.0, %error, "the picture is begun anew");
                self.begun = 0;
                draw.draw(brief, self)
            }
            drawn => drawn,
        }
    }

    /// Tells how far it is.
    pub fn reached(&self, stage: Stage) {
        self.supplies.tell(Report::Reached { work: self.work.clone(), stage, at: Instant::now() });
    }

    fn loading(&mut self, done: u64, total: u64) {
        if done < total && self.told.is_some_and(|told| told.elapsed() < LOADING_EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        self.reached(Stage::Loading { done, total });
    }
}

impl Observer for Watcher<'_> {
    fn report(&mut self, report: Reached<'_>) {
        match report {
            Reached::Loading { done, total } => self.loading(done, total),
            Reached::Encoding => self.reached(Stage::Encoding),
            Reached::Decoding => self.reached(Stage::Decoding),
            Reached::Step(at) => {
                self.reached(Stage::Drawing { step: at.step, steps: at.steps, sigma: at.sigma });
                if at.step == self.begun {
                    // As it was begun there is nothing to see and nothing to keep.
                    return;
                }
                if let Some(keeper) = &mut self.keeper {
                    keeper.step(&at);
                }
                if !self.supplies.watched.load(Ordering::Relaxed) {
                    return;
                }
                let rgb = at.preview.rgb().into();
                match Preview::new(self.work.id, self.work.index, at.step, at.preview.size(), rgb) {
                    Ok(preview) => self.supplies.tell(Report::Preview(self.device, preview)),
                    Err(error) => tracing::error!(%error, "a preview was dropped"),
                }
            }
        }
    }

    fn wants_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
