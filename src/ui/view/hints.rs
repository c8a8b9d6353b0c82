//! The last line: the keys that apply now, taken from the keymap. What they do is said here in English, and shown in the
//! language of the studio ([`crate::ui::language`], phrases).

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{gallery, over, text};
use crate::ui::action::{Action, Edit, FieldAction, GridAction, ListMove, SizesAction};
use crate::ui::keymap::Context;
use crate::ui::pane::Pane;
use crate::ui::pane::overlay::Overlay;
use crate::ui::state::{Link, State};
use crate::ui::theme::Role;
use crate::ui::update::contexts;

pub(super) fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    let inner = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let mut right = inner.right();
    if let Some(what) = escape(state).map(|what| state.language.phrase(what)) {
        let key = state.keys.key_name(&[Context::Everywhere], Action::Escape).unwrap_or_default();
        let width = text::width(&key) + 1 + text::width(what);
        if width < inner.width {
            right -= width;
            let place = Rect { x: right, width, ..inner };
            text::put(
                buffer,
                place,
                &[
                    (&key, state.style(Role::Key)),
                    (" ", state.style(Role::Dim)),
                    (what, state.style(Role::Dim)),
                ],
            );
            right = right.saturating_sub(2);
        }
    }
    let mut x = inner.x;
    for (action, what) in actions(state) {
        let (key, what) = (name(state, action), state.language.phrase(what));
        // A hint that does not fit whole is left out; the help has them all.
        if x + text::width(&key) + 1 + text::width(what) > right {
            break;
        }
        let place = Rect { x, width: right - x, ..inner };
        x = text::put(
            buffer,
            place,
            &[(&key, state.style(Role::Key)), (" ", state.style(Role::Dim)), (what, state.style(Role::Dim))],
        );
        x += 2;
    }
}

/// What Esc does now.
fn escape(state: &State) -> Option<&'static str> {
    if let Some(what) = over::escape(state) {
        return Some(what);
    }
    if state.view.help.is_some() {
        Some("close")
    } else if state.models.is_asking() || state.models.removal().is_some() {
        Some("do not")
    } else if state.models.page().is_some() {
        Some("back")
    } else if state.is_covered() {
        Some("close")
    } else if state.notices.current().is_some() {
        Some("dismiss")
    } else if let Some(open) = state.gallery.open() {
        Some(gallery::hints::escape(open))
    } else if state.view.zoom.is_some() {
        Some("all panes")
    } else if state.queue.to_cancel().is_some() || !state.worker.unsent.is_empty() {
        Some("cancel")
    } else {
        None
    }
}

fn actions(state: &State) -> Vec<(Action, &'static str)> {
    if let Some(hints) = over::hints(state) {
        return hints;
    }
    if state.view.help.is_some() {
        return vec![(Action::List(ListMove::Down), "down"), (Action::List(ListMove::PageDown), "page down")];
    }
    if state.models.page().is_some() {
        return vec![
            (Action::List(ListMove::Down), "down"),
            (Action::List(ListMove::PageDown), "page down"),
            (Action::DescribeModel, "what it is"),
            (Action::LocateModel, "where"),
            (Action::VerifyModel, "verify"),
            (Action::Help, "help"),
        ];
    }
    if state.models.is_open() {
        let take = match state.models.chosen() {
            _ if state.models.removal().is_some() => Some("remove it"),
            _ if state.models.is_asking() => Some("fetch it"),
            Some(model) if model.is_ready() => Some("draw with it"),
            _ => state.models.can_fetch().then_some("fetch"),
        };
        let take = take.map(|take| (Action::TakeModel, take));
        let mut actions: Vec<_> = take.into_iter().collect();
        let cancel = state.models.to_cancel().map(|_| (Action::CancelFetch, "fetch no more"));
        let check = state.models.check_to_cancel().map(|_| (Action::CancelFetch, "check no more"));
        actions.extend(cancel.or(check));
        if !state.models.is_asking() && state.models.removal().is_none() {
            actions.extend([
                (Action::VerifyModel, "verify"),
                (Action::RemoveModel, "remove"),
                (Action::DescribeModel, "what"),
                (Action::LocateModel, "where"),
            ]);
        }
        actions.extend([(Action::Help, "help"), (Action::UnfilterModels, "letters filter")]);
        return actions;
    }
    if state.loras.is_open() {
        return loras(state);
    }
    if state.overlay.is_open() {
        return overlay(state);
    }
    if let Some(open) = state.gallery.open() {
        return gallery::hints::hints(state, open);
    }
    let mut actions = match state.view.focus {
        Pane::Prompt => vec![
            (Action::Draw, "draw"),
            (Action::DrawAgain, "new seed"),
            (Action::DrawSameSeed, "same seed"),
            (Action::Prompts, "prompts"),
            (Action::NextPane, "pane"),
        ],
        Pane::Parameters => vec![
            (Action::Draw, "draw"),
            (Action::Field(FieldAction::Down), "field"),
            (Action::Field(FieldAction::Less), "less"),
            (Action::Field(FieldAction::More), "more"),
            (Action::Seeds, "seeds"),
            (Action::Sizes(SizesAction::Open), "sizes"),
            (Action::Models, "models"),
            (Action::NextPane, "pane"),
        ],
        Pane::Queue => vec![
            (Action::List(ListMove::Down), "next"),
            (Action::DropJob, "cancel it"),
            (Action::NextPane, "pane"),
        ],
        Pane::History => vec![
            (Action::RestoreAll, "restore"),
            (Action::RestorePrompt, "prompt"),
            (Action::RestoreSeed, "seed"),
            (Action::RestoreSettings, "settings"),
            (Action::Favourite, "favourite"),
            (Action::Rate(5), "rate (0 to 5)"),
            (Action::List(ListMove::Down), "older"),
            (Action::NextPane, "pane"),
        ],
    };
    if matches!(state.worker.link, Link::Down { .. }) {
        actions.insert(0, (Action::Reconnect, "connect now"));
    }
    actions.extend([(Action::Help, "help"), (Action::Quit, "leave")]);
    if state.view.focus == Pane::Prompt {
        actions.extend([
            (Action::Edit(Edit::Newline), "new line"),
            (Action::Snippets, "snippets"),
            (Action::EditElsewhere, "editor"),
        ]);
    }
    if state.view.focus == Pane::Parameters {
        actions.push((Action::Loras, "LoRAs"));
    }
    actions
}

fn loras(state: &State) -> Vec<(Action, &'static str)> {
    let chosen = state.loras.chosen();
    let mut actions = match chosen.as_ref().map(|row| row.drafted) {
        Some(Some(drafted)) => vec![
            (Action::TakeLora, "without it"),
            (Action::LessLora, "less"),
            (Action::MoreLora, "more"),
            (Action::SwitchLora, if drafted.on { "off" } else { "on" }),
        ],
        Some(None) if chosen.is_some_and(|row| row.is_usable()) => vec![(Action::TakeLora, "draw with it")],
        _ => Vec::new(),
    };
    let words = chosen.is_some_and(|row| row.next_words(state.prompt.editor.text()).is_some());
    actions.extend(words.then_some((Action::LoraWords, "words")));
    actions.extend([(Action::Help, "help"), (Action::UnfilterLoras, "letters filter")]);
    actions
}

/// What can be done in the list over the panes.
fn overlay(state: &State) -> Vec<(Action, &'static str)> {
    let mut actions = match &state.overlay {
        Overlay::Prompts(list) if list.chosen().is_some() => vec![
            (Action::RestoreAll, "take all"),
            (Action::RestorePrompt, "prompt"),
            (Action::RestoreSeed, "seed"),
            (Action::RestoreSettings, "settings"),
        ],
        Overlay::Seeds(list) if list.chosen().is_some() => vec![(Action::TakeSeed, "draw with it")],
        Overlay::Grid(_) => {
            return vec![
                (Action::Grid(GridAction::Draw), "draw the grid"),
                (Action::Grid(GridAction::Next), "change what"),
                (Action::List(ListMove::Down), "next"),
                (Action::Grid(GridAction::Older), "older grids"),
                (Action::Grid(GridAction::Cancel), "cancel it"),
            ];
        }
        Overlay::Sizes(_) => {
            return vec![
                (Action::Sizes(SizesAction::Take), "draw in this size"),
                (Action::Sizes(SizesAction::More), "more megapixels"),
                (Action::Sizes(SizesAction::Fewer), "fewer megapixels"),
                (Action::List(ListMove::Down), "next"),
            ];
        }
        Overlay::Snippets(list) if list.chosen().is_some() => vec![(Action::TakeSnippet, "insert it")],
        _ => Vec::new(),
    };
    actions.extend([(Action::Help, "help"), (Action::Unfilter, "letters search")]);
    actions
}

fn name(state: &State, action: Action) -> String {
    let name = state.keys.key_name(&contexts(state), action).unwrap_or_default();
    let [up, down, left, right] = state.look.glyphs.arrows;
    match name.as_str() {
        "Enter" => state.look.glyphs.enter.to_owned(),
        "Up" => up.to_owned(),
        "Down" => down.to_owned(),
        "Left" => left.to_owned(),
        "Right" => right.to_owned(),
        _ => name,
    }
}
