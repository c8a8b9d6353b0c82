//! Sizes by shape and megapixels, each with what it is expected to take.

use super::parameters::{FieldName, ParametersPane};
use crate::job::Size;
use crate::job::costs::{Cost, CostsRequest};
use crate::job::shape::{Ratio, megapixels};
use crate::ui::action::ListMove;

/// Megapixels to choose from.
pub const MEGAPIXELS: [f64; 5] = [0.25, 0.5, 1.0, 1.5, 2.0];

/// The sizes that can be chosen.
#[derive(Debug, Clone)]
pub struct SizeList {
    /// What was asked about them.
    pub asked: CostsRequest,
    /// What they take; empty until the worker has told it.
    costs: Vec<Cost>,
    pixels: usize,
    row: usize,
}

impl SizeList {
    /// At the megapixels nearest to those of a size. `asked` is for pictures of no size yet.
    #[must_use]
    pub fn new(asked: CostsRequest, size: Size) -> Self {
        let far = |pixels: f64| (pixels / megapixels(size)).ln().abs();
        let nearest = (0..MEGAPIXELS.len())
            .min_by(|one, other| far(MEGAPIXELS[*one]).total_cmp(&far(MEGAPIXELS[*other])));
        let sizes = MEGAPIXELS.iter().flat_map(|pixels| shapes(*pixels)).map(|(_, size)| size).collect();
        let asked = CostsRequest { sizes, ..asked };
        Self { asked, costs: Vec::new(), pixels: nearest.unwrap_or(0), row: 0 }
    }

    /// The worker has told what they take.
    pub fn answered(&mut self, costs: Vec<Cost>) {
        self.costs = costs;
    }

    /// The megapixels that are shown.
    #[must_use]
    pub fn megapixels(&self) -> f64 {
        MEGAPIXELS[self.pixels]
    }

    /// More of them, or fewer.
    pub fn turn(&mut self, more: bool) {
        self.pixels =
            if more { (self.pixels + 1).min(MEGAPIXELS.len() - 1) } else { self.pixels.saturating_sub(1) };
    }

    /// The shapes with their sizes, and what those take as far as it is known.
    #[must_use]
    pub fn rows(&self) -> Vec<(Ratio, Size, Option<Cost>)> {
        let cost = |size: Size| self.costs.iter().find(|cost| cost.size == size).copied();
        shapes(self.megapixels()).map(|(ratio, size)| (ratio, size, cost(size))).collect()
    }

    /// The chosen row.
    #[must_use]
    pub fn row(&self) -> usize {
        self.row
    }

    /// The chosen size.
    #[must_use]
    pub fn chosen(&self) -> Option<Size> {
        self.rows().get(self.row).map(|(_, size, _)| *size)
    }

    /// Chooses another row.
    pub fn choose(&mut self, by: ListMove, page: usize) {
        self.row = super::moved(self.row, Ratio::USUAL.len(), page, by);
    }

    /// Chooses a row.
    pub fn choose_row(&mut self, row: usize) {
        self.row = row.min(Ratio::USUAL.len() - 1);
    }
}

fn shapes(megapixels: f64) -> impl Iterator<Item = (Ratio, Size)> {
    Ratio::USUAL.into_iter().filter_map(move |ratio| Some((ratio, ratio.size(megapixels).ok()?)))
}

impl ParametersPane {
    /// Pictures are so large from now on.
    pub fn take_size(&mut self, size: Size) {
        self.commit();
        self.type_in(FieldName::Width, size.width().to_string());
        self.type_in(FieldName::Height, size.height().to_string());
    }
}
