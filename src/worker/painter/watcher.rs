//! One picture being followed: what the engine tells of it goes to whoever watches, and how far it is into the library.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Loaded, Painter, Report, Supplies};
use crate::engine::{Brief, Drawn, EngineError, Observer, Report as Reached};
use crate::wire::message::{Preview, Stage};
use crate::worker::checkpoint::Keeper;
use crate::worker::queue::Work;

/// How often the progress of a load is told.
const LOADING_EVERY: Duration = Duration::from_millis(50);

/// Follows one picture for the worker.
pub(super) struct Watcher<'a> {
    pub(super) painter: &'a Painter,
    pub(super) work: &'a Work,
    pub(super) stop: &'a AtomicBool,
    /// When the progress of a load was last told.
    pub(super) told: Option<Instant>,
    pub(super) keeper: Option<Keeper<'a>>,
    /// The step that the picture is gone on with from.
    pub(super) begun: u32,
}

impl Watcher<'_> {
    /// Draws, from the last checkpoint if there is one that fits.
    pub(super) fn draw(&mut self, engine: &mut Loaded, brief: &Brief) -> Result<Drawn, EngineError> {
        let Supplies { store, checkpoint_every, .. } = &self.painter.supplies;
        self.keeper =
            checkpoint_every.map(|every| Keeper::new(store, every, self.work, engine.draw.numerics(brief)));
        let begun = self.keeper.as_ref().and_then(Keeper::find);
        self.begun = begun.as_ref().map_or(0, |begun| begun.step);
        match engine.draw.draw_from(brief, begun.as_ref(), self) {
            Err(error @ EngineError::Resume { .. }) => {
                tracing::warn!(job = self.work.id.0, %error, "the picture is begun anew");
                self.begun = 0;
                engine.draw.draw(brief, self)
            }
            drawn => drawn,
        }
    }

    pub(super) fn reached(&self, stage: Stage) {
        self.painter.supplies.tell(Report::Reached { work: self.work.clone(), stage, at: Instant::now() });
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
                if !self.painter.supplies.watched.load(Ordering::Relaxed) {
                    return;
                }
                let rgb = at.preview.rgb().into();
                match Preview::new(self.work.id, self.work.index, at.step, at.preview.size(), rgb) {
                    Ok(preview) => self.painter.supplies.tell(Report::Preview(self.painter.device, preview)),
                    Err(error) => tracing::error!(%error, "a preview was dropped"),
                }
            }
        }
    }

    fn wants_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
