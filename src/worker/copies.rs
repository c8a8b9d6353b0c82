//! Small copies of the pictures of grids, kept so that a contact sheet that is drawn again with each cell reads each
//! picture once.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use image::RgbImage;

use crate::job::PictureId;
use crate::job::grid::Grid;
use crate::library::sheet;

/// Bytes of pixels that are kept at most: more than any one grid has.
const KEPT_BYTES: usize = 32 << 20;
const _: () = assert!(KEPT_BYTES >= 3 * (sheet::SIDE_MAX as usize).pow(2));

/// The copies. A picture's file is never written again, so a copy stays true.
#[derive(Debug)]
pub(super) struct Copies {
    kept: HashMap<PictureId, Copy>,
    bytes: usize,
    /// How many they may be.
    most: usize,
    /// Sheets that were drawn.
    sheets: u64,
}

#[derive(Debug)]
struct Copy {
    pixels: Arc<RgbImage>,
    /// The last sheet that it was on.
    sheet: u64,
}

impl Default for Copies {
    fn default() -> Self {
        Self { kept: HashMap::new(), bytes: 0, most: KEPT_BYTES, sheets: 0 }
    }
}

impl Copies {
    /// Draws the sheet of a grid as it is, about `side` pixels long. `read` reads a picture's file where no copy of it is
    /// kept; one that cannot be read is asked for again with the next sheet.
    pub fn sheet(&mut self, grid: &Grid, side: u32, read: impl Fn(&Path) -> Option<RgbImage>) -> RgbImage {
        self.sheets += 1;
        sheet::draw(grid, side, |at| {
            let cell = grid.cells.get(at)?;
            let (picture, path) = (cell.picture?, cell.path.as_ref()?);
            if let Some(known) = self.kept.get_mut(&picture) {
                known.sheet = self.sheets;
                return Some(Arc::clone(&known.pixels));
            }
            let pixels = Arc::new(sheet::copy(grid, at, read(path)?));
            self.keep(picture, Arc::clone(&pixels));
            Some(pixels)
        })
    }

    /// Where there is no room, those that are not on the sheet that is being drawn go.
    fn keep(&mut self, picture: PictureId, pixels: Arc<RgbImage>) {
        self.bytes += pixels.as_raw().len();
        self.kept.insert(picture, Copy { pixels, sheet: self.sheets });
        if self.bytes > self.most {
            self.kept.retain(|_, copy| copy.sheet == self.sheets);
            self.bytes = self.kept.values().map(|copy| copy.pixels.as_raw().len()).sum();
        }
    }

    /// Nothing is drawn any more: nothing is kept.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::PathBuf;

    use super::*;
    use crate::job::grid::{Axis, Cell, GridId, GridOrder};
    use crate::job::{Job, JobId, JobState, Prompt, Seed, Size, Wildcards};
    use crate::model::ModelName;

    /// A grid of pictures that are not drawn yet, each of `side` squared.
    fn grid(id: i64, side: u32, axes: [&str; 2]) -> Grid {
        let (prompt, size) = (Prompt::new("a fox").expect("text"), Size::new(side, side).expect("a size"));
        let job = Job::new(prompt, ModelName::new("nano"), size, 4, 3.5, Seed::Fixed(7), 1).expect("a job");
        let axes = axes.map(|axis| Axis::parse(axis, &Wildcards::default()).expect("an axis"));
        let order = GridOrder::new(job, axes.into()).expect("drawable");
        let waits = |at| Cell { job: JobId(at), state: JobState::Queued, picture: None, path: None };
        let cells = (0..order.cells() as i64).map(waits).collect();
        Grid { id: GridId(id), order, seed: 7, asked_at: 0, cells, sheet: None }
    }

    fn drawn(grid: &mut Grid, at: usize) {
        let picture = PictureId(1000 * grid.id.0 + at as i64);
        let cell = &mut grid.cells[at];
        (cell.state, cell.picture) = (JobState::Done, Some(picture));
        cell.path = Some(PathBuf::from(picture.0.to_string()));
    }

    /// Files of a picture of `side` squared each, and which were read.
    #[derive(Default)]
    struct Files(RefCell<Vec<PathBuf>>);

    impl Files {
        fn read(&self, path: &Path, side: u32) -> Option<RgbImage> {
            self.0.borrow_mut().push(path.to_owned());
            let shade: i64 = path.to_str()?.parse().ok()?;
            Some(RgbImage::from_fn(side, side, |x, y| image::Rgb([x as u8, y as u8, shade as u8])))
        }
    }

    #[test]
    fn a_sheet_that_grows_reads_each_picture_once() {
        let mut grid = grid(1, 96, ["steps=1..4", "seed=1..3"]);
        let (mut copies, files) = (Copies::default(), Files::default());
        for at in 0..grid.cells.len() {
            drawn(&mut grid, at);
            // What a studio looks at and what is written differ in size.
            for side in [1024, sheet::SIDE_MAX, 256] {
                copies.sheet(&grid, side, |path| files.read(path, 96));
            }
        }
        let mut read = files.0.take();
        assert_eq!(read.len(), 12, "each once");
        read.sort();
        read.dedup();
        assert_eq!(read.len(), 12);
        // What is written is what it would be without copies.
        let whole = copies.sheet(&grid, sheet::SIDE_MAX, |path| files.read(path, 96));
        assert!(files.0.take().is_empty());
        let fresh = Copies::default().sheet(&grid, sheet::SIDE_MAX, |path| files.read(path, 96));
        let direct = sheet::draw(&grid, sheet::SIDE_MAX, |at| {
            files.read(grid.cells[at].path.as_ref()?, 96).map(Arc::new)
        });
        assert!(whole == fresh && whole == direct);
        copies.clear();
        files.0.take();
        copies.sheet(&grid, 256, |path| files.read(path, 96));
        assert_eq!(files.0.take().len(), 12, "nothing was kept");
    }

    #[test]
    fn what_is_kept_is_bounded_and_a_file_that_cannot_be_read_is_tried_again() {
        // Room for one of them, and half of another.
        let (mut copies, files) = (Copies { most: 9 * 3 * 32 * 32, ..Copies::default() }, Files::default());
        let mut grids: Vec<Grid> = (1..=3).map(|id| grid(id, 32, ["seed=1..3", "steps=1,2"])).collect();
        for grid in &mut grids {
            (0..grid.cells.len()).for_each(|at| drawn(grid, at));
            copies.sheet(grid, 256, |path| files.read(path, 32));
            assert!(copies.bytes <= copies.most, "{}", copies.bytes);
            let held: usize = copies.kept.values().map(|copy| copy.pixels.as_raw().len()).sum();
            assert_eq!(held, copies.bytes);
        }
        files.0.take();
        copies.sheet(&grids[2], 256, |path| files.read(path, 32));
        assert_eq!(files.0.take().len(), 0, "the last grid is kept whole");
        copies.sheet(&grids[0], 256, |_| None);
        copies.sheet(&grids[0], 256, |path| files.read(path, 32));
        assert_eq!(files.0.take().len(), 6, "they are there again");
    }
}
