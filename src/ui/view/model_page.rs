//! A page of the picker: what a model is, or where its files are.

use super::text;
use crate::ui::pane::model_page::{Page, Subject};
use crate::ui::state::State;
use crate::ui::theme::Role;
use crate::wire::message::{CheckState, FileFacts, ModelDetails, PartPlace, Soundness};

/// Cells of the words before the lines.
const LABELS: usize = 12;

/// A line and how it looks.
type Line = (String, Role);

/// The title of the picker while a page is open.
pub(super) fn title(state: &State, page: &Page) -> String {
    let place = state.worker.host.as_ref().map_or_else(String::new, |host| format!(" on {host}"));
    match page.subject {
        Subject::What => format!("{}: what it is", page.model),
        Subject::Where => format!("{}: where it is{place}", page.model),
    }
}

/// All lines of a page, of at most so many cells.
pub(super) fn lines(state: &State, page: &Page, width: u16) -> Vec<Line> {
    let ellipsis = state.look.glyphs.ellipsis;
    let said = match &page.details {
        None => vec![row("", "reading the headers of its files", Role::Dim)],
        Some(Err(reason)) => vec![row("", reason, Role::Error)],
        Some(Ok(details)) => match page.subject {
            Subject::What => what(details),
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
            lines.push((format!("{label:indent$}{line}"), role));
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

fn what(details: &ModelDetails) -> Vec<Row> {
    let draws = match &details.why_not {
        None => row("draws", "yes", Role::Accent),
        Some(reason) => row("draws", format!("no: {reason}"), Role::Warning),
    };
    let mut rows = vec![draws];
    if details.memory.card > 0 {
        let memory = details.memory.sentence(text::decimal);
        rows.push(row("memory", format!("its weights take {memory}"), Role::Text));
    }
    for facts in &details.files {
        rows.push(row("", "", Role::Text));
        rows.extend(of_file(facts));
    }
    let missing = details.parts.iter().filter(|part| part.at.is_none());
    let missing: Vec<_> = missing.map(|part| part.part.as_str()).collect();
    if !missing.is_empty() {
        rows.push(row("", "", Role::Text));
        rows.push(row("not here", missing.join(", "), Role::Warning));
    }
    rows
}

fn of_file(facts: &FileFacts) -> Vec<Row> {
    let role = |label| if label == "file" { Role::Accent } else { Role::Text };
    let rows = facts.rows(text::decimal).into_iter();
    // What is not in a file is in another one of the model.
    rows.filter(|(label, _)| *label != "not in it")
        .map(|(label, text)| row(label, text, role(label)))
        .collect()
}

fn places(state: &State, details: &ModelDetails) -> Vec<Row> {
    let mut rows = Vec::new();
    for part in &details.parts {
        rows.extend(of_part(part));
    }
    let checked = state.models.check_of(&details.model);
    let (label, said) = match checked {
        Some(CheckState::Done(files)) => ("checked", files.as_slice()),
        _ => return rows,
    };
    rows.push(row("", "", Role::Text));
    for (at, file) in said.iter().enumerate() {
        let (found, role) = match &file.found {
            Soundness::Right => ("right".to_owned(), Role::Text),
            Soundness::NoHash => ("no hash of it is known".to_owned(), Role::Dim),
            Soundness::Bad { what } => (what.clone(), Role::Error),
        };
        let label = if at == 0 { label } else { " " };
        rows.push(row(label, format!("{}: {found}", file.file), role));
    }
    rows
}

fn of_part(part: &PartPlace) -> Vec<Row> {
    let label = match part.part.as_str() {
        "transformer" => "transformer",
        "t5" => "t5",
        "clip" => "clip",
        _ => "vae",
    };
    if let Some(at) = &part.at {
        return vec![row(label, at.clone(), Role::Text)];
    }
    let mut rows = vec![row(label, "not here", Role::Warning)];
    if let Some(from) = &part.from {
        let bytes = from.bytes.map_or_else(String::new, |bytes| format!(", {}", text::decimal(bytes)));
        rows.push(row(" ", format!("{}{bytes}, {}", from.id, from.license), Role::Dim));
        rows.extend(from.places.iter().map(|place| row(" ", format!("from {place}"), Role::Dim)));
        let gate = from.gate.iter();
        rows.extend(gate.map(|gate| row(" ", format!("terms to accept first: {gate}"), Role::Dim)));
    }
    rows.extend(
        part.passed_over.iter().map(|passed| row(" ", format!("passed over: {passed}"), Role::Warning)),
    );
    rows
}
