//! Keys and pastes.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::restore::{Part, restore};
use super::{elsewhere, focus, gallery, loras, models, over, overlay, seeds};
use crate::ui::action::{Action, Edit, FieldAction, ListMove};
use crate::ui::arrangement::Zoom;
use crate::ui::draft::{Draft, SeedWish};
use crate::ui::effect::{Effect, Gather, Question};
use crate::ui::keymap::Context;
use crate::ui::layout::inside;
use crate::ui::pane::Pane;
use crate::ui::pane::model_page::Subject;
use crate::ui::pane::parameters::FieldName;
use crate::ui::state::{Link, State};
use crate::wire::queue::QueuePlace;

/// Steps that the "much" keys take at once.
const MUCH: i64 = 10;
/// Steps of a LoRA's strength that are much.
const MUCH_LORA: i8 = 10;

pub(super) fn take_key(state: &mut State, key: &KeyEvent) -> Vec<Effect> {
    if key.kind == KeyEventKind::Release {
        return Vec::new();
    }
    let toured = over::toured(state);
    let mut effects = match state.keys.lookup(&contexts(state), key) {
        Some(action) if !begins_seed(state, key) => act(state, action),
        _ => {
            type_character(state, key);
            Vec::new()
        }
    };
    effects.extend(toured);
    effects
}

/// In the seed field a minus is the beginning of -1 and not "less".
fn begins_seed(state: &State, key: &KeyEvent) -> bool {
    let in_seed = state.view.focus == Pane::Parameters && state.parameters.chosen() == FieldName::Seed;
    in_seed && !state.is_covered() && !state.gallery.is_open() && key.code == KeyCode::Char('-')
}

/// Where the person is, the nearest first.
pub(crate) fn contexts(state: &State) -> Vec<Context> {
    if state.palette.is_open() {
        return vec![Context::Palette, Context::Everywhere];
    }
    contexts_below(state)
}

/// The same without the palette: what is chosen in it is done there.
pub(crate) fn contexts_below(state: &State) -> Vec<Context> {
    if state.view.help.is_some() {
        return vec![Context::Help, Context::OutsidePrompt, Context::Everywhere];
    }
    if let Some(context) = over::context(state) {
        return vec![context, Context::Everywhere];
    }
    if state.models.is_open() {
        return vec![Context::Models, Context::Everywhere];
    }
    if state.loras.is_open() {
        return vec![Context::Loras, Context::Everywhere];
    }
    if let Some(context) = state.overlay.context() {
        return vec![context, Context::Everywhere];
    }
    if let Some(contexts) = state.gallery.contexts() {
        return contexts;
    }
    let pane = match state.view.focus {
        Pane::Prompt => return vec![Context::Prompt, Context::Everywhere],
        Pane::Parameters => Context::Parameters,
        Pane::Queue => Context::Queue,
        Pane::History => Context::History,
    };
    match state.worker.link {
        Link::Down { .. } => {
            vec![Context::Disconnected, pane, Context::OutsidePrompt, Context::Everywhere]
        }
        Link::Up | Link::Connecting => vec![pane, Context::OutsidePrompt, Context::Everywhere],
    }
}

fn type_character(state: &mut State, key: &KeyEvent) {
    let KeyCode::Char(typed) = key.code else { return };
    if over::type_character(state, key) {
        return;
    }
    if state.view.help.is_some() || key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
        return;
    }
    if state.models.is_open() {
        return state.models.type_character(typed);
    }
    if state.loras.is_open() {
        return state.loras.type_character(typed);
    }
    if state.overlay.is_open() {
        return state.overlay.type_character(typed, state.now);
    }
    if gallery::type_text(state, typed.encode_utf8(&mut [0; 4])) {
        return;
    }
    match state.view.focus {
        Pane::Prompt => insert(state, typed.encode_utf8(&mut [0; 4]), 0),
        Pane::Parameters => drop(state.parameters.type_character(typed)),
        Pane::Queue | Pane::History => {}
    }
}

pub(super) fn paste(state: &mut State, text: &str, dropped: usize) {
    if over::paste(state, text) {
        return;
    }
    match state.view.focus {
        _ if state.view.help.is_some() => {}
        _ if state.models.is_open() => text.chars().for_each(|typed| state.models.type_character(typed)),
        _ if state.loras.is_open() => text.chars().for_each(|typed| state.loras.type_character(typed)),
        _ if state.overlay.is_open() => {
            text.chars().for_each(|typed| state.overlay.type_character(typed, state.now));
        }
        _ if state.gallery.is_open() => {
            gallery::type_text(state, text);
        }
        Pane::Parameters => state.parameters.paste(text),
        // A list has no use for text; the prompt does.
        _ => {
            focus(state, Pane::Prompt);
            insert(state, text, dropped);
        }
    }
}

/// Takes the prompt's place.
pub(super) fn insert_whole(state: &mut State, text: &str, dropped: usize) {
    state.prompt.editor.set_text(text);
    insert(state, "", dropped);
}

pub(super) fn insert(state: &mut State, text: &str, dropped: usize) {
    let left_out = state.prompt.editor.insert(text).bytes + dropped;
    if left_out > 0 {
        state.notices.warn(state.language.prompt_cut(crate::job::PROMPT_BYTES, left_out));
    }
}

pub(super) fn act(state: &mut State, action: Action) -> Vec<Effect> {
    match action {
        Action::Draw => return draw(state, SeedWish::AsSet),
        Action::DrawAgain => return draw(state, SeedWish::New),
        Action::DrawNextSeed => {
            let wish = seeds::next(state);
            return draw(state, wish);
        }
        Action::Prompts => overlay::open_prompts(state),
        Action::Seeds => return overlay::open_seeds(state),
        Action::TakeSeed => overlay::take_seed(state),
        Action::Snippets => return overlay::open_snippets(state),
        Action::TakeSnippet => overlay::take_snippet(state),
        Action::EditElsewhere => return elsewhere::begin(state),
        Action::Unfilter => state.overlay.backspace(state.now),
        Action::DrawSameSeed => return draw(state, SeedWish::Last),
        Action::Escape => return escape(state),
        Action::NextPane => next_pane(state, true),
        Action::PreviousPane => next_pane(state, false),
        Action::Help => state.view.help = if state.view.help.is_some() { None } else { Some(0) },
        Action::Models => models::toggle(state),
        Action::TakeModel => return models::take(state),
        Action::CancelFetch => return models::cancel(state),
        Action::VerifyModel => return models::about_chosen(state, Question::VerifyModel),
        Action::RemoveModel => return models::about_chosen(state, Question::PlanRemoval),
        Action::DescribeModel => return models::turn(state, Subject::What),
        Action::LocateModel => return models::turn(state, Subject::Where),
        Action::UnfilterModels => state.models.backspace(),
        Action::Loras => loras::toggle(state),
        Action::TakeLora => loras::take(state),
        Action::SwitchLora => state.loras.switch(),
        Action::LessLora => state.loras.change(-1),
        Action::MoreLora => state.loras.change(1),
        Action::MuchLessLora => state.loras.change(-MUCH_LORA),
        Action::MuchMoreLora => state.loras.change(MUCH_LORA),
        Action::LoraWords => loras::insert_words(state),
        Action::UnfilterLoras => state.loras.backspace(),
        Action::Reconnect => return reconnect(state),
        Action::ReplaceWorker => return vec![Effect::Replace],
        Action::Quit => return vec![Effect::Quit],
        Action::Suspend => {
            // Giving the terminal back drops its pictures.
            super::repaint(state);
            return vec![Effect::Suspend];
        }
        Action::Repaint => {
            state.terminal.forget();
            super::repaint(state);
            return vec![Effect::Repaint, Effect::Probe];
        }
        Action::Edit(edit) => change_prompt(state, edit),
        Action::Field(change) => change_field(state, change),
        Action::List(by) => move_in_list(state, by),
        Action::LessMemory => change_budget(state, false),
        Action::MoreMemory => change_budget(state, true),
        Action::FreeMemory if state.worker.link == Link::Up => return vec![Effect::Ask(Question::Free)],
        Action::FreeMemory => state.notices.warn(state.language.nothing_to_free()),
        Action::DropJob => return drop_job(state),
        Action::MoveJobUp => return super::queue::shift(state, QueuePlace::Up),
        Action::MoveJobDown => return super::queue::shift(state, QueuePlace::Down),
        Action::MoveJobFirst => return super::queue::shift(state, QueuePlace::First),
        Action::MoveJobLast => return super::queue::shift(state, QueuePlace::Last),
        Action::RetryJob => return super::queue::retry(state),
        Action::EditJob => super::editing::begin(state),
        Action::DuplicateJob => return super::queue::duplicate(state),
        Action::PauseQueue => return super::queue::pause(state),
        Action::Rate(rating) => return super::marks::rate(state, rating),
        Action::Favourite => return super::marks::favourite(state),
        Action::RestoreAll => restore(state, Part::All),
        Action::RestorePrompt => restore(state, Part::Prompt),
        Action::RestoreSeed => restore(state, Part::Seed),
        Action::RestoreSettings => restore(state, Part::Settings),

        Action::Focus(pane) => focus(state, pane),
        Action::Palette => state.palette.toggle(),
        Action::TakeCommand => return super::palette::take(state),
        Action::UnfilterPalette => state.palette.backspace(),
        Action::ClearPalette => state.palette.set(""),
        Action::Themes => super::looks::toggle(state),
        Action::KeepTheme => return super::looks::keep(state),
        Action::Zoom => over::zoom(state, |_| Zoom::Focus),
        Action::ZoomPreview => over::zoom(state, Zoom::Preview),
        Action::ZoomMemory => over::zoom(state, Zoom::Memory),
        Action::Arrange => return over::arrange(state),
        Action::Log => state.log.toggle(),

        Action::NextLanguage => return super::language::next(state),
        Action::Gallery(action) => return gallery::act(state, action),
        Action::Grid(action) => return super::grid::act(state, action),
        Action::Sizes(action) => return super::sizes::act(state, action),
    }
    Vec::new()
}

/// Models are loaded within the new budget from the next job on.
fn change_budget(state: &mut State, more: bool) {
    let total = state.memory.readings().and_then(|readings| readings.gpus.first()).map(|gpu| gpu.total);
    match total {
        Some(total) => state.parameters.change_budget(more, total),
        None => state.notices.warn(state.language.no_card()),
    }
}

/// Where there is a connection, or one is being made, there is nothing to be done.
fn reconnect(state: &State) -> Vec<Effect> {
    match state.worker.link {
        Link::Down { .. } => vec![Effect::Hurry],
        Link::Up | Link::Connecting => Vec::new(),
    }
}

fn draw(state: &mut State, seed: SeedWish) -> Vec<Effect> {
    state.parameters.commit();
    let draft = Draft::new(state.prompt.editor.text(), &state.parameters, seed, state.prompt.parent)
        .with_loras(state.loras.drafted().on());
    if draft.names_wildcards() {
        let prompt = draft.prompt().to_owned();
        return vec![Effect::Gather(Gather { prompt, draft: Some(Box::new(draft)) })];
    }
    ask_for(state, draft)
}

/// Asks for what was drafted, its wildcards being there.
pub(super) fn ask_for(state: &mut State, draft: Draft) -> Vec<Effect> {
    let seed = draft.seed();
    let connected = state.worker.link == Link::Up;
    if state.editing.is_some() && seed == SeedWish::AsSet {
        if connected {
            return super::editing::finish(state, &draft);
        }
        state.notices.warn(state.language.queue_elsewhere());
        return Vec::new();
    }
    let job = if connected {
        draft.job(state.language).map(Some)
    } else {
        draft.check_prompt(state.language).map(|_| None)
    };
    match job {
        Ok(Some(job)) => {
            state.preview.follow();
            seeds::asked(state, seed, job.count());
            vec![Effect::Ask(Question::Submit(job))]
        }
        Ok(None) => {
            state.preview.follow();
            let count = state.parameters.settings().map_or(1, |settings| settings.count);
            seeds::asked(state, seed, count);
            state.worker.unsent.push(draft);
            Vec::new()
        }
        Err(wrong) => {
            if let Some(field) = wrong.field {
                focus(state, Pane::Parameters);
                state.parameters.choose(field);
            }
            state.notices.error(wrong.message);
            Vec::new()
        }
    }
}

fn escape(state: &mut State) -> Vec<Effect> {
    if over::escape(state) {
        return Vec::new();
    }
    if state.view.help.take().is_some()
        || state.models.escape()
        || state.loras.close()
        || state.overlay.close()
        || state.notices.dismiss()
    {
        return Vec::new();
    }
    if state.gallery.escape() || over::unzoom(state) {
        return Vec::new();
    }
    if state.view.focus == Pane::Parameters && state.parameters.is_editing() {
        state.parameters.commit();
        return Vec::new();
    }
    if super::editing::leave(state) {
        return Vec::new();
    }
    if state.worker.link != Link::Up {
        state.worker.unsent.pop();
        return Vec::new();
    }
    state.queue.to_cancel().map(|job| Effect::Ask(Question::Cancel(job))).into_iter().collect()
}

fn next_pane(state: &mut State, forwards: bool) {
    let next = state.view.focus.next(forwards);
    focus(state, next);
}

fn change_prompt(state: &mut State, edit: Edit) {
    let editor = &mut state.prompt.editor;
    match edit {
        Edit::Move(motion) => editor.move_to(motion),
        Edit::Delete(motion) => editor.delete(motion),
        Edit::Newline => insert(state, "\n", 0),
        Edit::Undo => drop(editor.undo()),
        Edit::Redo => drop(editor.redo()),
    }
}

fn change_field(state: &mut State, change: FieldAction) {
    let parameters = &mut state.parameters;
    match change {
        FieldAction::Up => parameters.choose_next(false),
        FieldAction::Down => parameters.choose_next(true),
        FieldAction::Less => parameters.change(-1),
        FieldAction::More => parameters.change(1),
        FieldAction::MuchLess => parameters.change(-MUCH),
        FieldAction::MuchMore => parameters.change(MUCH),
        FieldAction::Backspace => parameters.backspace(),
        FieldAction::RandomSeed => parameters.random_seed(),
        FieldAction::CountSeed => parameters.toggle_count(),
    }
}

pub(super) fn move_in_list(state: &mut State, by: ListMove) {
    if over::move_in_list(state, by) {
        return;
    }
    let layout = state.layout();
    let page = |pane| layout.areas().map_or(1, |areas| usize::from(inside(areas.of(pane)).height));
    if let Some(first) = state.view.help {
        let window = usize::from(state.view.window.rows);
        let rows = crate::ui::view::help_rows(state);
        state.view.help = Some(crate::ui::pane::moved(first, rows, window / 2, by));
        return;
    }
    if state.models.is_open() {
        let page = crate::ui::view::models_page(state);
        let lines = crate::ui::view::models_lines(state);
        if let Some(open) = state.models.page_mut() {
            return open.scroll(by, lines, page);
        }
        return state.models.choose(by, page);
    }
    if state.loras.is_open() {
        let page = crate::ui::view::loras_page(state);
        return state.loras.choose(by, page);
    }
    if state.overlay.is_open() {
        return overlay::choose(state, by);
    }
    if gallery::choose(state, by) {
        return;
    }
    match state.view.focus {
        Pane::Queue => state.queue.choose(by, page(Pane::Queue)),
        Pane::History => {
            state.history.choose(by, page(Pane::History));
            look_at_chosen(state);
        }
        Pane::Prompt | Pane::Parameters => {}
    }
}

/// The preview shows what is chosen in the history.
pub(super) fn look_at_chosen(state: &mut State) {
    if let Some(picture) = state.history.chosen_picture() {
        state.preview.look_at(picture.id);
    }
}

/// Cancels a job that waits or runs; takes a failed one out of sight.
fn drop_job(state: &mut State) -> Vec<Effect> {
    let Some(job) = state.queue.chosen_job() else { return Vec::new() };
    let id = job.id;
    if job.state.is_over() {
        state.queue.forget(id);
        return Vec::new();
    }
    vec![Effect::Ask(Question::Cancel(id))]
}
