//! The palette: what was typed into it, and which line is chosen. Its lines follow from the keymap
//! ([`rows`]): each action that means something where the palette was opened, and each command.

use crate::ui::action::{Action, Edit, ListMove};
use crate::ui::command::{Command, FORMS, Form};
use crate::ui::fuzzy::find;
use crate::ui::keymap::{Context, KeyLine, Keymap};
use crate::ui::language::Language;

/// The longest text, in characters: as long as a model's path may be.
const TEXT_MAX: usize = 200;

/// The palette.
#[derive(Debug, Clone, Default)]
pub struct PalettePane {
    open: Option<Typed>,
}

#[derive(Debug, Clone, Default)]
struct Typed {
    text: String,
    chosen: usize,
    wrong: Option<String>,
}

/// What a line does.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// What a key would do.
    Act(Action),
    /// What was typed.
    Command(Command),
    /// What was typed is a command whose argument is wrong: what is wrong with it.
    Wrong(String),
    /// The name of a command, for its argument to be typed behind it.
    Form(Form),
}

/// One line of the palette.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What Enter does.
    pub choice: Choice,
    /// What it says.
    pub label: String,
    /// Its name in `keymap.toml`, or its form.
    pub name: String,
    /// The key that does the same.
    pub key: Option<String>,
}

impl PalettePane {
    /// Opens it, empty, or closes it.
    pub fn toggle(&mut self) {
        self.open = if self.open.is_some() { None } else { Some(Typed::default()) };
    }

    /// Closes it. Whether it was open.
    pub fn close(&mut self) -> bool {
        self.open.take().is_some()
    }

    /// Whether it is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// What was typed.
    #[must_use]
    pub fn text(&self) -> &str {
        self.open.as_ref().map_or("", |typed| &typed.text)
    }

    /// The chosen line, of so many.
    #[must_use]
    pub fn chosen(&self, rows: usize) -> usize {
        self.open.as_ref().map_or(0, |typed| typed.chosen.min(rows.saturating_sub(1)))
    }

    /// Why what was typed was not done.
    #[must_use]
    pub fn wrong(&self) -> Option<&str> {
        self.open.as_ref()?.wrong.as_deref()
    }

    /// What was typed cannot be done.
    pub fn refuse(&mut self, why: String) {
        self.open.iter_mut().for_each(|typed| typed.wrong = Some(why.clone()));
    }

    /// Types one letter more.
    pub fn type_character(&mut self, letter: char) {
        self.change(|text| {
            if text.chars().count() < TEXT_MAX && !letter.is_control() {
                text.push(letter);
            }
        });
    }

    /// Takes a letter back; with none left it closes, as it opened.
    pub fn backspace(&mut self) {
        if self.text().is_empty() {
            self.open = None;
        }
        self.change(|text| {
            text.pop();
        });
    }

    /// Types something else instead.
    pub fn set(&mut self, new: &str) {
        self.change(|text| new.clone_into(text));
    }

    fn change(&mut self, change: impl FnOnce(&mut String)) {
        if let Some(typed) = &mut self.open {
            change(&mut typed.text);
            (typed.chosen, typed.wrong) = (0, None);
        }
    }

    /// Chooses another line of so many.
    pub fn choose(&mut self, by: ListMove, rows: usize, page: usize) {
        let chosen = super::moved(self.chosen(rows), rows, page, by);
        self.open.iter_mut().for_each(|typed| typed.chosen = chosen);
    }

    /// Chooses a line.
    pub fn choose_row(&mut self, row: usize) {
        self.open.iter_mut().for_each(|typed| typed.chosen = row);
    }
}

/// The lines for what was typed, the likest first, in these contexts. They are found by what they say in this language
/// and by what they say in English.
#[must_use]
pub fn rows(text: &str, keymap: &Keymap, contexts: &[Context], language: Language) -> Vec<Row> {
    if let Some(command) = Command::parse(text, language) {
        let name = text.trim().to_owned();
        let (choice, label) = match command {
            Ok(command) => (Choice::Command(command), language.palette_do().to_owned()),
            Err(wrong) => (Choice::Wrong(wrong.clone()), wrong),
        };
        return vec![Row { choice, label, name, key: None }];
    }
    let rows: Vec<(Row, &str)> = FORMS.into_iter().map(of_form).chain(actions(keymap, contexts)).collect();
    let said = rows.into_iter().map(|(row, english)| {
        let label = language.phrase(english);
        let both = if label == english { String::new() } else { format!(" {english}") };
        let searched = format!("{label} {}{both}", row.name);
        (Row { label: label.to_owned(), ..row }, searched)
    });
    let (rows, texts): (Vec<Row>, Vec<String>) = said.unzip();
    find(text, texts.iter().map(String::as_str)).into_iter().map(|at| rows[at].clone()).collect()
}

/// A row that says nothing yet, and what it says in English.
fn of_form(form: Form) -> (Row, &'static str) {
    let name = format!("{} {}", form.name, form.argument);
    (Row { choice: Choice::Form(form), label: String::new(), name, key: None }, form.help)
}

/// Each action once, as it is where the palette was opened, or else as it is in the pane that has it.
fn actions(keymap: &Keymap, contexts: &[Context]) -> impl Iterator<Item = (Row, &'static str)> {
    let nearest = |context: Context| contexts.iter().position(|near| *near == context);
    let mut lines: Vec<_> = keymap.lines().iter().filter(|line| offered(line.action)).collect();
    lines.retain(|line| nearest(line.context).is_some() || acts_from_afar(line.context, line.action));
    lines.sort_by_key(|line| (nearest(line.context).unwrap_or(usize::MAX), line.keys.is_empty()));
    let mut seen = Vec::new();
    lines.retain(|line| {
        let new = !seen.contains(&line.action);
        seen.push(line.action);
        new
    });
    let key = |action| keymap.key_name(contexts, action);
    let row = |line: &KeyLine| Row {
        choice: Choice::Act(line.action),
        label: String::new(),
        name: line.action.name(),
        key: key(line.action).or_else(|| line.keys.first().map(|chord| chord.name())),
    };
    let rows: Vec<_> = lines.into_iter().map(|line| (row(line), line.help)).collect();
    rows.into_iter()
}

/// The palette's own actions are not offered in it.
fn offered(action: Action) -> bool {
    !matches!(action, Action::Palette | Action::TakeCommand | Action::UnfilterPalette | Action::ClearPalette)
}

/// Whether an action of another pane means the same when that has not the keys: not moving in its
/// list or in its text, and nothing of what lies over the panes and is closed.
fn acts_from_afar(context: Context, action: Action) -> bool {
    !context.is_over() && !matches!(action, Action::List(_) | Action::Edit(Edit::Move(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: [Context; 3] = [Context::Queue, Context::OutsidePrompt, Context::Everywhere];

    fn rows(text: &str, contexts: &[Context]) -> Vec<Row> {
        super::rows(text, &Keymap::default(), contexts, Language::English)
    }

    fn first(text: &str, contexts: &[Context]) -> Row {
        let rows = rows(text, contexts);
        rows.into_iter().next().unwrap_or_else(|| panic!("nothing for {text:?}"))
    }

    #[test]
    fn actions_are_found_by_what_they_say_and_by_their_names() {
        let again = first("draw again", &QUEUE);
        assert_eq!((again.choice, again.key.as_deref()), (Choice::Act(Action::DrawAgain), Some("^G")));
        assert_eq!(first("drop-job", &QUEUE).choice, Choice::Act(Action::DropJob));
        assert_eq!(first("repaint", &QUEUE).choice, Choice::Act(Action::Repaint));
        assert_eq!(first("favou", &QUEUE).choice, Choice::Act(Action::Favourite), "of another pane");
        assert_eq!(rows("qqqq", &QUEUE), []);
    }

    #[test]
    fn in_chinese_they_are_found_in_both_languages() {
        let first = |text: &str| {
            let rows = super::rows(text, &Keymap::default(), &QUEUE, Language::Chinese);
            rows.into_iter().next().unwrap_or_else(|| panic!("nothing for {text:?}"))
        };
        for text in ["暂停", "pause the queue", "pause-queue"] {
            let row = first(text);
            assert_eq!((row.choice, row.label.as_str()), (Choice::Act(Action::PauseQueue), "暂停或继续队列"));
        }
        assert!(matches!(first("引导").choice, Choice::Act(_) | Choice::Form(_)));
        assert!(matches!(first("guidan").choice, Choice::Form(form) if form.name == "guidance"));
    }

    #[test]
    fn moves_are_those_of_the_place_and_what_is_closed_is_not_there() {
        let down = first("next job", &QUEUE);
        assert_eq!(
            (down.choice, down.key.as_deref()),
            (Choice::Act(Action::List(ListMove::Down)), Some("Down"))
        );
        let prompt = [Context::Prompt, Context::Everywhere];
        let all = rows("", &prompt);
        assert!(
            all.iter().all(|row| !matches!(row.choice, Choice::Act(Action::List(_) | Action::TakeModel)))
        );
        let models = [Context::Models, Context::Everywhere];
        assert_eq!(first("verify size hash", &models).choice, Choice::Act(Action::VerifyModel));
    }

    #[test]
    fn every_action_that_means_something_is_there_once() {
        let all = rows("", &QUEUE);
        for (index, row) in all.iter().enumerate() {
            assert!(all[index + 1..].iter().all(|other| other.choice != row.choice), "{} twice", row.name);
        }
        for line in Keymap::default().of(Context::Queue) {
            assert!(all.iter().any(|row| row.choice == Choice::Act(line.action)), "{}", line.action.name());
        }
    }

    #[test]
    fn commands_go_before_all_and_their_names_lead_to_them() {
        assert!(matches!(first("size 768x512", &QUEUE).choice, Choice::Command(Command::Set(_))));
        assert!(matches!(first("size no", &QUEUE).choice, Choice::Wrong(_)));
        assert!(matches!(first("guidan", &QUEUE).choice, Choice::Form(form) if form.name == "guidance"));
    }

    #[test]
    fn the_last_letter_taken_back_closes_it() {
        let mut palette = PalettePane::default();
        palette.toggle();
        palette.type_character('a');
        palette.type_character('\u{7}');
        assert_eq!(palette.text(), "a");
        palette.backspace();
        assert!(palette.is_open());
        palette.backspace();
        assert!(!palette.is_open());
    }
}
