//! The gallery: pictures of the library in a grid of small copies, one of them whole, or two compared. It takes the
//! window for itself, and lists, help and palette lie over it as over the panes.

mod compare;
mod entries;
mod filter;
mod found;
mod places;
pub mod thumbs;
mod trashed;
mod whole;

pub use compare::{Difference, Kind, Pair, Parameter, Piece, Side, parameters, words};
pub use entries::{Entry, SeenGrid};
pub use filter::{parse, write};
pub use found::Found;
pub use places::{Grid, Places};
pub use thumbs::{Small, Thumbs};
pub use trashed::{Trashed, TrashedList};
pub use whole::{Files, Whole};

use crate::job::grid::{Grid as DrawnGrid, GridId, GridOrder};
use crate::job::{Picture, PictureId, PictureQuery};
use crate::ui::keymap::Context;
use crate::ui::picture::{Slot, Zoom};

/// The longest line that can be typed, in characters: more than a search or the tags of a picture may have.
const LINE_MAX: usize = 1200;

/// The gallery, open or not, and what outlives its closing.
#[derive(Debug, Default)]
pub struct GalleryPane {
    open: Option<Box<Gallery>>,
    /// What was put into the trash.
    pub trashed: TrashedList,
    /// The first of two pictures to be compared.
    pub marked: Option<Picture>,
    /// It was closed, and what the terminal holds of it is not dropped yet.
    closed: bool,
}

/// The open gallery.
#[derive(Debug)]
pub struct Gallery {
    /// What was found; of an open grid its pictures.
    pub found: Found,
    /// What was found around the open grid.
    around: Option<Found>,
    /// What was asked for of the grid that was opened last.
    order: Option<(GridId, GridOrder)>,
    /// The grid of which that is on its way, or could not be had.
    order_asked: Option<GridId>,
    /// The grid whose sheet is to be seen in the preview once the worker has told of it.
    pub sheet: Option<GridId>,
    /// Their small copies.
    pub thumbs: Thumbs,
    /// PNGs of those that are seen whole.
    pub files: Files,
    /// The places of whole pictures.
    pub whole: [Whole; 2],
    /// What is seen.
    pub mode: Mode,
    /// Which part of a whole picture.
    pub zoom: Zoom,
    /// A line that is being typed.
    pub line: Option<Line>,
    /// What came of the last key.
    pub said: Option<String>,
    /// There is no grid to go back to.
    direct: bool,
}

/// What is seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Mode {
    /// Many.
    #[default]
    Grid,
    /// One.
    View(Box<Picture>),
    /// Two.
    Compare(Box<Pair>),
}

/// What a line that is typed is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Which pictures.
    Search,
    /// The tags of one.
    Tags(PictureId),
    /// The tags of all of a grid.
    GridTags(GridId),
}

/// A line that is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What for.
    pub purpose: Purpose,
    /// What stands there.
    pub text: String,
}

impl GalleryPane {
    /// What is open.
    #[must_use]
    pub fn open(&self) -> Option<&Gallery> {
        self.open.as_deref()
    }

    /// The same, to be changed.
    pub fn open_mut(&mut self) -> Option<&mut Gallery> {
        self.open.as_deref_mut()
    }

    /// Whether it is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Opens it over these pictures.
    pub fn show(&mut self, found: Found) {
        self.open = Some(Box::new(Gallery::new(found, Mode::Grid)));
    }

    /// Compares two pictures, in the open gallery or over what `found` is.
    pub fn compare(&mut self, a: Picture, b: Picture, found: impl FnOnce() -> Found) {
        self.marked = None;
        let mode = Mode::Compare(Box::new(Pair::new(a, b)));
        match &mut self.open {
            Some(open) => open.turn(mode),
            None => {
                let mut gallery = Gallery::new(found(), mode);
                gallery.direct = true;
                self.open = Some(Box::new(gallery));
            }
        }
    }

    /// Closes it. Whether it was open.
    pub fn close(&mut self) -> bool {
        let was_open = self.open.take().is_some();
        self.closed |= was_open;
        was_open
    }

    /// Whether it was closed since this was asked last.
    pub fn was_closed(&mut self) -> bool {
        std::mem::take(&mut self.closed)
    }

    /// Goes one step back. Whether there was one.
    pub fn escape(&mut self) -> bool {
        let Some(open) = &mut self.open else { return false };
        if open.line.take().is_some() {
            return true;
        }
        if matches!(open.mode, Mode::Grid) && open.leave_grid() {
            return true;
        }
        if matches!(open.mode, Mode::Grid) || open.direct {
            return self.close();
        }
        open.turn(Mode::Grid);
        true
    }

    /// Which keys it has.
    #[must_use]
    pub fn contexts(&self) -> Option<Vec<Context>> {
        let open = self.open.as_deref()?;
        let own = match (&open.line, &open.mode) {
            (Some(_), _) => vec![Context::GalleryLine],
            (None, Mode::Grid) => vec![Context::Gallery],
            (None, Mode::View(_)) => vec![Context::GalleryView, Context::Gallery],
            (None, Mode::Compare(_)) => vec![Context::Compare, Context::Gallery],
        };
        Some([own, vec![Context::Everywhere]].concat())
    }

    /// How many can be taken back.
    #[must_use]
    pub fn trashed(&self) -> usize {
        self.trashed.len()
    }

    /// A picture is changed, wherever it is shown.
    pub fn changed(&mut self, picture: &Picture) {
        if let Some(marked) = self.marked.as_mut().filter(|marked| marked.id == picture.id) {
            *marked = picture.clone();
        }
        if self.marked.as_ref().is_some_and(|marked| marked.marks.trashed_at.is_some()) {
            self.marked = None;
        }
        if picture.marks.trashed_at.is_none() {
            self.trashed.forget(Trashed::Picture(picture.id));
        }
        if let Some(open) = &mut self.open {
            open.changed(picture);
        }
    }

    /// What was asked of the worker will not be answered.
    pub fn unanswered(&mut self) {
        if let Some(open) = &mut self.open {
            open.each_found().for_each(Found::unanswered);
            open.order_asked = None;
            open.thumbs.unanswered();
            open.files.unanswered();
        }
    }

    /// The screen was cleared: pictures are drawn anew.
    pub fn repaint(&mut self) {
        if let Some(open) = &mut self.open {
            open.thumbs.repaint();
            open.whole.iter_mut().for_each(Whole::repaint);
        }
    }
}

impl Gallery {
    fn new(found: Found, mode: Mode) -> Self {
        Self {
            found,
            around: None,
            order: None,
            order_asked: None,
            sheet: None,
            thumbs: Thumbs::default(),
            files: Files::default(),
            whole: Slot::WHOLE.map(Whole::new),
            mode,
            zoom: Zoom::default(),
            line: None,
            said: None,
            direct: false,
        }
    }

    /// Shows something else.
    pub fn turn(&mut self, mode: Mode) {
        self.mode = mode;
        self.zoom = Zoom::default();
    }

    /// The picture that keys are about.
    #[must_use]
    pub fn target(&self) -> Option<&Picture> {
        match &self.mode {
            Mode::Grid => self.found.chosen_picture(),
            Mode::View(picture) => Some(picture),
            Mode::Compare(pair) => Some(pair.target()),
        }
    }

    /// The grid that keys are about, if they are about one.
    #[must_use]
    pub fn target_grid(&self) -> Option<SeenGrid<'_>> {
        self.found.chosen_grid().filter(|_| self.mode == Mode::Grid)
    }

    /// The grid that keys are about, or that the picture they are about is of.
    #[must_use]
    pub fn grid(&self) -> Option<GridId> {
        Some(self.target()?.grid.as_ref()?.grid)
    }

    /// Whether a grid is open.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.found.query().grid.is_some()
    }

    /// The grid to ask the worker for, so that the values of its cells are known.
    pub fn wants_order(&mut self) -> Option<GridId> {
        let grid = self.found.query().grid?;
        let known = self.order.as_ref().is_some_and(|(known, _)| *known == grid);
        (!known && self.order_asked.replace(grid) != Some(grid)).then_some(grid)
    }

    /// Takes what was asked for of a grid.
    pub fn grid_told(&mut self, grid: &DrawnGrid) {
        if self.found.query().grid == Some(grid.id) {
            self.order = Some((grid.id, grid.order.clone()));
        }
    }

    /// The values of a picture's cell in the open grid, once they are known.
    #[must_use]
    pub fn values(&self, picture: &Picture) -> Option<String> {
        let (known, order) = self.order.as_ref().filter(|_| self.is_inside())?;
        let of = picture.grid.as_ref().filter(|of| of.grid == *known)?;
        ((of.cell as usize) < order.cells()).then(|| order.place(of.cell as usize))
    }

    /// Opens the chosen grid. Whether one was chosen.
    pub fn enter_grid(&mut self) -> bool {
        let Some(grid) = self.target_grid() else { return false };
        let query =
            PictureQuery { grid: Some(grid.of.grid), trashed: grid.is_trashed(), ..PictureQuery::default() };
        let mut cells: Vec<Picture> = grid.cells().cloned().collect();
        let whole = cells.len() == grid.of.cells as usize;
        let first = grid.first.id;
        // As pages are: the newest first.
        cells.sort_by_key(|picture| std::cmp::Reverse(picture.age()));
        // Some of them may not match what was looked for, or be on a page that has not come.
        let known = if whole { cells } else { Vec::new() };
        let inside = Found::new(query, known, whole).choosing(Some(first));
        self.around = Some(std::mem::replace(&mut self.found, inside));
        true
    }

    /// Goes back to what is around an open grid. Whether one was open.
    pub fn leave_grid(&mut self) -> bool {
        let Some(around) = self.around.take() else { return false };
        self.found = around;
        true
    }

    /// Shows something else that was found; around an open grid stays what it was.
    pub fn look_at(&mut self, found: Found) {
        if found.query().grid.is_none() {
            self.around = None;
        }
        self.found = found;
    }

    /// What was found around the open grid.
    #[must_use]
    pub fn around(&self) -> Option<&Found> {
        self.around.as_ref()
    }

    /// Something else was found around the open grid.
    pub fn look_around(&mut self, found: Found) {
        self.around = Some(found).filter(|_| self.is_inside());
    }

    /// What is seen, and what is around it.
    pub fn each_found(&mut self) -> impl Iterator<Item = &mut Found> {
        [Some(&mut self.found), self.around.as_mut()].into_iter().flatten()
    }

    /// A character goes to the line that is being typed.
    pub fn type_character(&mut self, typed: char) {
        if let Some(line) = &mut self.line
            && !typed.is_control()
            && line.text.chars().count() < LINE_MAX
        {
            line.text.push(typed);
        }
    }

    fn changed(&mut self, picture: &Picture) {
        self.each_found().for_each(|found| found.changed(picture));
        match &mut self.mode {
            Mode::Grid => {}
            Mode::View(shown) if shown.id == picture.id => {
                **shown = picture.clone();
                // What went into the trash gives way to the one that takes its place.
                if picture.marks.trashed_at.is_some() && self.found.find(picture.id).is_none() {
                    self.mode = match self.found.chosen_picture() {
                        Some(next) => Mode::View(Box::new(next.clone())),
                        None => Mode::Grid,
                    };
                }
            }
            Mode::View(_) => {}
            Mode::Compare(pair) => pair.changed(picture),
        }
    }
}

#[cfg(test)]
mod tests;
