//! What a person says of the chosen picture: each key is a question, and the answer comes to all clients as an event.

use super::gallery::{grids, target};
use super::worker_is_there;
use crate::job::{MarkChange, PictureChange, Rating};
use crate::ui::effect::{Effect, Question};
use crate::ui::state::State;

/// Says how good it is; what it is already is not asked for.
pub(super) fn rate(state: &mut State, rating: u8) -> Vec<Effect> {
    let Ok(rating) = Rating::try_from(rating) else { return Vec::new() };
    if let Some(effects) = grids::rate(state, rating) {
        return effects;
    }
    let known = target(state).map(|picture| picture.marks.rating);
    if known.is_none_or(|known| known == rating) { Vec::new() } else { ask(state, MarkChange::Rate(rating)) }
}

/// Makes it a favourite, or none any more.
pub(super) fn favourite(state: &mut State) -> Vec<Effect> {
    if let Some(effects) = grids::favourite(state) {
        return effects;
    }
    let known = target(state).map(|picture| picture.marks.favourite);
    known.map_or_else(Vec::new, |known| ask(state, MarkChange::Favourite(!known)))
}

fn ask(state: &mut State, mark: MarkChange) -> Vec<Effect> {
    if !worker_is_there(state) {
        return Vec::new();
    }
    let picture = target(state).map(|picture| picture.id);
    let change = picture.map(|picture| PictureChange { picture, mark });
    change.map(|change| Effect::Ask(Question::Mark(change))).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;
    use crate::config::{Graphics, JobDefaults};
    use crate::job::{Job, JobId, JobState, JobStatus, PictureId, Prompt, Seed, Size};
    use crate::model::ModelName;
    use crate::ui::event::{Event, News, Window};
    use crate::ui::fake;
    use crate::ui::glyphs::Glyphs;
    use crate::ui::input::Input;
    use crate::ui::pane::Pane;
    use crate::ui::state::{Link, Look};
    use crate::ui::terminal::facts::{Environment, Facts};
    use crate::ui::theme::Theme;
    use crate::ui::update::update;
    use crate::wire::message;

    /// A studio whose history has the keys, with three pictures.
    fn studio() -> State {
        let look = Look { theme: Theme::default(), glyphs: Glyphs::choose(true), automatic: true };
        let facts = Facts::new(Environment::default(), Graphics::Auto);
        let mut state = State::new(look, facts, JobDefaults::default(), Instant::now());
        take(&mut state, Event::Resized(Window { columns: 100, rows: 40, pixels: None }));
        let (prompt, size) = (Prompt::new("fox").expect("text"), Size::new(128, 128).expect("a size"));
        let job = Job::new(prompt, ModelName::new("nano"), size, 4, 3.5, Seed::Random, 1).expect("a job");
        let status =
            JobStatus { id: JobId(1), job, first_seed: 7, state: JobState::Done, done: 1, accepted_at: 0 };
        let pictures = [3, 2, 1].map(|id| fake::picture(id, &status, 0, id as u64));
        state.history.replace(pictures.into(), 3);
        state.worker.link = Link::Up;
        state.view.focus = Pane::History;
        state
    }

    fn take(state: &mut State, event: Event) -> Vec<Effect> {
        let now = state.now;
        update(state, event, now)
    }

    fn marks(state: &mut State, code: KeyCode) -> Vec<PictureChange> {
        let key = KeyEvent::new(code, KeyModifiers::NONE);
        let effects = take(state, Event::Input(Input::Key(key)));
        let mark = |effect| match effect {
            Effect::Ask(Question::Mark(change)) => Some(change),
            _ => None,
        };
        effects.into_iter().filter_map(mark).collect()
    }

    fn screen(state: &State) -> String {
        let frame = crate::ui::view::draw(state);
        frame.buffer.content.iter().map(ratatui::buffer::Cell::symbol).collect()
    }

    #[test]
    fn keys_ask_for_marks_and_events_show_them() {
        let mut state = studio();
        let rating = |number: u8| Rating::try_from(number).expect("it is one");
        let of = |picture, mark| vec![PictureChange { picture: PictureId(picture), mark }];
        assert_eq!(marks(&mut state, KeyCode::Char('0')), [], "it is not rated");
        assert_eq!(marks(&mut state, KeyCode::Char('4')), of(3, MarkChange::Rate(rating(4))));
        marks(&mut state, KeyCode::Down);
        assert_eq!(marks(&mut state, KeyCode::Char('f')), of(2, MarkChange::Favourite(true)));
        let mut picture = state.history.pictures()[1].clone();
        picture.marks.favourite = true;
        picture.marks.rating = rating(5);
        picture.missing = true;
        let event = message::Event::Picture { picture: Box::new(picture.clone()), was_trashed: false };
        take(&mut state, Event::News(News::Event(event)));
        assert!(screen(&state).contains("5* + missing fox"), "{}", screen(&state));
        assert_eq!(marks(&mut state, KeyCode::Char('f')), of(2, MarkChange::Favourite(false)));
        picture.marks.trashed_at = Some(1);
        let event = message::Event::Picture { picture: Box::new(picture), was_trashed: false };
        take(&mut state, Event::News(News::Event(event)));
        let chosen = state.history.chosen_picture().map(|picture| picture.id);
        assert_eq!((chosen, state.history.total()), (Some(PictureId(1)), 2), "the next takes its place");
        state.worker.link = Link::Connecting;
        assert_eq!(marks(&mut state, KeyCode::Char('f')), []);
        assert!(state.notices.current().is_some());
    }

    #[test]
    fn what_is_drawn_from_an_entry_of_the_history_says_so() {
        let mut state = studio();
        marks(&mut state, KeyCode::Down);
        marks(&mut state, KeyCode::Enter);
        let key = KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE);
        let effects = take(&mut state, Event::Input(Input::Key(key)));
        let parents: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Ask(Question::Submit(job)) => Some(job.parent),
                _ => None,
            })
            .collect();
        assert_eq!(parents, [Some(PictureId(2))]);
    }
}
