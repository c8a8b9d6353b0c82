//! `keymap.toml`: a person's keys over the table's.
//!
//! ```toml
//! preset = "vim"               # plain, vim
//!
//! [everywhere]
//! draw-again = ["F5", "^R"]    # these keys and no others
//! suspend    = []              # no key
//! ```
//!
//! What a line says replaces the keys of that action there; a key that another action of the table
//! had there is taken from it. A line that cannot be used is passed over and told of: nothing in
//! the file stops the program.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::names::nearest;
use super::{Chord, Context, KEYMAP, Keymap, Preset};
use crate::config::{ConfigProblem, read_small};
use crate::ui::action::Action;

/// What is always there, or one could not leave.
const KEPT: [Action; 2] = [Action::Escape, Action::Quit];

impl Keymap {
    /// Reads `keymap.toml` of the configuration's directory. A missing one is the table; of a wrong
    /// one all that is right counts.
    #[must_use]
    pub fn load(directory: &Path) -> (Self, Vec<ConfigProblem>) {
        let path = directory.join("keymap.toml");
        match read_small(&path) {
            Ok(None) => (Self::default(), Vec::new()),
            Ok(Some(text)) => Self::parse(&text, &path),
            Err(message) => (Self::default(), vec![ConfigProblem { path, line: None, message }]),
        }
    }

    /// Parses the file's text; `path` is for the messages.
    #[must_use]
    pub fn parse(text: &str, path: &Path) -> (Self, Vec<ConfigProblem>) {
        let mut reading = Reading { text, path, wishes: Vec::new(), problems: Vec::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            reading.problem(error.span().map_or(0, |span| span.start), error.message().to_owned());
        }
        let preset = reading.table(table.get_ref());
        let mut keymap = Self::new(preset);
        reading.apply(&mut keymap);
        reading.problems.sort_by_key(|problem| problem.line);
        (keymap, reading.problems)
    }
}

/// What one line of the file wants.
struct Wish {
    context: Context,
    action: Action,
    keys: Vec<Chord>,
    /// Where it is in the text.
    at: usize,
}

struct Reading<'t> {
    text: &'t str,
    path: &'t Path,
    wishes: Vec<Wish>,
    problems: Vec<ConfigProblem>,
}

type Value<'v> = Spanned<DeValue<'v>>;

/// The entries of a table as the file has them.
fn in_order<'t, 'v>(table: &'t DeTable<'v>) -> Vec<(usize, &'t str, &'t Value<'v>)> {
    let mut entries: Vec<_> =
        table.iter().map(|(key, value)| (key.span().start, key.get_ref().as_ref(), value)).collect();
    entries.sort_by_key(|(at, ..)| *at);
    entries
}

impl Reading<'_> {
    fn line(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        1 + self.text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count()
    }

    fn problem(&mut self, offset: usize, message: String) {
        let line = Some(self.line(offset));
        self.problems.push(ConfigProblem { path: self.path.to_owned(), line, message });
    }

    /// Takes every wish, and gives the preset.
    fn table(&mut self, table: &DeTable<'_>) -> Preset {
        let mut preset = Preset::default();
        for (at, key, value) in in_order(table) {
            let result = match (key, Context::named(key), value.get_ref()) {
                ("preset", _, DeValue::String(name)) => {
                    name.parse().map(|named| preset = named).map_err(|error| format!("preset {error}"))
                }
                (_, Some(context), DeValue::Table(section)) => {
                    self.section(context, section);
                    Ok(())
                }
                (_, Some(_), _) => Err(format!("{key} must be a section, [{key}]")),
                _ => Err(unknown_section(key)),
            };
            result.unwrap_or_else(|message| self.problem(at, message));
        }
        preset
    }

    fn section(&mut self, context: Context, section: &DeTable<'_>) {
        for (at, name, value) in in_order(section) {
            match action(context, name) {
                Ok(action) => {
                    let keys = self.keys(context, action, value);
                    if let Some(keys) = keys {
                        self.wishes.push(Wish { context, action, keys, at });
                    }
                }
                Err(message) => self.problem(at, message),
            }
        }
    }

    /// The keys of a line; `None` when none of them can be used.
    fn keys(&mut self, context: Context, action: Action, value: &Value<'_>) -> Option<Vec<Chord>> {
        let one = std::slice::from_ref(value);
        let wanted = match value.get_ref() {
            DeValue::Array(list) => &list[..],
            _ => one,
        };
        let mut keys = Vec::new();
        for value in wanted {
            let at = value.span().start;
            let key = match value.get_ref() {
                DeValue::String(text) => self.key(context, text),
                other => Err(format!(
                    "{} is {}; it must be a key in quotes or a list of them, like [\"F5\", \"Ctrl-r\"]",
                    action.name(),
                    other.type_str()
                )),
            };
            match key {
                Ok(key) if !keys.contains(&key) => keys.push(key),
                Ok(_) => {}
                Err(message) => self.problem(at, message),
            }
        }
        (wanted.is_empty() || !keys.is_empty()).then_some(keys)
    }

    /// A key that may be bound there and that no earlier line has.
    fn key(&self, context: Context, text: &str) -> Result<Chord, String> {
        let chord = Chord::parse(text).map_err(|error| error.to_string())?;
        if chord.is_text() && is_typed(context, chord) {
            return Err(format!(
                "{text:?} is text in [{}]: bind it with Ctrl- or Alt-, a function key, or in a list's own \
                 section or [outside-prompt]",
                context.name()
            ));
        }
        let mut earlier = self.wishes.iter().filter(|wish| wish.context == context);
        match earlier.find(|wish| wish.keys.contains(&chord)) {
            Some(wish) => Err(format!(
                "{text:?} is {} in [{}] already, by line {}: one key means one thing in a place",
                wish.action.name(),
                context.name(),
                self.line(wish.at)
            )),
            None => Ok(chord),
        }
    }

    fn apply(&mut self, keymap: &mut Keymap) {
        for wish in &self.wishes {
            keymap.line(wish.context, wish.action).keys.clone_from(&wish.keys);
        }
        for wish in std::mem::take(&mut self.wishes) {
            let mut left = Vec::new();
            let others = keymap.of_mut(wish.context).filter(|line| line.action != wish.action);
            for line in others.filter(|line| !line.keys.is_empty()) {
                line.keys.retain(|chord| !wish.keys.contains(chord));
                if line.keys.is_empty() && !KEPT.contains(&line.action) {
                    left.push(line.action.name());
                }
            }
            for name in left {
                self.problem(
                    wish.at,
                    format!(
                        "{} takes the last key of {name} in [{}]; give that another, or say {name} = [] to \
                         leave it without",
                        wish.action.name(),
                        wish.context.name()
                    ),
                );
            }
        }
        for action in KEPT {
            self.keep(keymap, action);
        }
    }

    /// Gives an action its own keys back when it has none left.
    fn keep(&mut self, keymap: &mut Keymap, action: Action) {
        if keymap.of(Context::Everywhere).any(|line| line.action == action) {
            return;
        }
        let own = KEYMAP.iter().find(|line| line.context == Context::Everywhere && line.action == action);
        let own = own.map_or(&[][..], |line| line.keys);
        let others = keymap.of_mut(Context::Everywhere);
        others.for_each(|line| line.keys.retain(|chord| !own.contains(chord)));
        keymap.line(Context::Everywhere, action).keys = own.to_vec();
        let names: Vec<String> = own.iter().map(|chord| chord.written()).collect();
        let message =
            format!("{} must have a key in [everywhere]: it keeps {}", action.name(), names.join(", "));
        self.problems.push(ConfigProblem { path: self.path.to_owned(), line: None, message });
    }
}

/// Whether a character is typed there: everywhere where the table binds none, and digits in fields.
fn is_typed(context: Context, chord: Chord) -> bool {
    let digit = |letter: char| letter.is_ascii_digit() || letter == '.';
    let in_field = matches!(chord.code, crossterm::event::KeyCode::Char(letter) if digit(letter));
    context.takes_text() || (context == Context::Parameters && in_field)
}

fn unknown_section(key: &str) -> String {
    let contexts: Vec<String> =
        Context::ALL.into_iter().map(|context| format!("[{}]", context.name())).collect();
    format!("{key:?} is not known here; there are preset = \"plain\" or \"vim\", {}", contexts.join(", "))
}

/// The action of this name, if it means anything there.
fn action(context: Context, name: &str) -> Result<Action, String> {
    let Some(action) = Action::named(name) else {
        let like = nearest(name, KEYMAP.iter().map(|line| line.action.name())).join(", ");
        return Err(format!(
            "there is no action {name:?}; most like it are {like}; `flux-tui keys` lists all"
        ));
    };
    let mut homes = action.contexts();
    let fits = homes.any(|home| home == context || (!home.is_over() && !context.is_over()));
    if fits {
        return Ok(action);
    }
    let mut homes: Vec<String> = action.contexts().map(|home| format!("[{}]", home.name())).collect();
    homes.dedup();
    Err(format!("{name} means nothing in [{}]; it may be in {}", context.name(), homes.join(", ")))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
