//! The contact sheet of a grid: its pictures, scaled to fit, with the values of both axes beside them. Pixels and a PNG;
//! nothing here touches the file system.

mod font;

use std::sync::Arc;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use super::png::{self, PngError};
use crate::job::JobState;
use crate::job::grid::{Axis, Grid};

/// The longer side of a sheet at most, in pixels, labels aside.
pub const SIDE_MAX: u32 = 3072;
/// The least that can be asked for.
pub const SIDE_MIN: u32 = 64;
/// The longer side of a cell at most.
const CELL_MAX: u32 = 512;
/// The least side of a cell.
const CELL_MIN: u32 = 24;
/// Pixels between two cells.
const GAP: u32 = 8;
/// Lines of a label at most.
const LINES: usize = 3;
/// Pixels across of the labels of rows, at most.
const ROWS_LABEL: u32 = 192;

const PAPER: Rgb<u8> = Rgb([250, 250, 250]);
const INK: Rgb<u8> = Rgb([20, 20, 20]);
const WAITS: Rgb<u8> = Rgb([190, 190, 190]);
const FAILED: Rgb<u8> = Rgb([232, 196, 190]);

/// Draws a sheet whose longer side has about `side` pixels, labels aside. `picture` gives the picture of a cell, or a
/// [`copy`] of it; `None` where its file cannot be read.
#[must_use]
pub fn draw(grid: &Grid, side: u32, mut picture: impl FnMut(usize) -> Option<Arc<RgbImage>>) -> RgbImage {
    let plan = Layout::new(grid, side.clamp(SIDE_MIN, SIDE_MAX));
    let mut sheet = RgbImage::from_pixel(plan.width, plan.height, PAPER);
    plan.labels(grid, &mut sheet);
    for cell in 0..grid.cells.len() {
        let (x, y) = plan.place(cell);
        match grid.cells[cell].picture.and_then(|_| picture(cell)) {
            Some(image) => plan.paste(&mut sheet, cell, &image, (x, y)),
            None => plan.explain(&mut sheet, grid, cell, (x, y)),
        }
    }
    sheet
}

/// The picture of a cell as it is on the largest sheet of its grid: all that any sheet of it needs. Those of one grid have
/// at most 3 × [`SIDE_MAX`]² bytes together.
#[must_use]
pub fn copy(grid: &Grid, cell: usize, picture: RgbImage) -> RgbImage {
    let plan = Layout::new(grid, SIDE_MAX);
    let (width, height) = plan.size(cell, &picture);
    match picture.dimensions() == (width, height) {
        true => picture,
        false => imageops::resize(&picture, width, height, FilterType::Triangle),
    }
}

/// Makes the PNG of a sheet, with what it says of itself.
///
/// # Errors
/// When it could not be made.
pub fn encode(sheet: &RgbImage, grid: &Grid) -> Result<Vec<u8>, PngError> {
    png::encode_sheet(sheet.as_raw(), sheet.dimensions(), &grid.recipe())
}

/// Where everything is.
struct Layout {
    columns: usize,
    /// Of a cell.
    cell: (u32, u32),
    /// What pixels of pictures are multiplied with.
    scale: f64,
    /// Those of each cell's picture; `None` of one that could not be asked for.
    sizes: Vec<Option<(u32, u32)>>,
    /// Where the first cell is.
    origin: (u32, u32),
    width: u32,
    height: u32,
}

impl Layout {
    fn new(grid: &Grid, side: u32) -> Self {
        let order = &grid.order;
        let (columns, rows) = (order.columns(), order.rows());
        let size = |cell| order.cell(cell, grid.seed).ok().map(|job| (job.size.width(), job.size.height()));
        let sizes: Vec<_> = (0..grid.cells.len()).map(size).collect();
        let known = sizes.iter().flatten();
        let (w, h) = known.fold((16, 16), |(w, h), size| (size.0.max(w), size.1.max(h)));
        let most = (side / columns.max(rows).max(1) as u32).clamp(CELL_MIN, CELL_MAX);
        let scale = (f64::from(most) / f64::from(w.max(h))).min(1.0);
        let scaled = |pixels: u32| (f64::from(pixels) * scale).round().max(1.0) as u32;
        let cell = (scaled(w), scaled(h));
        let label = order.axes().get(1).map_or(0, |axis| {
            let widest = (0..rows).map(|row| font::text_width(&axis.label(row))).max().unwrap_or(0);
            widest.min(ROWS_LABEL) + GAP
        });
        let above = order.axes().first().map_or(0, |axis| lines(axis, cell.0) * font::HEIGHT);
        let title = font::HEIGHT + GAP;
        let origin = (GAP + label, GAP + title + above + GAP);
        let width = origin.0 + columns as u32 * (cell.0 + GAP);
        let height = origin.1 + rows as u32 * (cell.1 + GAP);
        Self { columns, cell, scale, sizes, origin, width, height }
    }

    fn place(&self, cell: usize) -> (u32, u32) {
        let (column, row) = ((cell % self.columns) as u32, (cell / self.columns) as u32);
        (self.origin.0 + column * (self.cell.0 + GAP), self.origin.1 + row * (self.cell.1 + GAP))
    }

    fn labels(&self, grid: &Grid, sheet: &mut RgbImage) {
        let order = &grid.order;
        let title = format!("{}  seed {}, {}", order.job.prompt.as_str(), grid.seed, order.job.model);
        let title = font::wrap(&title, self.width.saturating_sub(2 * GAP), 1);
        write(sheet, &title, (GAP, GAP));
        let mut axes = order.axes().iter();
        if let Some(axis) = axes.next() {
            for column in 0..order.columns() {
                let label = font::wrap(&axis.label(column), self.cell.0, LINES);
                let x = self.origin.0 + column as u32 * (self.cell.0 + GAP);
                let y = self.origin.1 - GAP / 2 - label.len() as u32 * font::HEIGHT;
                for (line, text) in label.iter().enumerate() {
                    let left = self.cell.0.saturating_sub(font::text_width(text)) / 2;
                    write(sheet, &[text], (x + left, y + line as u32 * font::HEIGHT));
                }
            }
        }
        if let Some(axis) = axes.next() {
            for row in 0..order.rows() {
                let most = (self.cell.1 / font::HEIGHT).max(1) as usize;
                let label = font::wrap(&axis.label(row), self.origin.0 - 2 * GAP, most);
                let tall = label.len() as u32 * font::HEIGHT;
                let y = self.origin.1 + row as u32 * (self.cell.1 + GAP);
                write(sheet, &label, (GAP, y + self.cell.1.saturating_sub(tall) / 2));
            }
        }
    }

    /// How large a cell's picture is on the sheet.
    fn size(&self, cell: usize, image: &RgbImage) -> (u32, u32) {
        let scaled = |own: u32, most: u32| ((f64::from(own) * self.scale).round() as u32).clamp(1, most);
        let (width, height) = self.sizes.get(cell).copied().flatten().unwrap_or(image.dimensions());
        (scaled(width, self.cell.0), scaled(height, self.cell.1))
    }

    fn paste(&self, sheet: &mut RgbImage, cell: usize, image: &RgbImage, (x, y): (u32, u32)) {
        let (width, height) = self.size(cell, image);
        let (left, top) = ((self.cell.0 - width) / 2, (self.cell.1 - height) / 2);
        let (left, top) = (i64::from(x + left), i64::from(y + top));
        match image.dimensions() == (width, height) {
            true => imageops::replace(sheet, image, left, top),
            false => {
                let small = imageops::resize(image, width, height, FilterType::Triangle);
                imageops::replace(sheet, &small, left, top);
            }
        }
    }

    /// Says why there is no picture.
    fn explain(&self, sheet: &mut RgbImage, grid: &Grid, cell: usize, (x, y): (u32, u32)) {
        let cell = &grid.cells[cell];
        let (colour, words) = match (&cell.state, cell.picture) {
            (_, Some(_)) => (FAILED, "its file cannot be read".to_owned()),
            (JobState::Failed { reason }, _) => (FAILED, format!("failed: {reason}")),
            (JobState::Cancelled, _) => (WAITS, "cancelled".to_owned()),
            _ => (WAITS, String::new()),
        };
        let (width, height) = self.cell;
        imageops::replace(sheet, &RgbImage::from_pixel(width, height, colour), i64::from(x), i64::from(y));
        let most = (height.saturating_sub(GAP) / font::HEIGHT) as usize;
        if most > 0 {
            write(sheet, &font::wrap(&words, width.saturating_sub(GAP), most), (x + GAP / 2, y + GAP / 2));
        }
    }
}

/// Lines that the labels of an axis take, of this width.
fn lines(axis: &Axis, width: u32) -> u32 {
    let tall = |place| font::wrap(&axis.label(place), width, LINES).len() as u32;
    (0..axis.values().len()).map(tall).max().unwrap_or(0)
}

/// Writes lines of text from the upper left corner; what is outside of the sheet is left out.
fn write(sheet: &mut RgbImage, lines: &[impl AsRef<str>], (x, y): (u32, u32)) {
    let (width, height) = sheet.dimensions();
    for (line, text) in lines.iter().enumerate() {
        let mut left = x;
        for letter in text.as_ref().chars() {
            font::draw(letter, |dx, dy| {
                let (x, y) = (left + dx, y + line as u32 * font::HEIGHT + dy);
                if x < width && y < height {
                    sheet.put_pixel(x, y, INK);
                }
            });
            left += font::width(letter);
        }
    }
}

#[cfg(test)]
mod tests;
