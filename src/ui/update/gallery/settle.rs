//! What follows from the gallery as it now is: pages, small copies and files to ask for, pictures to encode.

use ratatui::layout::{Rect, Size};

use super::places;
use crate::ui::effect::{Effect, Question};
use crate::ui::pane::gallery::thumbs::{Wanted, side};
use crate::ui::pane::gallery::{Entry, Gallery, Grid, Mode, Places, Small};
use crate::ui::picture::{Means, Order};
use crate::ui::state::{Link, State};
use crate::wire::grids::GridRequest;
use crate::wire::message::ThumbnailRequest;

/// Questions while there is a worker, and orders for what there is already.
pub(in crate::ui::update) fn settle(state: &mut State, effects: &mut Vec<Effect>) {
    let means = state.terminal.means(state.view.window);
    if state.gallery.was_closed() && means.protocol.is_kittys() {
        effects.push(Effect::DropPictures);
    }
    let Some(open) = state.gallery.open() else { return };
    let places = places(state, open);
    let (connected, far) = (state.worker.link == Link::Up, state.terminal.environment.ssh);
    let Some(open) = state.gallery.open_mut() else { return };
    if connected {
        let order = open.wants_order().map(GridRequest::Get);
        effects.extend(order.map(|asked| Effect::Ask(Question::Grids(asked))));
        effects.extend(open.found.wants().map(|query| Effect::Ask(Question::Search(Box::new(query)))));
    }
    let (questions, orders) = match open.mode {
        Mode::Grid => small(open, &places, means, far),
        Mode::View(_) | Mode::Compare(_) => whole(open, &places, means),
    };
    if connected {
        effects.extend(questions.into_iter().map(Effect::Ask));
    } else {
        open.thumbs.unanswered();
        open.files.unanswered();
    }
    effects.extend(orders.into_iter().map(Effect::Encode));
}

/// The small copies of the page that is seen.
fn small(open: &mut Gallery, places: &Places, means: Means, far: bool) -> (Vec<Question>, Vec<Order>) {
    let grid = Grid::of(places.body, open.found.entries().len());
    let first = grid.first(open.found.chosen());
    let seen = open.found.entries().iter().skip(first).take(grid.count());
    let visible: Vec<Small> = seen.filter_map(|entry| small_of(open, entry)).collect();
    let side = side(grid.room, means, far);
    let asked = open.thumbs.wants(&visible, side).into_iter().map(question).collect();
    (asked, open.thumbs.orders(&visible, side, grid.room, means))
}

/// What there is a small copy of where something is seen.
pub(crate) fn small_of(open: &Gallery, entry: &Entry) -> Option<Small> {
    match entry {
        Entry::Grid(grid, _) => Some(Small::Sheet(*grid)),
        Entry::Picture(_) => open.found.first_of(entry).map(|picture| Small::Picture(picture.id)),
    }
}

fn question(wanted: Wanted) -> Question {
    let side = wanted.side;
    match wanted.of {
        Small::Picture(picture) => Question::Thumbnail(ThumbnailRequest { picture, side }),
        Small::Sheet(grid) => Question::Grids(GridRequest::Thumbnail { grid, side }),
    }
}

/// The pictures that are seen whole, and the one that a key shows in the same place.
fn whole(open: &mut Gallery, places: &Places, means: Means) -> (Vec<Question>, Vec<Order>) {
    let room = whole_room(places, &open.mode);
    let seen = match &open.mode {
        Mode::Grid => Vec::new(),
        Mode::View(picture) => vec![picture.id],
        Mode::Compare(pair) => vec![pair.a.id, pair.b.id],
    };
    let (mut asked, mut orders) = (Vec::new(), Vec::new());
    for (place, picture) in open.whole.iter_mut().zip(seen) {
        if open.files.wants(picture) {
            asked.push(Question::Fetch(picture));
        }
        if let Some(png) = open.files.get(picture) {
            orders.extend(place.order((picture, png), room, means, open.zoom));
        }
    }
    (asked, orders)
}

/// The cells that there are for a whole picture.
pub(super) fn whole_room(places: &Places, mode: &Mode) -> Size {
    let area = match mode {
        Mode::Compare(pair) if pair.alone.is_none() => places.halves()[0],
        _ => places.body,
    };
    let Rect { width, height, .. } = area;
    Size::new(width, height)
}
