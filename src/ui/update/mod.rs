//! `update`: a state and an event become the next state and what is to be done.
//!
//! **Invariant:** no I/O here, and the time is passed in. Whatever a person or the worker does can
//! be replayed in a test.

mod editing;
mod elsewhere;
mod gallery;
mod grid;
mod keys;
mod language;
mod log;
mod looks;
mod loras;
mod marks;
mod models;
mod mouse;
mod over;
mod overlay;
mod palette;
mod queue;
mod restore;
mod seeds;
mod sizes;
mod terminal;
mod words;
mod worker;

pub(crate) use gallery::{places as gallery_places, small_of as gallery_small_of};
pub(crate) use keys::{contexts, contexts_below};
pub(super) use looks::take_habits;
pub(crate) use models::{bad, sound};

use std::time::Instant;

use ratatui::layout::{Rect, Size};

use super::effect::{Effect, Question};
use super::event::{Event, Signal};
use super::input::Input;
use super::layout::{Layout, inside, padded, prompt_text};
use super::pane::Pane;
use super::picture::Slot;
use super::state::{Link, State};

/// Takes one event.
pub fn update(state: &mut State, event: Event, now: Instant) -> Vec<Effect> {
    state.now = now;
    log::note(state, &event);
    state.messages.note(&event, state.language, now);
    let mut effects = match event {
        Event::Input(input) => take_input(state, input),
        Event::Resized(window) => terminal::resized(state, window),
        Event::Sent(sent) => {
            state.line.sent(sent, now);
            Vec::new()
        }
        Event::Arrived(at) => {
            state.line.answered(at);
            Vec::new()
        }
        Event::Written(bytes, took) => {
            state.line.written(bytes, took, now);
            Vec::new()
        }
        Event::Tmux(tmux) => terminal::tmux_said(state, tmux),
        Event::Signal(Signal::End) | Event::TerminalGone => vec![Effect::Quit],
        Event::Signal(Signal::Continued) => {
            repaint(state);
            vec![Effect::Reenter]
        }
        Event::News(news) => worker::take_news(state, news),
        Event::Answer(answer) => {
            worker::take_answer(state, answer);
            Vec::new()
        }
        Event::Encoded(encoded) => {
            state.view.unseen |= state.view.elsewhere;
            match encoded.slot {
                Slot::PREVIEW => state.preview.encoded(encoded),
                Slot::LORA => state.loras.pictures.encoded(encoded),
                _ => gallery::encoded(state, encoded),
            }
            Vec::new()
        }
        Event::Habits(habits) => {
            looks::changed(state, *habits);
            Vec::new()
        }
        Event::Complaint(not_kept) => {
            state.notices.warn(state.language.not_kept(&not_kept));
            Vec::new()
        }
        Event::Gathered(gather, result) => words::gathered(state, gather, result),
        Event::Edited(result) => {
            elsewhere::ended(state, result);
            Vec::new()
        }
        Event::Snippets(snippets, problems) => {
            overlay::snippets_read(state, snippets, problems);
            Vec::new()
        }
        Event::Tick => Vec::new(),
    };
    over::settle(state);
    log::follow(state);
    settle(state, &mut effects);
    effects
}

fn take_input(state: &mut State, input: Input) -> Vec<Effect> {
    match input {
        Input::Key(key) => keys::take_key(state, &key),
        Input::Mouse(event) => mouse::take_mouse(state, &event),
        Input::Paste { text, dropped } => {
            keys::paste(state, &text, dropped);
            Vec::new()
        }
        Input::Focus(focused) => terminal::focused(state, focused),
        Input::Report(report) => terminal::learn(state, &report),
    }
}

/// What follows from the state as it now is: the prompt's room, questions, pictures to encode.
fn settle(state: &mut State, effects: &mut Vec<Effect>) {
    if state.prompt.editor.text().is_empty() {
        state.prompt.parent = None;
    }
    let layout = state.layout();
    if let Some(areas) = layout.areas().filter(|areas| !areas.prompt.is_empty()) {
        let foot = state.prompt.foot_rows(padded(areas.prompt).height);
        let room = prompt_text(areas.prompt, foot);
        // One column is the cursor's, behind a full row.
        state.prompt.editor.set_room(usize::from(room.width.saturating_sub(1)), usize::from(room.height));
    }
    if state.worker.link == Link::Up {
        let (model, now) = (state.parameters.model(), state.now);
        let count = state.prompt.question(&model, now);
        effects.extend(state.prompt.gather().map(Effect::Gather));
        let hidden = state.gallery.is_open();
        let fetch = if hidden { None } else { state.preview.question().map(Question::Fetch) };
        let older = state.history.wants().map(Question::Older);
        let models = state.models.wants().then_some(Question::Models);
        let loras = state.loras.wants(now).map(Question::Loras);
        let (prompts, sheet) = (overlay::question(state), grid::question(state));
        effects.extend(
            [count, fetch, older, models, loras, prompts, sheet].into_iter().flatten().map(Effect::Ask),
        );
    }
    loras::settle(state, effects);
    gallery::settle(state, effects);
    if state.gallery.is_open() {
        return;
    }
    let room = picture_room(&layout);
    let means = state.terminal.means(state.view.window);
    effects.extend(state.preview.order(room, means, &state.line, state.now).map(Effect::Encode));
    effects.extend(state.messages.take().into_iter().map(Effect::Call));
}

/// The cells there are for a picture.
fn picture_room(layout: &Layout) -> Size {
    let area = layout.areas().map_or(Rect::ZERO, |areas| inside(areas.preview));
    Size::new(area.width, area.height)
}

/// Pictures are drawn anew: the screen was cleared, or its pictures lost.
fn repaint(state: &mut State) {
    state.preview.repaint();
    state.gallery.repaint();
    state.loras.pictures.repaint();
}

/// Whether there is a worker to be asked; says so where there is none.
fn worker_is_there(state: &mut State) -> bool {
    let there = state.worker.link == Link::Up;
    if !there {
        state.notices.warn(state.language.library_elsewhere());
    }
    there
}

/// Gives the keys to a pane, which is seen then.
fn focus(state: &mut State, pane: Pane) {
    state.gallery.close();
    state.parameters.commit();
    state.view.focus = pane;
}

#[cfg(test)]
mod tests;
