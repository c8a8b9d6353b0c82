//! The gallery: opened, walked through, searched, and what is done with its pictures. What is compared is in [`compare`],
//! lines that are typed in [`line`], grids as a whole are [`grids`], what follows from the state in [`settle`].

mod compare;
pub(super) mod grids;
mod like;
mod line;
mod settle;

pub(super) use settle::settle;
pub(crate) use settle::small_of;

use ratatui::layout::{Position, Rect};

use super::worker_is_there;
use crate::job::{MarkChange, Picture, PictureChange, PictureId, PictureQuery, Rating};
use crate::ui::action::{GalleryAction, ListMove};
use crate::ui::effect::{Effect, Question};
use crate::ui::pane::gallery::{Found, Gallery, Grid, Mode, Places, Trashed};
use crate::ui::picture::{Direction, Encoded, Slot, Zoom};
use crate::ui::state::State;
use crate::ui::terminal::clipboard;

/// What is copied.
#[derive(Debug, Clone, Copy)]
enum Copied {
    Prompt,
    Path,
}

pub(super) fn act(state: &mut State, action: GalleryAction) -> Vec<Effect> {
    if let Some(open) = state.gallery.open_mut() {
        (open.said, open.sheet) = (None, None);
    }
    match action {
        GalleryAction::Open => open(state),
        GalleryAction::View => view(state),
        GalleryAction::Next => step(state, true),
        GalleryAction::Previous => step(state, false),
        GalleryAction::Search => line::begin_search(state),
        GalleryAction::Tags => line::begin_tags(state),
        GalleryAction::TakeLine => return line::take(state),
        GalleryAction::Erase => line::erase(state),
        GalleryAction::ClearLine => line::clear(state),
        GalleryAction::Favourites => again_with(state, |query| query.favourite = !query.favourite),
        GalleryAction::Trashed => again_with(state, |query| query.trashed = !query.trashed),
        GalleryAction::LeastRating => again_with(state, |query| {
            query.rating = Rating::try_from(query.rating.get() + 1).unwrap_or_default();
        }),
        GalleryAction::Trash => return trash(state),
        GalleryAction::Undo => return undo(state),
        GalleryAction::CopyPrompt => {
            let text = target(state).map(|picture| picture.recipe.written().as_str().to_owned());
            return copy(state, Copied::Prompt, text);
        }
        GalleryAction::CopyPath => {
            let text = path(state).map(|path| state.marked(&path.to_string_lossy()));
            return copy(state, Copied::Path, text);
        }
        GalleryAction::Parent
        | GalleryAction::MoreLike
        | GalleryAction::Mark
        | GalleryAction::CompareBefore
            if grids::is_about_one(state) => {}
        GalleryAction::Parent => return parent(state),
        GalleryAction::Sheet => return grids::sheet(state),
        GalleryAction::MoreLike => return like::more(state),
        GalleryAction::Mark => compare::mark(state),
        GalleryAction::CompareBefore => compare::with_the_one_before(state),
        GalleryAction::Flip => compare::flip(state),
        GalleryAction::Both => compare::both(state),
        GalleryAction::Nearer => zoom(state, Zoom::nearer),
        GalleryAction::Farther => zoom(state, Zoom::farther),
        GalleryAction::Whole => zoom(state, |_| Zoom::default()),
        GalleryAction::Pan(by) => pan(state, by),
    }
    Vec::new()
}

/// The picture that keys are about: the gallery's while it is open, and else the history's.
pub(super) fn target(state: &State) -> Option<&Picture> {
    match state.gallery.open() {
        Some(open) => open.target(),
        None => state.history.chosen_picture(),
    }
}

/// The file that keys are about: of a grid its sheet.
fn path(state: &State) -> Option<&std::path::Path> {
    match grids::target(state) {
        Some(grid) => Some(&grid.of.sheet),
        None => target(state).map(|picture| &*picture.path),
    }
}

/// The room of the gallery: all between the first line and the last ones.
fn room(state: &State) -> Rect {
    let layout = state.layout();
    let Some(areas) = layout.areas() else { return Rect::ZERO };
    let y = areas.status.bottom();
    Rect { x: 0, y, width: areas.status.width, height: areas.notice.y.saturating_sub(y) }
}

/// Where its parts are, as it is now.
pub(crate) fn places(state: &State, open: &Gallery) -> Places {
    Places::of(room(state), matches!(open.mode, Mode::Compare(_)))
}

fn open(state: &mut State) {
    if state.gallery.close() {
        return;
    }
    state.parameters.commit();
    state.models.close();
    state.loras.close();
    state.overlay.close();
    let chosen = state.history.chosen_picture().map(|picture| picture.id);
    let found = found(state, PictureQuery::default()).choosing(chosen);
    state.gallery.show(found);
}

/// What is known of a query without asking: all that the history has, if it is for all.
fn found(state: &State, query: PictureQuery) -> Found {
    if query == PictureQuery::default() {
        return Found::new(query, state.history.pictures().to_vec(), state.history.is_complete());
    }
    Found::new(query, Vec::new(), false)
}

/// Looks for other pictures; what was chosen stays chosen if it is among them.
fn again_with(state: &mut State, change: impl FnOnce(&mut PictureQuery)) {
    let Some(open) = state.gallery.open() else { return };
    let mut query = open.found.query().clone();
    change(&mut query);
    let chosen = open.found.chosen_picture().map(|picture| picture.id);
    let found = found(state, query).choosing(chosen);
    if let Some(open) = state.gallery.open_mut() {
        open.look_at(found);
        open.turn(Mode::Grid);
    }
}

/// The library is another, or many of its pictures are changed.
pub(super) fn anew(state: &mut State) {
    let Some(open) = state.gallery.open() else { return };
    let again = |known: &Found| {
        let chosen = known.chosen_picture().map(|picture| picture.id);
        found(state, known.query().clone()).choosing(chosen)
    };
    let (inside, around) = (again(&open.found), open.around().map(again));
    if let Some(open) = state.gallery.open_mut() {
        open.look_at(inside);
        if let Some(around) = around {
            open.look_around(around);
        }
        open.thumbs.unanswered();
    }
}

fn view(state: &mut State) {
    let Some(open) = state.gallery.open_mut() else { return };
    if open.enter_grid() {
        return;
    }
    let mode = match &open.mode {
        Mode::View(_) => Mode::Grid,
        _ => open.target().cloned().map_or(Mode::Grid, |picture| Mode::View(Box::new(picture))),
    };
    open.turn(mode);
}

fn step(state: &mut State, forwards: bool) {
    let Some(open) = state.gallery.open_mut() else { return };
    let is_one = matches!(open.mode, Mode::View(_));
    let stepped = if is_one { open.found.step_picture(forwards) } else { open.found.step(forwards) };
    if !stepped {
        return;
    }
    if let (Mode::View(_), Some(next)) = (&open.mode, open.found.chosen_picture()) {
        // As near as the one before: details of several are compared.
        open.mode = Mode::View(Box::new(next.clone()));
    }
}

/// Moves in the grid; whole pictures follow.
pub(super) fn choose(state: &mut State, by: ListMove) -> bool {
    let Some(open) = state.gallery.open() else { return false };
    let grid = Grid::of(places(state, open).body, open.found.entries().len());
    if let Some(open) = state.gallery.open_mut() {
        open.found.choose(by, grid.columns, grid.rows);
        if let (Mode::View(_), Some(next)) = (&open.mode, open.found.chosen_picture()) {
            open.mode = Mode::View(Box::new(next.clone()));
        }
    }
    true
}

fn zoom(state: &mut State, to: impl Fn(Zoom) -> Zoom) {
    if let Some(open) = state.gallery.open_mut() {
        open.zoom = to(open.zoom);
    }
}

/// Another part of a picture that is not seen whole, and else another picture.
fn pan(state: &mut State, by: Direction) {
    let Some(open) = state.gallery.open() else { return };
    if open.zoom.is_whole() {
        return match (by, &open.mode) {
            (Direction::Left, Mode::View(_)) => step(state, false),
            (Direction::Right, Mode::View(_)) => step(state, true),
            _ => {}
        };
    }
    let Some(size) = open.target().map(|picture| picture.recipe.size) else { return };
    let cell = state.terminal.means(state.view.window).cell;
    let room = settle::whole_room(&places(state, open), &open.mode);
    let zoom = open.zoom.moved(by, (size.width(), size.height()), room, cell);
    if let Some(open) = state.gallery.open_mut() {
        open.zoom = zoom;
    }
}

/// Asks for a change of what is said of a picture.
fn mark(picture: PictureId, mark: MarkChange) -> Effect {
    Effect::Ask(Question::Mark(PictureChange { picture, mark }))
}

fn say(state: &mut State, what: impl Into<String>) {
    if let Some(open) = state.gallery.open_mut() {
        open.said = Some(what.into());
    }
}

fn trash(state: &mut State) -> Vec<Effect> {
    if let Some(effects) = grids::trash(state) {
        return effects;
    }
    let Some((id, is_there)) = target(state).map(|picture| (picture.id, picture.marks.trashed_at.is_some()))
    else {
        return Vec::new();
    };
    if !worker_is_there(state) {
        return Vec::new();
    }
    if is_there {
        state.gallery.trashed.forget(Trashed::Picture(id));
        say(state, state.language.gallery_untrashed());
    } else {
        state.gallery.trashed.note(Trashed::Picture(id));
        say(state, state.language.gallery_trashed());
    }
    vec![mark(id, MarkChange::Trash(!is_there))]
}

fn undo(state: &mut State) -> Vec<Effect> {
    if !worker_is_there(state) {
        return Vec::new();
    }
    let Some(last) = state.gallery.trashed.take() else {
        say(state, state.language.gallery_no_undo());
        return Vec::new();
    };
    say(state, state.language.gallery_untrashed());
    let (Trashed::Picture(look) | Trashed::Grid(_, look)) = last;
    if let Some(open) = state.gallery.open_mut() {
        // It is where the person looks once it is back.
        open.found = std::mem::take(&mut open.found).choosing(Some(look));
    }
    vec![match last {
        Trashed::Picture(id) => mark(id, MarkChange::Trash(false)),
        Trashed::Grid(id, _) => grids::ask(id, MarkChange::Trash(false)),
    }]
}

fn copy(state: &mut State, what: Copied, text: Option<String>) -> Vec<Effect> {
    let Some(text) = text else { return Vec::new() };
    let (language, count) = (state.language, text.chars().count());
    match (clipboard::check(&text), what) {
        (Ok(()), Copied::Prompt) => say(state, language.gallery_copied_prompt(count)),
        (Ok(()), Copied::Path) => say(state, language.gallery_copied_path(count)),
        (Err(why), _) => {
            say(state, language.gallery_not_copied(why.bytes, clipboard::COPY_MAX));
            return Vec::new();
        }
    }
    vec![Effect::Copy(text)]
}

fn parent(state: &mut State) -> Vec<Effect> {
    let Some(parent) = target(state).map(|picture| picture.parent) else { return Vec::new() };
    let Some(parent) = parent else {
        say(state, state.language.gallery_no_parent());
        return Vec::new();
    };
    if let Some(open) = state.gallery.open_mut()
        && let Some(known) = open.found.find(parent).cloned()
    {
        open.found = std::mem::take(&mut open.found).choosing(Some(parent));
        open.turn(Mode::View(Box::new(known)));
        return Vec::new();
    }
    if worker_is_there(state) { vec![Effect::Ask(Question::Details(parent))] } else { Vec::new() }
}

/// The worker has told of a picture that is not in the grid.
pub(super) fn told(state: &mut State, id: PictureId, result: Result<Box<Picture>, String>) {
    match result {
        Ok(picture) => {
            if let Some(open) = state.gallery.open_mut() {
                open.turn(Mode::View(picture));
            }
        }
        Err(why) => say(state, state.language.gallery_no_picture(id, why)),
    }
}

/// A picture is ready to be drawn.
pub(super) fn encoded(state: &mut State, encoded: Encoded) {
    let Some(open) = state.gallery.open_mut() else { return };
    match Slot::WHOLE.iter().position(|slot| *slot == encoded.slot) {
        None => open.thumbs.encoded(encoded),
        Some(at) => {
            if let Some((picture, why)) = open.whole[at].encoded(encoded) {
                open.files.fail(picture, why);
            }
        }
    }
}

/// A text that is typed or pasted there. Whether it is the gallery's.
pub(super) fn type_text(state: &mut State, typed: &str) -> bool {
    let Some(open) = state.gallery.open_mut() else { return false };
    typed.chars().for_each(|letter| open.type_character(letter));
    true
}

/// A click on a tile chooses it, on the chosen one shows it whole, on a whole picture goes back.
pub(super) fn click(state: &mut State, position: Position) -> bool {
    let Some(open) = state.gallery.open() else { return false };
    if open.mode != Mode::Grid {
        state.gallery.escape();
        return true;
    }
    let grid = Grid::of(places(state, open).body, open.found.entries().len());
    let (chosen, known) = (open.found.chosen(), open.found.entries().len());
    let first = grid.first(chosen);
    let at = (0..grid.count()).find(|place| grid.tile(*place).contains(position)).map(|place| first + place);
    match at.filter(|at| *at < known) {
        Some(at) if at == chosen => view(state),
        Some(at) => {
            if let Some(open) = state.gallery.open_mut() {
                open.found.choose_place(at);
            }
        }
        None => {}
    }
    true
}

/// The wheel moves by rows, and goes near and far in a whole picture.
pub(super) fn wheel(state: &mut State, by: ListMove) -> bool {
    let Some(open) = state.gallery.open() else { return false };
    match (&open.mode, by) {
        (Mode::Grid, by) => drop(choose(state, by)),
        (_, ListMove::Up) => zoom(state, Zoom::nearer),
        (_, _) => zoom(state, Zoom::farther),
    }
    true
}
