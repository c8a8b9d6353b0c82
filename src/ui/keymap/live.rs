//! The keymap as it is now: the table, a preset, and what a person's file changes of them.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Binding, Chord, Context, KEYMAP, Preset};
use crate::ui::action::Action;

/// The keymap as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keymap {
    lines: Vec<KeyLine>,
    preset: Preset,
}

/// These keys, there, mean this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLine {
    /// Where.
    pub context: Context,
    /// Which keys, the one to show first; none when the person wants none.
    pub keys: Vec<Chord>,
    /// What they mean.
    pub action: Action,
    /// What the help says.
    pub help: &'static str,
}

impl Default for Keymap {
    fn default() -> Self {
        Self::new(Preset::Plain)
    }
}

impl Keymap {
    /// As the program has it.
    #[must_use]
    pub fn new(preset: Preset) -> Self {
        let line = |line: &Binding| KeyLine {
            context: line.context,
            keys: line.keys.to_vec(),
            action: line.action,
            help: line.help,
        };
        let mut keymap = Self { lines: KEYMAP.iter().map(line).collect(), preset };
        for more in preset.lines() {
            keymap.add(more);
        }
        keymap
    }

    /// Which preset it began as.
    #[must_use]
    pub fn preset(&self) -> Preset {
        self.preset
    }

    /// Every line, in the table's order.
    #[must_use]
    pub fn lines(&self) -> &[KeyLine] {
        &self.lines
    }

    /// The lines of a context that have a key.
    pub fn of(&self, context: Context) -> impl Iterator<Item = &KeyLine> {
        self.lines.iter().filter(move |line| line.context == context && !line.keys.is_empty())
    }

    /// What a key means in the first of these contexts that knows it.
    #[must_use]
    pub fn lookup(&self, contexts: &[Context], key: &KeyEvent) -> Option<Action> {
        // Terminals send Shift-Tab in two ways.
        let shifted = key.code == KeyCode::Tab && key.modifiers.contains(KeyModifiers::SHIFT);
        let other = KeyEvent { code: KeyCode::BackTab, ..*key };
        let is = |chord: &Chord| chord.matches(key) || (shifted && chord.matches(&other));
        contexts.iter().find_map(|context| {
            self.of(*context).find(|line| line.keys.iter().any(is)).map(|line| line.action)
        })
    }

    /// The name of the first key that means an action there, for hints.
    #[must_use]
    pub fn key_name(&self, contexts: &[Context], action: Action) -> Option<String> {
        contexts.iter().find_map(|context| {
            let line = self.of(*context).find(|line| line.action == action)?;
            line.keys.first().map(|chord| chord.name())
        })
    }

    /// The line of an action in a context; a new one when there is none.
    pub(super) fn line(&mut self, context: Context, action: Action) -> &mut KeyLine {
        let found = self.lines.iter().position(|line| line.context == context && line.action == action);
        let at = found.unwrap_or_else(|| {
            let help = KEYMAP.iter().find(|line| line.action == action).map_or("", |line| line.help);
            self.lines.push(KeyLine { context, keys: Vec::new(), action, help });
            self.lines.len() - 1
        });
        &mut self.lines[at]
    }

    /// The lines of a context, to be changed.
    pub(super) fn of_mut(&mut self, context: Context) -> impl Iterator<Item = &mut KeyLine> {
        self.lines.iter_mut().filter(move |line| line.context == context)
    }

    /// More keys for an action; who had them there has them no more.
    fn add(&mut self, more: &Binding) {
        self.of_mut(more.context).for_each(|line| line.keys.retain(|chord| !more.keys.contains(chord)));
        self.line(more.context, more.action).keys.extend(more.keys);
    }
}
