//! Snippets: their names, and their words.

use std::ops::Range;

use super::overlay::{Content, Row};
use super::text;
use crate::config::snippets::Snippet;
use crate::ui::pane::snippets::SnippetList;
use crate::ui::state::State;
use crate::ui::theme::Role;

/// Cells for names.
const NAME: u16 = 24;

pub(super) fn content(state: &State, list: &SnippetList, visible: Range<usize>) -> Content {
    let language = state.language;
    let title = match list.filter() {
        "" => language.snippets_title().to_owned(),
        filter => language.filtered(language.snippets_title(), filter),
    };
    let hint = language.snippets_no_match();
    let rows = list.rows()[visible].iter().map(|snippet| row(state, snippet)).collect();
    let details = list.chosen().map_or_else(Vec::new, |snippet| vec![(snippet.text.clone(), Role::Text)]);
    Content { title, hint, rows, details }
}

fn row(state: &State, snippet: &Snippet) -> Row {
    let name = text::clip(&snippet.name, NAME - 2, state.look.glyphs.ellipsis);
    let blanks = " ".repeat(usize::from(NAME.saturating_sub(text::width(&name))));
    let words = text::clip(&snippet.text, u16::MAX / 64, "");
    let left = vec![(name + &blanks, Role::Accent), (words, Role::Text)];
    Row { left, right: if snippet.own { state.language.snippets_yours().to_owned() } else { String::new() } }
}
