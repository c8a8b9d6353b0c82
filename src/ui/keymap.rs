//! The one table of keys: it dispatches, and the help and the hints are drawn from it.

use crossterm::event::KeyCode::{
    self, Backspace, Delete, Down, End, Enter, Esc, Home, Left, PageDown, PageUp, Right, Tab, Up,
};
use crossterm::event::{KeyEvent, KeyModifiers};

use super::action::{Action, Edit, FieldAction, ListMove};
use super::editor::Motion;

/// Where a key means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// While the help is open; nothing else applies then.
    Help,
    /// While the models are open.
    Models,
    /// While the prompts of the library are open.
    Prompts,
    /// While the seeds of the prompt are open.
    Seeds,
    /// While the snippets are open.
    Snippets,
    /// The prompt.
    Prompt,
    /// The parameters.
    Parameters,
    /// The queue.
    Queue,
    /// The history.
    History,
    /// Every pane but the prompt, while there is no connection.
    Disconnected,
    /// Every pane but the prompt, where letters are text.
    OutsidePrompt,
    /// Everywhere.
    Everywhere,
}

impl Context {
    /// Every context, in the order in which the help lists them.
    pub const ALL: [Self; 12] = [
        Self::Everywhere,
        Self::Prompt,
        Self::Parameters,
        Self::Queue,
        Self::History,
        Self::OutsidePrompt,
        Self::Disconnected,
        Self::Models,
        Self::Prompts,
        Self::Seeds,
        Self::Snippets,
        Self::Help,
    ];

    /// Its name for a person.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Help => "In this help",
            Self::Models => "In the models",
            Self::Prompts => "In the prompts of the library",
            Self::Seeds => "In the seeds of the prompt",
            Self::Snippets => "In the snippets",
            Self::Prompt => "In the prompt",
            Self::Parameters => "In the parameters",
            Self::Queue => "In the queue",
            Self::History => "In the history",
            Self::OutsidePrompt => "Outside the prompt",
            Self::Disconnected => "Outside the prompt, without a connection",
            Self::Everywhere => "Everywhere",
        }
    }
}

/// A key with what is held down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chord {
    /// The key.
    pub code: KeyCode,
    /// Control, Alt, Shift.
    pub modifiers: KeyModifiers,
}

impl Chord {
    fn matches(self, key: &KeyEvent) -> bool {
        // Shift is part of a character: `?` comes with it on some keyboards and without on others.
        let ignored = match key.code {
            KeyCode::Char(_) | KeyCode::BackTab => KeyModifiers::SHIFT,
            _ => KeyModifiers::NONE,
        };
        self.code == key.code && self.modifiers - ignored == key.modifiers - ignored
    }

    /// Its name: `^R`, `Alt-Enter`, `F1`.
    #[must_use]
    pub fn name(self) -> String {
        let mut name = String::new();
        let control = self.modifiers.contains(KeyModifiers::CONTROL);
        if self.modifiers.contains(KeyModifiers::ALT) {
            name.push_str("Alt-");
        }
        if self.modifiers.contains(KeyModifiers::SHIFT) {
            name.push_str("Shift-");
        }
        match self.code {
            KeyCode::Char(letter) if control => {
                name.push('^');
                name.extend(letter.to_uppercase());
            }
            KeyCode::Char(letter) => name.push(letter),
            KeyCode::BackTab => name.push_str("Shift-Tab"),
            PageUp => name.push_str("PgUp"),
            PageDown => name.push_str("PgDn"),
            KeyCode::F(number) => name.push_str(&format!("F{number}")),
            code => {
                name.push_str(if control { "Ctrl-" } else { "" });
                name.push_str(&format!("{code:?}"));
            }
        }
        name
    }
}

/// One line of the table: these keys, there, mean this.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Where.
    pub context: Context,
    /// Which keys, the one to show first.
    pub keys: &'static [Chord],
    /// What they mean.
    pub action: Action,
    /// What the help says.
    pub help: &'static str,
}

const fn plain(code: KeyCode) -> Chord {
    Chord { code, modifiers: KeyModifiers::NONE }
}
const fn letter(letter: char) -> Chord {
    plain(KeyCode::Char(letter))
}
const fn ctrl(letter: char) -> Chord {
    Chord { code: KeyCode::Char(letter), modifiers: KeyModifiers::CONTROL }
}
const fn ctrl_code(code: KeyCode) -> Chord {
    Chord { code, modifiers: KeyModifiers::CONTROL }
}
const fn alt(code: KeyCode) -> Chord {
    Chord { code, modifiers: KeyModifiers::ALT }
}
const fn shift(code: KeyCode) -> Chord {
    Chord { code, modifiers: KeyModifiers::SHIFT }
}

const fn bind(context: Context, keys: &'static [Chord], action: Action, help: &'static str) -> Binding {
    Binding { context, keys, action, help }
}

const fn moves(keys: &'static [Chord], motion: Motion, help: &'static str) -> Binding {
    bind(Context::Prompt, keys, Action::Edit(Edit::Move(motion)), help)
}

const fn deletes(keys: &'static [Chord], motion: Motion, help: &'static str) -> Binding {
    bind(Context::Prompt, keys, Action::Edit(Edit::Delete(motion)), help)
}

const fn field(keys: &'static [Chord], action: FieldAction, help: &'static str) -> Binding {
    bind(Context::Parameters, keys, Action::Field(action), help)
}

/// Every key.
#[rustfmt::skip]
pub const KEYMAP: &[Binding] = &[
    bind(Context::Prompt, &[plain(Enter)], Action::Draw, "draw"),
    bind(Context::Parameters, &[plain(Enter)], Action::Draw, "draw"),
    bind(Context::Everywhere, &[ctrl('g')], Action::DrawAgain, "draw again with a new seed"),
    bind(Context::Everywhere, &[ctrl('s')], Action::DrawSameSeed, "draw with the last seed"),
    bind(Context::Everywhere, &[ctrl('t')], Action::DrawNextSeed, "draw with the seed after the last"),
    bind(Context::Everywhere, &[ctrl('r')], Action::Prompts, "look for a prompt that was drawn"),
    bind(Context::Everywhere, &[plain(KeyCode::F(4))], Action::EditElsewhere, "change the prompt in $VISUAL or $EDITOR"),
    bind(Context::Everywhere, &[plain(Esc)], Action::Escape, "close, dismiss, or cancel the running job"),
    bind(Context::Everywhere, &[plain(Tab)], Action::NextPane, "next pane"),
    bind(Context::Everywhere, &[plain(KeyCode::BackTab), shift(Tab)], Action::PreviousPane, "pane before"),
    bind(Context::Everywhere, &[plain(KeyCode::F(1))], Action::Help, "this help"),
    bind(Context::Everywhere, &[plain(KeyCode::F(2))], Action::Models, "choose a model, or fetch one"),
    bind(Context::Everywhere, &[plain(KeyCode::F(5))], Action::Reconnect, "connect now, without waiting"),
    bind(Context::Everywhere, &[ctrl('c'), ctrl('q')], Action::Quit, "leave; the worker goes on drawing"),
    bind(Context::Everywhere, &[ctrl('z')], Action::Suspend, "back to the shell; fg returns"),
    bind(Context::Everywhere, &[ctrl('l')], Action::Repaint, "repaint, and ask the terminal again what it is"),
    bind(Context::OutsidePrompt, &[letter('?')], Action::Help, "this help"),
    bind(Context::OutsidePrompt, &[letter('m')], Action::Models, "choose a model, or fetch one"),
    bind(Context::OutsidePrompt, &[letter('v')], Action::LessMemory, "less of the card's memory for new jobs"),
    bind(Context::OutsidePrompt, &[letter('V')], Action::MoreMemory, "more of it; at the end all that is free"),
    bind(Context::OutsidePrompt, &[letter('q')], Action::Quit, "leave; the worker goes on drawing"),
    bind(Context::Disconnected, &[letter('r')], Action::Reconnect, "connect now"),

    bind(Context::Prompt, &[alt(Enter), ctrl('j'), shift(Enter)], Action::Edit(Edit::Newline), "new line"),
    moves(&[plain(Left), ctrl('b')], Motion::Left, "left"),
    moves(&[plain(Right), ctrl('f')], Motion::Right, "right"),
    moves(&[ctrl_code(Left), alt(Left), alt(KeyCode::Char('b'))], Motion::WordLeft, "a word left"),
    moves(&[ctrl_code(Right), alt(Right), alt(KeyCode::Char('f'))], Motion::WordRight, "a word right"),
    moves(&[plain(Up), ctrl('p')], Motion::Up, "up"),
    moves(&[plain(Down), ctrl('n')], Motion::Down, "down"),
    moves(&[plain(PageUp)], Motion::PageUp, "a page up"),
    moves(&[plain(PageDown)], Motion::PageDown, "a page down"),
    moves(&[plain(Home)], Motion::RowStart, "beginning of the row"),
    moves(&[plain(End)], Motion::RowEnd, "end of the row"),
    moves(&[ctrl('a')], Motion::LineStart, "beginning of the line"),
    moves(&[ctrl('e')], Motion::LineEnd, "end of the line"),
    moves(&[ctrl_code(Home), alt(KeyCode::Char('<'))], Motion::TextStart, "beginning of the prompt"),
    moves(&[ctrl_code(End), alt(KeyCode::Char('>'))], Motion::TextEnd, "end of the prompt"),
    deletes(&[plain(Backspace)], Motion::Left, "delete left"),
    deletes(&[plain(Delete), ctrl('d')], Motion::Right, "delete right"),
    deletes(&[ctrl('w'), alt(Backspace), ctrl_code(Backspace)], Motion::WordLeft, "delete the word left"),
    deletes(&[alt(KeyCode::Char('d')), ctrl_code(Delete)], Motion::WordRight, "delete the word right"),
    deletes(&[ctrl('k')], Motion::LineEnd, "delete to the end of the line"),
    deletes(&[ctrl('u')], Motion::LineStart, "delete to the beginning of the line"),
    bind(Context::Prompt, &[alt(KeyCode::Char('s'))], Action::Snippets, "insert a snippet, or words of quality"),
    bind(Context::Prompt, &[ctrl('_'), ctrl('/'), alt(KeyCode::Char('u'))], Action::Edit(Edit::Undo), "undo (also ^/)"),
    bind(Context::Prompt, &[ctrl('y'), alt(KeyCode::Char('y'))], Action::Edit(Edit::Redo), "redo"),

    field(&[plain(Up)], FieldAction::Up, "field above"),
    field(&[plain(Down)], FieldAction::Down, "field below"),
    field(&[plain(Left), letter('-')], FieldAction::Less, "less; digits type a value"),
    field(&[plain(Right), letter('+'), letter('=')], FieldAction::More, "more"),
    field(&[shift(Left), plain(PageDown)], FieldAction::MuchLess, "much less"),
    field(&[shift(Right), plain(PageUp)], FieldAction::MuchMore, "much more"),
    field(&[plain(Backspace), plain(Delete)], FieldAction::Backspace, "take back a digit"),
    field(&[letter('r')], FieldAction::RandomSeed, "a random seed"),
    field(&[letter('i')], FieldAction::CountSeed, "the seed goes up after each job, or stays"),
    bind(Context::Parameters, &[letter('s')], Action::Seeds, "the seeds that were tried for this prompt"),

    bind(Context::Queue, &[plain(Up), letter('k')], Action::List(ListMove::Up), "job before"),
    bind(Context::Queue, &[plain(Down), letter('j')], Action::List(ListMove::Down), "next job"),
    bind(Context::Queue, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page up"),
    bind(Context::Queue, &[plain(PageDown)], Action::List(ListMove::PageDown), "a page down"),
    bind(Context::Queue, &[plain(Home)], Action::List(ListMove::First), "first job"),
    bind(Context::Queue, &[plain(End)], Action::List(ListMove::Last), "last job"),
    bind(Context::Queue, &[letter('d'), plain(Delete)], Action::DropJob, "cancel this job"),
    bind(Context::Queue, &[letter('K'), shift(Up)], Action::MoveJobUp, "draw this job sooner"),
    bind(Context::Queue, &[letter('J'), shift(Down)], Action::MoveJobDown, "draw it later"),
    bind(Context::Queue, &[letter('t')], Action::MoveJobFirst, "draw it first"),
    bind(Context::Queue, &[letter('b')], Action::MoveJobLast, "draw it last"),
    bind(Context::Queue, &[letter('r')], Action::RetryJob, "try a failed job again"),
    bind(Context::Queue, &[letter('e')], Action::EditJob, "change this job: Enter does, Esc does not"),
    bind(Context::Queue, &[letter('c')], Action::DuplicateJob, "add a copy of this job"),
    bind(Context::Queue, &[letter('p')], Action::PauseQueue, "pause the queue, or go on"),

    bind(Context::History, &[plain(Enter)], Action::RestoreAll, "restore prompt and parameters"),
    bind(Context::History, &[letter('p')], Action::RestorePrompt, "restore only the prompt"),
    bind(Context::History, &[letter('s')], Action::RestoreSeed, "restore only the seed"),
    bind(Context::History, &[letter('o')], Action::RestoreSettings, "restore only model, size, steps, guidance, LoRAs"),
    bind(Context::History, &[letter('f')], Action::Favourite, "make it a favourite, or none"),
    bind(Context::History, &[letter('5')], Action::Rate(5), "rate it 5, the best"),
    bind(Context::History, &[letter('4')], Action::Rate(4), "rate it 4"),
    bind(Context::History, &[letter('3')], Action::Rate(3), "rate it 3"),
    bind(Context::History, &[letter('2')], Action::Rate(2), "rate it 2"),
    bind(Context::History, &[letter('1')], Action::Rate(1), "rate it 1"),
    bind(Context::History, &[letter('0')], Action::Rate(0), "take its rating back"),
    bind(Context::History, &[plain(Up), letter('k')], Action::List(ListMove::Up), "newer picture"),
    bind(Context::History, &[plain(Down), letter('j')], Action::List(ListMove::Down), "older picture"),
    bind(Context::History, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page newer"),
    bind(Context::History, &[plain(PageDown)], Action::List(ListMove::PageDown), "a page older"),
    bind(Context::History, &[plain(Home)], Action::List(ListMove::First), "newest"),
    bind(Context::History, &[plain(End)], Action::List(ListMove::Last), "oldest known"),

    bind(Context::Models, &[plain(Enter)], Action::TakeModel, "draw with it; fetch it when it is not here"),
    bind(Context::Models, &[ctrl('x'), plain(Delete)], Action::CancelFetch, "fetch or check it no more; what came is kept"),
    bind(Context::Models, &[ctrl('v')], Action::VerifyModel, "check size and hash of all its files"),
    bind(Context::Models, &[ctrl('d')], Action::RemoveModel, "remove what was fetched of it, after a question"),
    bind(Context::Models, &[ctrl('o')], Action::DescribeModel, "what it is, and the memory that it takes"),
    bind(Context::Models, &[ctrl('w')], Action::LocateModel, "where its files are"),
    bind(Context::Models, &[plain(Backspace)], Action::UnfilterModels, "take back a letter; letters filter"),
    bind(Context::Models, &[plain(Up), ctrl('p')], Action::List(ListMove::Up), "model above"),
    bind(Context::Models, &[plain(Down), ctrl('n')], Action::List(ListMove::Down), "model below"),
    bind(Context::Models, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page up"),
    bind(Context::Models, &[plain(PageDown)], Action::List(ListMove::PageDown), "a page down"),
    bind(Context::Models, &[plain(Home)], Action::List(ListMove::First), "first"),
    bind(Context::Models, &[plain(End)], Action::List(ListMove::Last), "last"),

    bind(Context::Prompts, &[plain(Enter)], Action::RestoreAll, "take prompt and parameters of its best picture"),
    bind(Context::Prompts, &[ctrl('p')], Action::RestorePrompt, "take only the prompt"),
    bind(Context::Prompts, &[ctrl('s')], Action::RestoreSeed, "take only the seed"),
    bind(Context::Prompts, &[ctrl('o')], Action::RestoreSettings, "take only model, size, steps, guidance, LoRAs"),
    bind(Context::Prompts, &[plain(Backspace)], Action::Unfilter, "take back a letter; letters search"),
    bind(Context::Prompts, &[plain(Up)], Action::List(ListMove::Up), "prompt above"),
    bind(Context::Prompts, &[plain(Down), ctrl('r'), ctrl('n')], Action::List(ListMove::Down), "prompt below"),
    bind(Context::Prompts, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page up"),
    bind(Context::Prompts, &[plain(PageDown)], Action::List(ListMove::PageDown), "a page down"),
    bind(Context::Prompts, &[plain(Home)], Action::List(ListMove::First), "first"),
    bind(Context::Prompts, &[plain(End)], Action::List(ListMove::Last), "last"),

    bind(Context::Seeds, &[plain(Enter)], Action::TakeSeed, "draw with this seed"),
    bind(Context::Seeds, &[plain(Backspace)], Action::Unfilter, "take back a letter; letters search"),
    bind(Context::Seeds, &[plain(Up), ctrl('p')], Action::List(ListMove::Up), "seed above"),
    bind(Context::Seeds, &[plain(Down), ctrl('n')], Action::List(ListMove::Down), "seed below"),
    bind(Context::Seeds, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page up"),
    bind(Context::Seeds, &[plain(PageDown)], Action::List(ListMove::PageDown), "a page down"),
    bind(Context::Seeds, &[plain(Home)], Action::List(ListMove::First), "first"),
    bind(Context::Seeds, &[plain(End)], Action::List(ListMove::Last), "last"),

    bind(Context::Snippets, &[plain(Enter)], Action::TakeSnippet, "insert it at the cursor"),
    bind(Context::Snippets, &[plain(Backspace)], Action::Unfilter, "take back a letter; letters search"),
    bind(Context::Snippets, &[plain(Up), ctrl('p')], Action::List(ListMove::Up), "snippet above"),
    bind(Context::Snippets, &[plain(Down), ctrl('n')], Action::List(ListMove::Down), "snippet below"),
    bind(Context::Snippets, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page up"),
    bind(Context::Snippets, &[plain(PageDown)], Action::List(ListMove::PageDown), "a page down"),
    bind(Context::Snippets, &[plain(Home)], Action::List(ListMove::First), "first"),
    bind(Context::Snippets, &[plain(End)], Action::List(ListMove::Last), "last"),

    bind(Context::Help, &[letter('q')], Action::Escape, "close"),
    bind(Context::Help, &[plain(Up), letter('k')], Action::List(ListMove::Up), "up"),
    bind(Context::Help, &[plain(Down), letter('j')], Action::List(ListMove::Down), "down"),
    bind(Context::Help, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page up"),
    bind(Context::Help, &[plain(PageDown), letter(' ')], Action::List(ListMove::PageDown), "a page down"),
    bind(Context::Help, &[plain(Home)], Action::List(ListMove::First), "beginning"),
    bind(Context::Help, &[plain(End)], Action::List(ListMove::Last), "end"),
];

/// What a key means in the first of these contexts that knows it.
#[must_use]
pub fn lookup(contexts: &[Context], key: &KeyEvent) -> Option<Action> {
    contexts.iter().find_map(|context| {
        let mut bindings = KEYMAP.iter().filter(|binding| binding.context == *context);
        bindings.find(|binding| binding.keys.iter().any(|chord| chord.matches(key))).map(|found| found.action)
    })
}

/// The name of the first key that means an action there, for hints.
#[must_use]
pub fn key_name(contexts: &[Context], action: Action) -> Option<String> {
    contexts.iter().find_map(|context| {
        let found = KEYMAP.iter().find(|line| line.context == *context && line.action == action)?;
        found.keys.first().map(|chord| chord.name())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_place() {
        for (index, one) in KEYMAP.iter().enumerate() {
            for two in KEYMAP[index + 1..].iter().filter(|two| two.context == one.context) {
                for chord in one.keys {
                    assert!(!two.keys.contains(chord), "{} is {} and {}", chord.name(), one.help, two.help);
                }
            }
        }
    }

    #[test]
    fn every_line_has_a_key_and_a_help_text() {
        for binding in KEYMAP {
            assert!(!binding.keys.is_empty() && !binding.help.is_empty(), "{binding:?}");
        }
    }

    #[test]
    fn a_question_mark_is_text_in_the_prompt_and_help_elsewhere() {
        let key = KeyEvent::new(KeyCode::Char('?'), KeyModifiers::SHIFT);
        assert_eq!(lookup(&[Context::Prompt, Context::Everywhere], &key), None);
        let outside = [Context::Queue, Context::OutsidePrompt, Context::Everywhere];
        assert_eq!(lookup(&outside, &key), Some(Action::Help));
    }

    #[test]
    fn names_are_short() {
        assert_eq!(ctrl('r').name(), "^R");
        assert_eq!(alt(Enter).name(), "Alt-Enter");
        assert_eq!(plain(KeyCode::F(1)).name(), "F1");
        assert_eq!(plain(KeyCode::BackTab).name(), "Shift-Tab");
    }
}
