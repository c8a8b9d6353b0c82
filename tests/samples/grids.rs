//! Messages about grids and sizes, a sample of each kind.

use flux_tui::device::{DeviceChoice, LoadOptions};
use flux_tui::job::costs::{Cost, CostsRequest};
use flux_tui::job::grid::{Axis, Cell, Grid, GridId, GridOrder};
use flux_tui::job::{Job, JobId, JobState, MarkChange, PictureId, Size, Wildcards};
use flux_tui::model::ModelName;
use flux_tui::wire::grids::{GridRequest, GridResponse};

/// A grid over a choice and a number.
fn grid(job: Job) -> Grid {
    let axis = |text: &str| Axis::parse(text, &Wildcards::default()).expect("an axis");
    let order = GridOrder::new(job.alone(), vec![axis("seed=1,18446744073709551615"), axis("lora:墨=-1..1")]);
    let order = order.expect("drawable");
    let states =
        [JobState::Queued, JobState::Done, JobState::Failed { reason: "x".into() }, JobState::Cancelled];
    let cell = |at: usize| Cell {
        job: JobId(at as i64),
        state: states[at % 4].clone(),
        picture: (at % 4 == 1).then_some(PictureId(9)),
        path: (at % 4 == 1).then(|| "/图 片/9.png".into()),
    };
    let cells = (0..order.cells()).map(cell).collect();
    Grid { id: GridId(3), order, seed: u64::MAX, asked_at: -1, cells, sheet: Some("/图 片/s.png".into()) }
}

/// Every question.
pub fn requests(job: Job) -> Vec<GridRequest> {
    vec![
        GridRequest::Draw(Box::new(grid(job).order)),
        GridRequest::Get(GridId(i64::MAX)),
        GridRequest::List { before: Some(GridId(2)), limit: 9 },
        GridRequest::Sheet { grid: GridId(1), side: Some(1024) },
        GridRequest::Thumbnail { grid: GridId(1), side: 128 },
        GridRequest::Cancel(GridId(1)),
        GridRequest::Mark { grid: GridId(1), mark: MarkChange::Trash(true) },
    ]
}

/// Every answer.
pub fn responses(job: Job) -> Vec<GridResponse> {
    let grid = grid(job);
    vec![
        GridResponse::Grid(Box::new(grid.clone())),
        GridResponse::Grids(vec![grid]),
        GridResponse::Sheet(bytes::Bytes::from_static(b"png")),
        GridResponse::Thumbnail(bytes::Bytes::from_static(b"jpeg")),
        GridResponse::Cancelled(7),
        GridResponse::Marked(9),
    ]
}

fn size() -> Size {
    Size::new(64, 2048).expect("on the grid")
}

/// A question about sizes.
pub fn costs_asked() -> CostsRequest {
    let (model, load) = (ModelName::new("nano"), LoadOptions::default());
    CostsRequest {
        model,
        device: DeviceChoice::CudaAt(1),
        load,
        steps: 20,
        loras: vec!["墨".into()],
        sizes: vec![size()],
    }
}

/// Its answer.
pub fn costs() -> Vec<Cost> {
    let known =
        Cost { size: size(), seconds: Some(0.25), seen: true, peak: Some(u64::MAX), too_large: false };
    vec![known, Cost { seconds: None, seen: false, peak: None, too_large: true, ..known }]
}
