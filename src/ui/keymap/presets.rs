//! Presets: what is added to the table before a person's own lines.

use std::fmt;
use std::str::FromStr;

use super::{Binding, Chord, Context, bind, ctrl, letter};
use crate::ui::action::{Action, FieldAction, ListMove};

/// What a keymap begins as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Preset {
    /// The table.
    #[default]
    Plain,
    /// The table, and vi's movements wherever text is not typed.
    Vim,
}

impl Preset {
    /// Every preset, by its name.
    pub const ALL: [(&'static str, Self); 2] = [("plain", Self::Plain), ("vim", Self::Vim)];

    /// What it adds to the table.
    pub(super) fn lines(self) -> &'static [Binding] {
        match self {
            Self::Plain => &[],
            Self::Vim => VIM,
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, preset)| preset == self).map_or("", |(name, _)| name))
    }
}

impl FromStr for Preset {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, preset)| *preset)
            .ok_or_else(|| format!("{text:?} is not one of {}", Self::ALL.map(|(name, _)| name).join(", ")))
    }
}

const fn list(context: Context, keys: &'static [Chord], by: ListMove) -> Binding {
    bind(context, keys, Action::List(by), "")
}

const fn field(keys: &'static [Chord], action: FieldAction) -> Binding {
    bind(Context::Parameters, keys, Action::Field(action), "")
}

/// The help texts are those of the table.
#[rustfmt::skip]
const VIM: &[Binding] = &[
    bind(Context::OutsidePrompt, &[ctrl('w')], Action::NextPane, ""),

    field(&[letter('k')], FieldAction::Up),
    field(&[letter('j')], FieldAction::Down),
    field(&[letter('h')], FieldAction::Less),
    field(&[letter('l')], FieldAction::More),
    field(&[letter('H')], FieldAction::MuchLess),
    field(&[letter('L')], FieldAction::MuchMore),

    bind(Context::Queue, &[letter('x')], Action::DropJob, ""),
    bind(Context::Queue, &[letter('y')], Action::DuplicateJob, ""),
    list(Context::Queue, &[letter('g')], ListMove::First),
    list(Context::Queue, &[letter('G')], ListMove::Last),
    list(Context::Queue, &[ctrl('u')], ListMove::PageUp),
    list(Context::Queue, &[ctrl('d')], ListMove::PageDown),

    list(Context::History, &[letter('g')], ListMove::First),
    list(Context::History, &[letter('G')], ListMove::Last),
    list(Context::History, &[ctrl('u')], ListMove::PageUp),
    list(Context::History, &[ctrl('d')], ListMove::PageDown),

    list(Context::Gallery, &[letter('g')], ListMove::First),
    list(Context::Gallery, &[letter('G')], ListMove::Last),
    list(Context::Gallery, &[ctrl('u')], ListMove::PageUp),
    list(Context::Gallery, &[ctrl('d')], ListMove::PageDown),

    list(Context::Models, &[ctrl('k')], ListMove::Up),
    list(Context::Models, &[ctrl('j')], ListMove::Down),

    list(Context::Help, &[letter('g')], ListMove::First),
    list(Context::Help, &[letter('G')], ListMove::Last),
    list(Context::Help, &[ctrl('u'), ctrl('b')], ListMove::PageUp),
    list(Context::Help, &[ctrl('d'), ctrl('f')], ListMove::PageDown),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::keymap::{KEYMAP, Keymap};

    #[test]
    fn a_preset_names_only_lines_of_the_table_or_actions_of_it_and_takes_no_key_from_them() {
        for (_, preset) in Preset::ALL {
            for more in preset.lines() {
                assert!(KEYMAP.iter().any(|line| line.action == more.action), "{more:?}");
                let mut there = KEYMAP.iter().filter(|line| line.context == more.context);
                assert!(
                    !there.any(|line| line.keys.iter().any(|chord| more.keys.contains(chord))),
                    "{more:?}"
                );
            }
            assert!(Keymap::new(preset).lines().iter().all(|line| !line.help.is_empty()));
        }
    }

    #[test]
    fn an_unknown_preset_is_told_with_those_there_are() {
        assert_eq!("vim".parse(), Ok(Preset::Vim));
        assert_eq!("emacs".parse::<Preset>(), Err("\"emacs\" is not one of plain, vim".to_owned()));
    }
}
