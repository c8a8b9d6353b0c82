//! The first line: who draws, and what is happening.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{models, text};
use crate::ui::state::{Link, State};
use crate::ui::theme::Role;
use crate::wire::message::{EngineStatus, Progress, Stage};

pub(super) fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    let glyphs = &state.look.glyphs;
    let (active, role, doing) = doing(state);
    let sign = if active { glyphs.active } else { glyphs.idle };
    let room = area.width.saturating_sub(2);
    let right = text::clip(&format!("{sign} {doing}"), room, glyphs.ellipsis);
    let inner = Rect { x: area.x + 1, width: room, ..area };
    let taken = text::put_right(buffer, inner, &right, state.style(role));
    let left = Rect { width: room.saturating_sub(taken + 2), ..inner };
    let engine = text::clip(&engine(state), left.width.saturating_sub(10), glyphs.ellipsis);
    if area.width < 70 {
        let engine = text::clip(&self::engine(state), left.width, glyphs.ellipsis);
        text::put(buffer, left, &[(&engine, state.style(Role::Text))]);
    } else {
        let texts = [("flux-tui  ", state.style(Role::Dim)), (&*engine, state.style(Role::Text))];
        text::put(buffer, left, &texts);
    }
}

/// `nano · fp32 from fp8 e4m3 weights · CPU, 2 threads`; for several that hold something, how many
/// they are and what they have in common: `nano · 2 engines · fp8`. Before it the machine, when it is another.
fn engine(state: &State) -> String {
    let engines = engines(state);
    let common = |of: fn(&EngineStatus) -> Option<String>| {
        let first = engines.first().and_then(|engine| of(engine))?;
        engines.iter().all(|engine| of(engine).as_ref() == Some(&first)).then_some(first)
    };
    let model = common(|engine| engine.loaded.as_ref().map(ToString::to_string));
    let model = if engines.len() > 1 { model } else { model.or(Some(state.parameters.model().to_string())) };
    let precision = common(|engine| engine.precision.clone());
    let host = state.worker.host.clone();
    let parts = match engines[..] {
        [] => [host, model, None, None],
        [engine] => [host, model, precision, Some(engine.about.clone())],
        // The number first: a narrow window cuts the end.
        _ => [host, model, Some(state.language.status_engines(engines.len())), precision],
    };
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    parts.join(&format!(" {} ", state.look.glyphs.dot))
}

/// The engines that hold a model or draw; the best one while none does.
fn engines(state: &State) -> Vec<&EngineStatus> {
    let draws = |engine: &EngineStatus| state.queue.progress().iter().any(|now| now.device == engine.device);
    let all = &state.worker.engines;
    let busy: Vec<_> = all.iter().filter(|engine| engine.loaded.is_some() || draws(engine)).collect();
    if busy.is_empty() { all.iter().take(1).collect() } else { busy }
}

/// Whether something goes on, how it is to be coloured, and what it is.
fn doing(state: &State) -> (bool, Role, String) {
    let language = state.language;
    match &state.worker.link {
        Link::Connecting => {
            let host = &state.worker.host;
            let what = host
                .as_ref()
                .map_or(language.status_starting().to_owned(), |host| language.status_connecting(host));
            let then = if state.worker.unsent.is_empty() { "" } else { language.status_then_draws() };
            return (true, Role::Warning, what + then);
        }
        Link::Down { retry_at, .. } => {
            let seconds = retry_at.saturating_duration_since(state.now).as_secs_f64().ceil();
            let lost = state
                .worker
                .host
                .as_ref()
                .map_or(language.status_no_worker().to_owned(), |host| language.status_no_line(host));
            return (false, Role::Error, language.status_next_try(lost, format_args!("{seconds:.0}")));
        }
        Link::Up => {}
    }
    let dot = state.look.glyphs.dot;
    let also = [models::fetching(state), models::being_checked(state)];
    let also: Vec<String> = also.into_iter().flatten().collect();
    let fetching = (!also.is_empty()).then(|| also.join(&format!(" {dot} ")));
    match (state.queue.progress().first(), state.queue.waiting()) {
        (Some(progress), waiting) => {
            let drawing = drawing(state, progress, waiting);
            let also = fetching.map(|also| format!(" {} {also}", state.look.glyphs.dot));
            (true, Role::Accent, drawing + &also.unwrap_or_default())
        }
        (None, 0) => match fetching {
            Some(fetching) => (true, Role::Accent, fetching),
            None => (false, Role::Dim, language.status_ready().to_owned()),
        },
        (None, waiting) => (true, Role::Accent, language.status_waiting(waiting)),
    }
}

fn drawing(state: &State, progress: &Progress, waiting: usize) -> String {
    let (dot, language) = (state.look.glyphs.dot, state.language);
    let mut text = match &progress.stage {
        Stage::Loading { done, total } => language.stage_loading(done.saturating_mul(100) / (*total).max(1)),
        Stage::Encoding => language.stage_encoding().to_owned(),
        Stage::Drawing { step, steps, .. } => language.stage_drawing(step, steps),
        Stage::Decoding => language.stage_decoding().to_owned(),
        Stage::Saving => language.stage_saving().to_owned(),
    };
    let count = state.queue.job(progress.job).map_or(1, |job| job.job.count());
    if count > 1 {
        text.push_str(&format!(" {dot} {}", language.picture_of(progress.index + 1, count)));
    }
    if let Some(remaining) = progress.remaining.filter(|remaining| remaining.is_finite()) {
        text.push_str(&format!(" {dot} {}", language.left_seconds(format_args!("{remaining:.1}"))));
    }
    let others = state.queue.progress().len() - 1;
    if others > 0 {
        text.push_str(&format!(" {dot} {}", language.status_more(others)));
    }
    if waiting > 0 {
        text.push_str(&format!(" {dot} {}", language.status_waiting(waiting)));
    }
    text
}
