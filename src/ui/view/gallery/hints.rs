//! The hints of the gallery, and what Esc does there.

use crate::ui::action::{Action, GalleryAction};
use crate::ui::pane::gallery::{Gallery, Mode, Purpose};
use crate::ui::state::State;
use crate::ui::update::contexts_below;

/// What Esc does.
pub(in crate::ui::view) fn escape(open: &Gallery) -> &'static str {
    match (&open.line, &open.mode) {
        (Some(_), _) => "do not",
        (None, Mode::Grid) if !open.is_inside() => "close",
        (None, _) => "back",
    }
}

/// What keys do.
pub(in crate::ui::view) fn hints(state: &State, open: &Gallery) -> Vec<(Action, &'static str)> {
    let of = |(action, what)| (Action::Gallery(action), what);
    if let Some(line) = &open.line {
        let what = match line.purpose {
            Purpose::Search => "search",
            Purpose::Tags(_) | Purpose::GridTags(_) => "these tags",
        };
        return [(GalleryAction::TakeLine, what), (GalleryAction::ClearLine, "clear")].map(of).into();
    }
    let marked = state.gallery.marked.is_some();
    let mark = (GalleryAction::Mark, if marked { "compare with marked" } else { "mark" });
    let mut hints: Vec<_> = match &open.mode {
        Mode::Grid => {
            let view = if open.target_grid().is_some() { "its pictures" } else { "whole" };
            [(GalleryAction::View, view), (GalleryAction::Search, "search")].map(of).into()
        }
        Mode::View(_) => [
            (GalleryAction::Nearer, "nearer"),
            (GalleryAction::Farther, "farther"),
            (GalleryAction::Next, "older"),
        ]
        .map(of)
        .into(),
        Mode::Compare(_) => [
            (GalleryAction::Flip, "flip"),
            (GalleryAction::Both, "both"),
            (GalleryAction::Nearer, "nearer"),
            (GalleryAction::Farther, "farther"),
        ]
        .map(of)
        .into(),
    };
    if open.grid().is_some() {
        hints.push(of((GalleryAction::Sheet, "contact sheet")));
    }
    hints.extend([(Action::Favourite, "favourite"), (Action::Rate(5), "rate")]);
    hints.extend(
        [
            (GalleryAction::Tags, "tags"),
            (GalleryAction::Trash, "trash"),
            (GalleryAction::MoreLike, "more like it"),
            mark,
            (GalleryAction::CompareBefore, "with the one before"),
            (GalleryAction::CopyPrompt, "copy prompt"),
        ]
        .map(of),
    );
    hints.push((Action::Help, "help"));
    hints
}

/// The name of a key of the gallery.
pub(super) fn key(state: &State, action: GalleryAction) -> String {
    state.keys.key_name(&contexts_below(state), Action::Gallery(action)).unwrap_or_default()
}
