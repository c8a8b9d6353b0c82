//! A page of the picker: what a model is, or where its files are.

use super::text;
use crate::ui::language::Language;
use crate::ui::pane::model_page::{Page, Subject};
use crate::ui::state::State;
use crate::ui::theme::Role;
use crate::wire::message::{CheckState, FileFacts, MemoryNeed, ModelDetails, PartPlace, Soundness};

/// Cells of the words before the lines.
const LABELS: usize = 12;

/// A line and how it looks.
type Line = (String, Role);

/// The title of the picker while a page is open.
pub(super) fn title(state: &State, page: &Page) -> String {
    match (page.subject, &state.worker.host) {
        (Subject::What, _) => state.language.page_what(&page.model),
        (Subject::Where, None) => state.language.page_where(&page.model),
        (Subject::Where, Some(host)) => state.language.page_where_on(&page.model, host),
    }
}

/// All lines of a page, of at most so many cells.
pub(super) fn lines(state: &State, page: &Page, width: u16) -> Vec<Line> {
    let ellipsis = state.look.glyphs.ellipsis;
    let said = match &page.details {
        None => vec![row("", state.language.page_reading(), Role::Dim)],
        Some(Err(reason)) => vec![row("", reason, Role::Error)],
        Some(Ok(details)) => match page.subject {
            Subject::What => what(state.language, details),
            Subject::Where => places(state, details),
        },
    };
    let mut lines = Vec::new();
    for Row { label, text, role } in said {
        let indent = if label.is_empty() && !text.starts_with(' ') { 0 } else { LABELS };
        let room = usize::from(width).saturating_sub(indent);
        let room = u16::try_from(room).unwrap_or(u16::MAX).max(1);
        if text.is_empty() {
            lines.push((String::new(), role));
        }
        let wrapped = text.lines().flat_map(|line| text::wrap(line, room, usize::MAX, ellipsis));
        for (at, line) in wrapped.enumerate() {
            let label = if at == 0 { label } else { "" };
            lines.push((text::padded(label, indent) + &line, role));
        }
    }
    lines
}

/// A text with a word before it.
struct Row {
    label: &'static str,
    text: String,
    role: Role,
}

fn row(label: &'static str, text: impl Into<String>, role: Role) -> Row {
    Row { label, text: text.into(), role }
}

fn what(language: Language, details: &ModelDetails) -> Vec<Row> {
    let draws = match &details.why_not {
        None => row(language.page_draws(), language.page_yes(), Role::Accent),
        Some(reason) => row(language.page_draws(), language.page_no(reason), Role::Warning),
    };
    let mut rows = vec![draws];
    if details.memory.card > 0 {
        let memory = memory(language, details.memory);
        rows.push(row(language.page_memory(), language.page_weights(memory), Role::Text));
    }
    for facts in &details.files {
        rows.push(row("", "", Role::Text));
        rows.extend(of_file(language, facts));
    }
    let missing = details.parts.iter().filter(|part| part.at.is_none());
    let missing: Vec<_> = missing.map(|part| part.part.as_str()).collect();
    if !missing.is_empty() {
        rows.push(row("", "", Role::Text));
        rows.push(row(language.page_not_here(), missing.join(", "), Role::Warning));
    }
    rows
}

/// What weights take, by where they are.
fn memory(language: Language, need: MemoryNeed) -> String {
    language.page_card_and_cpu(text::decimal(need.card), text::decimal(need.cpu))
}

fn of_file(language: Language, facts: &FileFacts) -> Vec<Row> {
    let role = |label| if label == "file" { Role::Accent } else { Role::Text };
    let rows = facts.rows(text::decimal).into_iter();
    // What is not in a file is in another one of the model.
    rows.filter(|(label, _)| *label != "not in it")
        .map(|(label, text)| {
            let text = if label == "weights" { memory(language, facts.memory) } else { text };
            row(language.fact(label), text, role(label))
        })
        .collect()
}

fn places(state: &State, details: &ModelDetails) -> Vec<Row> {
    let (mut rows, language) = (Vec::new(), state.language);
    for part in &details.parts {
        rows.extend(of_part(language, part));
    }
    let checked = state.models.check_of(&details.model);
    let (label, said) = match checked {
        Some(CheckState::Done(files)) => (language.page_checked(), files.as_slice()),
        _ => return rows,
    };
    rows.push(row("", "", Role::Text));
    for (at, file) in said.iter().enumerate() {
        let (found, role) = match &file.found {
            Soundness::Right => (language.page_right().to_owned(), Role::Text),
            Soundness::NoHash => (language.page_no_hash().to_owned(), Role::Dim),
            Soundness::Bad { what } => (what.clone(), Role::Error),
        };
        let label = if at == 0 { label } else { " " };
        rows.push(row(label, language.page_file_found(&file.file, found), role));
    }
    rows
}

fn of_part(language: Language, part: &PartPlace) -> Vec<Row> {
    let label = match part.part.as_str() {
        "transformer" => "transformer",
        "t5" => "t5",
        "clip" => "clip",
        _ => "vae",
    };
    if let Some(at) = &part.at {
        return vec![row(label, at.clone(), Role::Text)];
    }
    let mut rows = vec![row(label, language.page_not_here(), Role::Warning)];
    if let Some(from) = &part.from {
        let bytes = from.bytes.map_or_else(String::new, |bytes| format!(", {}", text::decimal(bytes)));
        rows.push(row(" ", format!("{}{bytes}, {}", from.id, from.license), Role::Dim));
        rows.extend(from.places.iter().map(|place| row(" ", language.page_from(place), Role::Dim)));
        let gate = from.gate.iter();
        rows.extend(gate.map(|gate| row(" ", language.page_terms(gate), Role::Dim)));
    }
    rows.extend(part.passed_over.iter().map(|passed| row(" ", language.page_passed(passed), Role::Warning)));
    rows
}
