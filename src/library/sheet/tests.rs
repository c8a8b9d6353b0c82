//! Where pictures and labels are on a sheet, and what stands where there is no picture.

use std::path::PathBuf;

use super::*;
use crate::job::grid::{Cell, GridId, GridOrder};
use crate::job::{Job, JobId, PictureId, Prompt, Seed, Size, Wildcards};
use crate::model::ModelName;

fn grid(prompt: &str, axes: &[&str]) -> Grid {
    let size = Size::new(128, 96).expect("on the grid");
    let prompt = Prompt::new(prompt).expect("text");
    let job = Job::new(prompt, ModelName::new("nano"), size, 20, 3.5, Seed::Fixed(7), 1).expect("drawable");
    let axes = axes.iter().map(|axis| Axis::parse(axis, &Wildcards::default()).expect("an axis")).collect();
    let order = GridOrder::new(job, axes).expect("drawable");
    let done = |at: usize| Cell {
        job: JobId(at as i64),
        state: JobState::Done,
        picture: Some(PictureId(at as i64)),
        path: Some(PathBuf::from("/x.png")),
    };
    let cells = (0..order.cells()).map(done).collect();
    Grid { id: GridId(3), order, seed: 7, asked_at: 0, cells, sheet: None }
}

/// A picture of one colour for each cell.
fn colour(cell: usize) -> Rgb<u8> {
    Rgb([40_u8.wrapping_mul(cell as u8), 200, 90])
}

fn picture(cell: usize) -> Option<Arc<RgbImage>> {
    Some(Arc::new(RgbImage::from_pixel(128, 96, colour(cell))))
}

/// Whether any pixel of a box is ink.
fn has_ink(sheet: &RgbImage, (x, y): (u32, u32), (width, height): (u32, u32)) -> bool {
    (x..x + width).any(|x| (y..y + height).any(|y| *sheet.get_pixel(x, y) == INK))
}

#[test]
fn pictures_are_at_their_places_and_labels_beside_them() {
    let grid = grid("a fox", &["guidance=2,3.5,5", "steps=4,8"]);
    let (sheet, plan) = (draw(&grid, SIDE_MAX, picture), Layout::new(&grid, SIDE_MAX));
    assert_eq!(plan.cell, (128, 96), "nothing is made larger");
    for cell in 0..6 {
        let (x, y) = plan.place(cell);
        for (dx, dy) in [(0, 0), (127, 0), (0, 95), (127, 95), (60, 50)] {
            assert_eq!(*sheet.get_pixel(x + dx, y + dy), colour(cell), "cell {cell}");
        }
        assert_eq!(*sheet.get_pixel(x.saturating_sub(1), y), PAPER);
    }
    let (x, y) = plan.origin;
    assert!(has_ink(&sheet, (x, y - font::HEIGHT - GAP), (128, font::HEIGHT)), "no label above");
    assert!(has_ink(&sheet, (GAP, y), (x - 2 * GAP, 96)), "no label at the left");
    assert!(has_ink(&sheet, (GAP, GAP), (200, font::HEIGHT)), "no title");
}

#[test]
fn chinese_labels_are_written_and_differ() {
    let grid = grid("一只{红色|蓝色}的狐狸", &["prompt:{红色|蓝色}"]);
    let (sheet, plan) = (draw(&grid, SIDE_MAX, picture), Layout::new(&grid, SIDE_MAX));
    let label = |cell| {
        let (x, y) = plan.place(cell);
        imageops::crop_imm(&sheet, x, y - font::HEIGHT - GAP, 128, font::HEIGHT).to_image()
    };
    assert!(label(0).pixels().filter(|pixel| **pixel == INK).count() > 40);
    assert_ne!(label(0), label(1));
}

#[test]
fn cells_that_wait_are_grey_and_those_that_failed_say_so() {
    let mut grid = grid("a fox", &["steps=4,8,12,16"]);
    let state = |cell: &mut Cell, state| (cell.state, cell.picture, cell.path) = (state, None, None);
    state(&mut grid.cells[0], JobState::Queued);
    state(&mut grid.cells[1], JobState::Failed { reason: "no memory".to_owned() });
    state(&mut grid.cells[2], JobState::Cancelled);
    let (sheet, plan) = (draw(&grid, SIDE_MAX, picture), Layout::new(&grid, SIDE_MAX));
    let corner = |cell| *sheet.get_pixel(plan.place(cell).0, plan.place(cell).1);
    assert_eq!([corner(0), corner(1), corner(2), corner(3)], [WAITS, FAILED, WAITS, colour(3)]);
    let words = |cell| has_ink(&sheet, plan.place(cell), plan.cell);
    assert_eq!([words(0), words(1), words(2)], [false, true, true]);
    let unread = draw(&grid, SIDE_MAX, |_| None);
    assert!(has_ink(&unread, plan.place(3), plan.cell), "a file that cannot be read is told");
}

#[test]
fn a_sheet_is_as_small_as_asked_and_never_larger_than_it_may_be() {
    let grid = grid("a fox", &["seed=1..64", "steps=1..4"]);
    for side in [0, 200, SIDE_MAX, u32::MAX] {
        let sheet = draw(&grid, side, picture);
        let most = side.clamp(CELL_MIN * 64, SIDE_MAX) + 64 * GAP + ROWS_LABEL + 4 * GAP;
        assert!(sheet.width() <= most && sheet.height() <= most, "{side}: {:?}", sheet.dimensions());
    }
}

#[test]
fn a_sheet_tells_what_it_was_drawn_from() {
    let grid = grid("一只狐狸", &["steps=4,8"]);
    let png = encode(&draw(&grid, 256, picture), &grid).expect("a PNG");
    let metadata = png::read(&png).expect("it is ours");
    assert_eq!(metadata.grid.expect("a grid").expect("understood"), grid.recipe());
    assert!(metadata.recipe.is_none() && metadata.parameters.is_none(), "it is no picture of the library");
}
