//! The picker of models, over the panes: a row a model, and below what there is to say of the chosen one.

use std::fmt::Display;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::widgets::{Clear, Widget};

use super::listing::{self, DETAIL, Places};
use super::{frame, model_page, text};
use crate::ui::language::Language;
use crate::ui::layout::padded;
use crate::ui::pane::model_page::Page;
use crate::ui::state::State;
use crate::ui::theme::Role;
use crate::ui::update::{bad, sound};
use crate::wire::message::{
    CheckProgress, CheckState, FetchProgress, FetchState, FileCheck, Lacks, ModelState, RemovalPlan,
    Soundness, Standing, ToFetch,
};

/// Cells for the name and for the licence.
const NAME: u16 = 26;
const LICENCE: u16 = 26;
/// What there is of it: the longest that is usual.
const STANDING: u16 = 30;
/// From so many cells on the licence has a column.
const WITH_LICENCE: u16 = 96;

fn places(state: &State) -> Places {
    let needed = u16::try_from(state.models.known()).unwrap_or(u16::MAX).saturating_add(DETAIL + 3);
    // A page has more to say than the list.
    listing::places(state, if state.models.page().is_some() { u16::MAX } else { needed })
}

/// Rows of the list, or of the page in its place, that are in view.
#[must_use]
pub fn models_page(state: &State) -> usize {
    let Places { area, list, .. } = places(state);
    usize::from(if state.models.page().is_some() { padded(area).height } else { list.height })
}

/// Lines of the page that is open, as they are wrapped now.
#[must_use]
pub fn models_lines(state: &State) -> usize {
    let width = padded(places(state).area).width;
    state.models.page().map_or(0, |page| model_page::lines(state, page, width).len())
}

/// The row of the list at a cell.
#[must_use]
pub fn model_at(state: &State, position: Position) -> Option<usize> {
    let list = places(state).list;
    let first = text::first_row(state.models.chosen_row(), state.models.rows().len(), list.height);
    let in_list = list.contains(position) && state.models.page().is_none();
    in_list.then(|| first + usize::from(position.y - list.y))
}

pub(super) fn draw(state: &State, buffer: &mut Buffer) {
    let Places { area, list, detail } = places(state);
    Clear.render(area, buffer);
    buffer.set_style(area, state.style(Role::Screen));
    if let Some(page) = state.models.page() {
        return draw_page(state, page, area, buffer);
    }
    let title = match state.models.filter() {
        "" => state.language.models_title().to_owned(),
        filter => state.language.filtered(state.language.models_title(), filter),
    };
    frame::draw(state, area, None, &title, buffer);
    frame::highlight(state, area, buffer);
    let rows = state.models.rows();
    if rows.is_empty() {
        let hint = if state.models.known() == 0 {
            state.language.models_looking()
        } else {
            state.language.models_no_match()
        };
        let hint = text::clip(hint, list.width, state.look.glyphs.ellipsis);
        text::put(buffer, list, &[(&hint, state.style(Role::Dim))]);
        return;
    }
    let chosen = state.models.chosen_row();
    let first = text::first_row(chosen, rows.len(), list.height);
    for (index, model) in rows.iter().enumerate().skip(first).take(usize::from(list.height)) {
        draw_model(state, text::row(list, (index - first) as u16), model, index == chosen, buffer);
    }
    let mut row = 0;
    let said = details(state, rows[chosen]);
    let lines = said.iter().flat_map(|(text, role)| text.lines().map(move |line| (line, *role)));
    for (line, role) in lines {
        let left = usize::from(detail.height.saturating_sub(row));
        for line in text::wrap(line, detail.width, left, state.look.glyphs.ellipsis) {
            text::put(buffer, text::row(detail, row), &[(&line, state.style(role))]);
            row += 1;
        }
    }
}

fn draw_page(state: &State, page: &Page, area: Rect, buffer: &mut Buffer) {
    frame::draw(state, area, None, &model_page::title(state, page), buffer);
    frame::highlight(state, area, buffer);
    let inside = padded(area);
    let lines = model_page::lines(state, page, inside.width);
    // What came since, or a wider window, may have made it shorter.
    let first = page.first.min(lines.len().saturating_sub(usize::from(inside.height)));
    for (at, (line, role)) in (0..inside.height).zip(&lines[first..]) {
        text::put(buffer, text::row(inside, at), &[(line, state.style(*role))]);
    }
}

fn draw_model(state: &State, row: Rect, model: &ModelState, chosen: bool, buffer: &mut Buffer) {
    let glyphs = &state.look.glyphs;
    let over = |role| {
        let style = state.style(role);
        if chosen { style.patch(state.style(Role::Selection)) } else { style }
    };
    if chosen {
        buffer.set_style(row, state.style(Role::Selection));
    }
    let drawn_with = state.parameters.model() == model.info.name;
    let sign = if drawn_with { glyphs.pointer } else { " " };
    let (words, role) = standing(state, model);
    let taken = text::put_right(buffer, row, &words, over(role));
    let left = Rect { width: row.width.saturating_sub(taken + 2), ..row };
    let name = text::clip(model.info.name.as_str(), NAME.min(left.width / 2), glyphs.ellipsis);
    text::put(buffer, left, &[(sign, over(Role::Accent)), (" ", Style::new()), (&name, over(Role::Text))]);
    let mut about = Rect { x: left.x + 2 + NAME, width: left.width.saturating_sub(2 + NAME), ..left };
    if row.width >= WITH_LICENCE {
        about.width = about.width.min(row.width - 2 - NAME - LICENCE - STANDING);
        let x = about.right() + 2;
        let licence = Rect { x, width: (LICENCE - 2).min(left.right().saturating_sub(x)), ..row };
        let words = text::clip(&model.info.license, licence.width, glyphs.ellipsis);
        text::put(buffer, licence, &[(&words, over(Role::Dim))]);
    }
    let what = text::clip(&model.info.about, about.width, glyphs.ellipsis);
    text::put(buffer, about, &[(&what, over(Role::Dim))]);
}

/// What there is of a model, in a few words.
fn standing(state: &State, model: &ModelState) -> (String, Role) {
    let language = state.language;
    match state.models.check_of(&model.info.name) {
        Some(CheckState::Running(progress)) => return (checking(language, progress), Role::Accent),
        Some(CheckState::Waiting) => {
            return (language.models_waits_check().to_owned(), Role::Accent);
        }
        Some(CheckState::Done(files)) if bad(files) > 0 => {
            return (language.models_damaged().to_owned(), Role::Error);
        }
        _ => {}
    }
    match (state.models.fetch_of(&model.info.name), &model.standing) {
        (Some(FetchState::Running(progress)), _) => (running(state, progress), Role::Accent),
        (Some(FetchState::Waiting), _) => (language.models_waits_fetch().to_owned(), Role::Accent),
        (_, Standing::Ready) => {
            let (ready, dot) = (language.models_ready(), state.look.glyphs.dot);
            (format!("{ready} {dot} {}", text::decimal(model.bytes)), Role::Text)
        }
        (Some(FetchState::Failed { .. }), _) => (language.models_failed().to_owned(), Role::Error),
        (_, Standing::Lacks(Lacks { fetch: None, .. })) => {
            (language.models_file_missing().to_owned(), Role::Warning)
        }
        (_, Standing::Lacks(Lacks { fetch: Some(fetch), .. })) => {
            let bytes = to_fetch(language, fetch);
            (if fetch.gate.is_some() { language.models_gated(bytes) } else { bytes }, Role::Dim)
        }
    }
}

/// `12 % · 110.0 MB/s`.
fn running(state: &State, progress: &FetchProgress) -> String {
    format!(
        "{} {} {}/s",
        percent(state.language, progress),
        state.look.glyphs.dot,
        text::decimal(progress.speed as u64)
    )
}

fn percent(language: Language, progress: &FetchProgress) -> String {
    match progress.total {
        0 => language.models_asking().to_owned(),
        total => format!("{} %", u128::from(progress.done) * 100 / u128::from(total)),
    }
}

/// `34.2 GB to fetch`; what an earlier attempt has left need not come again.
fn to_fetch(language: Language, fetch: &ToFetch) -> String {
    let bytes = text::decimal(fetch.bytes.saturating_sub(fetch.have));
    match (fetch.bytes, fetch.of_unknown_size) {
        (0, _) => language.models_unknown_size().to_owned(),
        (_, 0) => language.models_to_fetch(bytes),
        (_, _) => language.models_over_to_fetch(bytes),
    }
}

/// `checking, 12 %`.
fn checking(language: Language, progress: &CheckProgress) -> String {
    let percent = checked_percent(progress).map(|percent| language.models_checking_percent(percent));
    percent.unwrap_or_else(|| language.models_checking().to_owned())
}

/// How much of it is checked; `None` while it is not known how much there is.
fn checked_percent(progress: &CheckProgress) -> Option<u128> {
    (u128::from(progress.done) * 100).checked_div(u128::from(progress.total))
}

/// What there is to say of the chosen model, each with its role.
fn details(state: &State, model: &ModelState) -> Vec<(String, Role)> {
    let (dot, language) = (state.look.glyphs.dot, state.language);
    let info = &model.info;
    if let Some(plan) = state.models.removal() {
        return removal(state, plan);
    }
    let check = state.models.check_of(&info.name).filter(|_| !state.models.is_asking());
    match check {
        Some(CheckState::Running(progress)) => return vec![(read_so_far(state, progress), Role::Accent)],
        Some(CheckState::Waiting) => {
            return vec![(language.models_checked_first().to_owned(), Role::Accent)];
        }
        Some(CheckState::Done(files)) if bad(files) > 0 => return damaged(files),
        Some(CheckState::Done(files)) => {
            let what = format!("{} {dot} {}", info.about, info.license);
            return vec![(what, Role::Text), (language.models_checked(sound(files, language)), Role::Accent)];
        }
        Some(CheckState::Failed { reason }) => {
            return vec![(language.models_not_checked(reason), Role::Error)];
        }
        Some(CheckState::Cancelled) | None => {}
    }
    let what = format!("{} {dot} {}", info.about, info.license);
    let fetch = state.models.fetch_of(&info.name);
    match (fetch, &model.standing) {
        (Some(FetchState::Running(progress)), _) => {
            let waits = progress.waits.clone().map(|waits| (waits, Role::Warning));
            std::iter::once((so_far(state, progress), Role::Accent)).chain(waits).collect()
        }
        (Some(FetchState::Waiting), _) => {
            vec![(language.models_fetched_first().to_owned(), Role::Accent)]
        }
        (_, Standing::Ready) => vec![(what, Role::Text)],
        (_, Standing::Lacks(Lacks { fetch: Some(fetch), .. })) if state.models.is_asking() => {
            question(state, info.name.as_str(), fetch)
        }
        (Some(FetchState::Failed { reason }), _) => vec![(reason.clone(), Role::Error)],
        (_, Standing::Lacks(Lacks { fetch: None, reason, .. })) => vec![(reason.clone(), Role::Warning)],
        (_, Standing::Lacks(Lacks { parts, fetch: Some(fetch), .. })) => {
            let missing = language.models_not_here(parts.join(", "));
            let terms = terms(language, fetch).map(|terms| (terms, Role::Dim));
            [(what, Role::Text), (missing, Role::Dim)].into_iter().chain(terms).collect()
        }
    }
}

/// `1.0 GB of 34.2 GB · 110.0 MB/s · 5 min left · file 2 of 4, t5xxl_fp16.safetensors`.
fn so_far(state: &State, progress: &FetchProgress) -> String {
    let (dot, language) = (state.look.glyphs.dot, state.language);
    let mut parts = vec![
        language.models_done_of(text::decimal(progress.done), text::decimal(progress.total)),
        format!("{}/s", text::decimal(progress.speed as u64)),
    ];
    let left = progress.remaining.filter(|left| left.is_finite());
    parts.extend(left.map(|left| text::left(left, language)));
    parts.push(files(language, progress.files_done, progress.files, progress.file.as_deref()));
    parts.join(&format!(" {dot} "))
}

/// `1 of 4 files, now t5xxl_fp16.safetensors`.
fn files(language: Language, done: impl Display, of: impl Display, now: Option<&str>) -> String {
    match now {
        Some(file) => language.models_files_now(done, of, file),
        None => language.models_files(done, of),
    }
}

/// `1.0 GB of 34.2 GB · 1.1 GB/s · 1 of 4 files, now t5xxl_fp16.safetensors`.
fn read_so_far(state: &State, progress: &CheckProgress) -> String {
    let language = state.language;
    let parts = [
        language.models_checking_of(text::decimal(progress.done), text::decimal(progress.total)),
        format!("{}/s", text::decimal(progress.speed as u64)),
        files(language, progress.files_done, progress.files, progress.file.as_deref()),
    ];
    parts.join(&format!(" {} ", state.look.glyphs.dot))
}

/// The damaged files, each with what to do.
fn damaged(files: &[FileCheck]) -> Vec<(String, Role)> {
    let bad = files.iter().filter_map(|file| match &file.found {
        Soundness::Bad { what } => Some((format!("{}: {what}", file_name(&file.file)), Role::Error)),
        _ => None,
    });
    bad.collect()
}

/// Whether a model is to be removed: what is freed, and what stays.
fn removal(state: &State, plan: &RemovalPlan) -> Vec<(String, Role)> {
    let enter = state.look.glyphs.enter;
    let language = state.language;
    let asked = language.models_removal(&plan.model, text::decimal(plan.bytes), plan.goes.len(), enter);
    let mut said = vec![(asked, Role::Warning)];
    let mut reasons: Vec<&str> = plan.stays.iter().map(|file| file.why.as_str()).collect();
    reasons.dedup();
    for reason in reasons {
        let names = plan.stays.iter().filter(|file| file.why == reason).map(|file| file_name(&file.file));
        said.push((language.models_stays(names.collect::<Vec<_>>().join(", "), reason), Role::Dim));
    }
    let names: Vec<_> = plan.goes.iter().map(|file| file_name(&file.file)).collect();
    said.push((language.models_goes(names.join(", ")), Role::Dim));
    said
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether a model is to be fetched.
fn question(state: &State, name: &str, fetch: &ToFetch) -> Vec<(String, Role)> {
    let enough = fetch.free.is_none_or(|free| free >= fetch.bytes.saturating_sub(fetch.have));
    let (enter, language) = (state.look.glyphs.enter, state.language);
    let bytes = to_fetch(language, fetch);
    let bytes = match fetch.free.map(text::decimal) {
        Some(free) if enough => language.models_free(bytes, free),
        Some(free) => language.models_only_free(bytes, free),
        None => bytes,
    };
    let asked = language.models_question(name, bytes, enter);
    let role = if enough { Role::Accent } else { Role::Warning };
    let terms = terms(language, fetch).map(|terms| (terms, Role::Warning));
    std::iter::once((asked, role)).chain(terms).collect()
}

/// The page on which terms must be accepted, and what is missing for it.
fn terms(language: Language, fetch: &ToFetch) -> Option<String> {
    let gate = fetch.gate.as_ref()?;
    let terms = language.models_terms(&gate.page);
    Some(match &gate.missing_token {
        Some(name) => language.models_no_token(terms, name),
        None => terms,
    })
}

/// What is being checked, for the first line: `checking flux1-dev 12 %`.
pub(super) fn being_checked(state: &State) -> Option<String> {
    let (model, progress) = state.models.checking()?;
    let percent = checked_percent(progress).map_or_else(String::new, |percent| format!(" {percent} %"));
    Some(state.language.models_now_checking(model) + &percent)
}

/// What is being fetched, for the first line: `fetching flux1-dev 12 % · 5 min left`.
pub(super) fn fetching(state: &State) -> Option<String> {
    let (model, progress) = state.models.running()?;
    let left = progress.remaining.filter(|left| left.is_finite() && progress.done < progress.total);
    let left = left.map_or_else(String::new, |left| {
        format!(" {} {}", state.look.glyphs.dot, text::left(left, state.language))
    });
    Some(state.language.models_now_fetching(model, percent(state.language, progress)) + &left)
}
