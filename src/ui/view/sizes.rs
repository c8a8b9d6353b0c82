//! The list of sizes: shape, pixels, and at the right what a picture takes.

use super::overlay::{Content, Row};
use super::text;
use crate::job::Size;
use crate::job::costs::Cost;
use crate::job::shape::Ratio;
use crate::ui::pane::sizes::SizeList;
use crate::ui::state::State;
use crate::ui::theme::Role;

pub(super) fn content(state: &State, list: &SizeList) -> Content {
    let language = state.language;
    let rows: Vec<Row> = list.rows().into_iter().map(|row| line(state, row)).collect();
    let title = language.sizes_title(list.megapixels());
    let details = vec![(language.sizes_about().to_owned(), Role::Dim)];
    Content { title, hint: "", rows, details }
}

fn line(state: &State, (ratio, size, cost): (Ratio, Size, Option<Cost>)) -> Row {
    let glyphs = &state.look.glyphs;
    let pixels = format!("{}{}{}", size.width(), glyphs.times, size.height());
    let left = vec![(format!("{:<7}", ratio.to_string()), Role::Accent), (pixels, Role::Text)];
    Row { left, right: cost.map_or_else(String::new, |cost| taken(state, &cost)) }
}

/// Seconds and memory, with a `~` where they are planned or reckoned from other sizes.
fn taken(state: &State, cost: &Cost) -> String {
    let language = state.language;
    if cost.too_large {
        return language.sizes_too_large().to_owned();
    }
    let Some(seconds) = cost.seconds else { return language.sizes_unknown().to_owned() };
    let about = if cost.seen { "" } else { "~" };
    let digits = usize::from(seconds < 10.0);
    let time = language.sizes_seconds(format_args!("{about}{seconds:.digits$}"));
    let peak = cost.peak.map(|bytes| format!("  {about}{} GB", text::gigabytes(bytes)));
    time + &peak.unwrap_or_default()
}
