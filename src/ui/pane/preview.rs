//! What the preview shows, what it should show, and what is on its way.
//!
//! Pictures are encoded on their own thread. Each order has a number, so that a result which was
//! overtaken is known as such; previews of a running picture are ordered at most four times a
//! second and the latest wins.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ratatui::layout::Size;

use super::grid::SeenSheet;
use crate::job::grid::GridId;
use crate::job::{JobId, PictureId};
use crate::ui::picture::{Drawable, Encoded, Means, Order, Protocol, Slot, Source, Subject, Zoom};
use crate::ui::terminal::line::Line;
use crate::wire::message::Preview;

/// Between two previews of a running picture, however fast the line is.
const PAUSE: Duration = Duration::from_millis(250);
/// PNGs kept, in bytes: a few dozen large pictures, to go back and forth in the history.
const KEPT_BYTES: usize = 64 << 20;

/// The preview pane.
#[derive(Debug, Default)]
pub struct PreviewPane {
    /// Show what is drawn, rather than what is chosen in the history.
    pub follows: bool,
    /// The newest preview of each running picture, in the order in which they began to have any.
    live: Vec<Preview>,
    /// The picture to show when there is no preview.
    picture: Option<PictureId>,
    /// A contact sheet, which is shown in place of both.
    sheet: Option<SeenSheet>,
    fetched: Fetched,
    ordered: Option<Ordered>,
    last_live: Option<Instant>,
    shown: Option<Shown>,
    /// Why a picture cannot be shown.
    failed: Option<(PictureId, String)>,
    next_number: u64,
    /// Raised when all that was drawn is void: the screen was cleared.
    generation: u64,
}

/// What is on the screen.
#[derive(Debug)]
pub struct Shown {
    number: u64,
    /// What it shows.
    pub subject: Subject,
    /// The picture, ready to be drawn.
    pub drawable: Drawable,
}

impl Shown {
    /// The order it came from; another number is another picture.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Ordered {
    subject: Subject,
    room: Size,
    means: Means,
    generation: u64,
}

#[derive(Debug, Default)]
struct Fetched {
    files: VecDeque<(PictureId, Bytes)>,
    asked: Option<PictureId>,
}

impl PreviewPane {
    /// Empty, and following what is drawn.
    #[must_use]
    pub fn new() -> Self {
        Self { follows: true, ..Self::default() }
    }

    /// Shows what is drawn from now on.
    pub fn follow(&mut self) {
        self.follows = true;
        self.sheet = None;
    }

    /// Shows a contact sheet.
    pub fn show_sheet(&mut self, sheet: SeenSheet) {
        let before = self.sheet.take().filter(|seen| seen.grid.id == sheet.grid.id);
        let version = before.map_or(0, |seen| seen.version);
        self.sheet = Some(SeenSheet { version, ..sheet });
    }

    /// The contact sheet that is shown.
    #[must_use]
    pub fn sheet(&self) -> Option<&SeenSheet> {
        self.sheet.as_ref()
    }

    /// A contact sheet looks otherwise now.
    pub fn sheet_changed(&mut self, grid: GridId) {
        self.sheet.iter_mut().filter(|sheet| sheet.grid.id == grid).for_each(|sheet| sheet.stale = true);
    }

    /// The contact sheet to ask for, if any: one is on its way at a time.
    pub fn sheet_question(&mut self) -> Option<GridId> {
        let sheet = self.sheet.as_mut().filter(|sheet| sheet.stale && !sheet.asked)?;
        (sheet.stale, sheet.asked) = (false, true);
        Some(sheet.grid.id)
    }

    /// A contact sheet came; why not, if it did not.
    pub fn sheet_came(&mut self, grid: GridId, png: Result<Bytes, String>) -> Option<String> {
        let sheet = self.sheet.as_mut().filter(|sheet| sheet.grid.id == grid)?;
        sheet.asked = false;
        match png {
            Ok(png) => {
                (sheet.png, sheet.version) = (Some(png), sheet.version + 1);
                None
            }
            Err(reason) => Some(reason),
        }
    }

    /// A preview came.
    pub fn live(&mut self, preview: Preview) {
        let is_it = |live: &&mut Preview| (live.job, live.index) == (preview.job, preview.index);
        match self.live.iter_mut().find(is_it) {
            Some(live) => *live = preview,
            None => self.live.push(preview),
        }
    }

    /// The preview to follow: that of the oldest running picture.
    fn followed(&self) -> Option<&Preview> {
        self.live.first()
    }

    /// A picture is finished: its previews are over.
    pub fn finished(&mut self, job: JobId, index: u32, picture: PictureId) {
        self.stopped(job, index);
        if self.follows {
            self.picture = Some(picture);
        }
    }

    /// A picture is not drawn any more.
    pub fn stopped(&mut self, job: JobId, index: u32) {
        self.live.retain(|live| (live.job, live.index) != (job, index));
    }

    /// A job is over: so are its previews.
    pub fn job_over(&mut self, job: JobId) {
        self.live.retain(|live| live.job != job);
    }

    /// Shows this picture, and no running one, until told otherwise.
    pub fn look_at(&mut self, picture: PictureId) {
        self.follows = false;
        self.sheet = None;
        self.picture = Some(picture);
    }

    /// Shows this picture when nothing is drawn.
    pub fn rest_on(&mut self, picture: Option<PictureId>) {
        self.picture = picture.or(self.picture);
    }

    /// What should be seen.
    #[must_use]
    pub fn wanted(&self) -> Option<Subject> {
        if let Some(sheet) = self.sheet.as_ref().filter(|sheet| sheet.png.is_some()) {
            return Some(Subject::Sheet { grid: sheet.grid.id, version: sheet.version });
        }
        match self.followed() {
            Some(live) if self.follows => {
                Some(Subject::Preview { job: live.job, index: live.index, step: live.step })
            }
            _ => self.picture.map(Subject::Picture),
        }
    }

    /// What is seen.
    #[must_use]
    pub fn shown(&self) -> Option<&Shown> {
        self.shown.as_ref()
    }

    /// Why the picture that should be seen is not.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        let wanted = self.wanted()?;
        self.failed.as_ref().filter(|(id, _)| wanted == Subject::Picture(*id)).map(|(_, why)| why.as_str())
    }

    /// The picture to ask the worker for, if any. One is on its way at a time.
    pub fn question(&mut self) -> Option<PictureId> {
        let Some(Subject::Picture(id)) = self.wanted() else { return None };
        let known = self.fetched.get(id).is_some() || self.failure().is_some();
        if known || self.fetched.asked.is_some() {
            return None;
        }
        self.fetched.asked = Some(id);
        Some(id)
    }

    /// Takes a picture's file, if it was asked for here.
    pub fn fetched(&mut self, id: PictureId, result: Result<Bytes, String>) {
        if self.fetched.asked != Some(id) {
            return;
        }
        self.fetched.asked = None;
        match result {
            Ok(png) => self.fetched.keep(id, png),
            Err(why) => self.failed = Some((id, why)),
        }
    }

    /// The connection is lost: what was asked will not be answered, what failed may work. The last preview stays.
    pub fn unanswered(&mut self) {
        self.fetched.asked = None;
        self.failed = None;
        self.sheet.iter_mut().for_each(|sheet| (sheet.stale, sheet.asked) = (true, false));
    }

    /// The connection is another, and says what is being drawn.
    pub fn forget(&mut self) {
        self.unanswered();
        self.live.clear();
    }

    /// The screen was cleared, or its pictures lost.
    pub fn repaint(&mut self) {
        self.generation += 1;
    }

    /// The order to give now, if any.
    pub fn order(&mut self, room: Size, means: Means, line: &Line, now: Instant) -> Option<Order> {
        let subject = self.wanted()?;
        let is_preview = matches!(subject, Subject::Preview { .. });
        // Sixels cannot be made larger by the terminal: on a slow line a preview by half-blocks is many times smaller.
        let means = match means.protocol {
            Protocol::Sixel if is_preview && line.is_slow() => {
                Means { protocol: Protocol::HalfBlocks, ..means }
            }
            _ => means,
        };
        let ordered = Ordered { subject, room, means, generation: self.generation };
        if room.width == 0 || room.height == 0 || self.ordered.as_ref() == Some(&ordered) {
            return None;
        }
        let source = match subject {
            Subject::Preview { .. } => {
                if line.preview_at(now)?.max(self.live_due().unwrap_or(now)) > now {
                    return None;
                }
                self.last_live = Some(now);
                Source::Rgb(self.followed()?.clone())
            }
            Subject::Picture(id) => Source::Png(self.fetched.get(id)?.clone()),
            Subject::Sheet { .. } => Source::Png(self.sheet.as_ref()?.png.clone()?),
            // That of the picker.
            Subject::Lora(_) => return None,
        };
        self.ordered = Some(ordered);
        self.next_number += 1;
        let (number, slot, zoom) = (self.next_number, Slot::PREVIEW, Zoom::default());
        let budget = if is_preview { line.budget(means.protocol.is_kittys()) } else { None };
        Some(Order { number, slot, subject, source, room, means, zoom, budget })
    }

    /// When an order that had to wait can be given.
    #[must_use]
    pub fn deadline(&self, preview_at: Option<Instant>, now: Instant) -> Option<Instant> {
        let wanted = self.wanted()?;
        let waits = matches!(wanted, Subject::Preview { .. })
            && self.ordered.as_ref().is_none_or(|ordered| ordered.subject != wanted);
        // While the one before is still to be sent there is no time at which it is due.
        let at = preview_at.filter(|_| waits).map(|at| self.live_due().map_or(at, |due| due.max(at)));
        // What was due is ordered by now, if there is room for it.
        at.filter(|at| *at > now)
    }

    fn live_due(&self) -> Option<Instant> {
        self.last_live.map(|last| last + PAUSE)
    }

    /// Takes a result, unless a later one is there or it was made for another screen.
    pub fn encoded(&mut self, encoded: Encoded) {
        let overtaken = self.shown.as_ref().is_some_and(|shown| shown.number > encoded.number);
        let fits = self.ordered.as_ref().is_some_and(|ordered| {
            // An older preview of the same picture is better than none while the newest is encoded.
            ordered.subject.same_picture(encoded.subject)
                && (ordered.room, &ordered.means) == (encoded.room, &encoded.means)
        });
        if overtaken || !fits {
            return;
        }
        match (encoded.result, encoded.subject) {
            (Ok(drawable), subject) => {
                self.shown = Some(Shown { number: encoded.number, subject, drawable });
            }
            (Err(why), Subject::Picture(id)) => self.failed = Some((id, why)),
            (Err(_), Subject::Preview { .. } | Subject::Sheet { .. } | Subject::Lora(_)) => {}
        }
    }
}

impl Fetched {
    fn get(&self, id: PictureId) -> Option<&Bytes> {
        self.files.iter().find(|(known, _)| *known == id).map(|(_, png)| png)
    }

    fn keep(&mut self, id: PictureId, png: Bytes) {
        self.files.retain(|(known, _)| *known != id);
        self.files.push_back((id, png));
        while self.files.len() > 1 && self.files.iter().map(|(_, png)| png.len()).sum::<usize>() > KEPT_BYTES
        {
            self.files.pop_front();
        }
    }
}
