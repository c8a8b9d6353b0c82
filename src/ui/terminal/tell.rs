//! The bytes of what the terminal is told beside what is drawn in it ([`crate::ui::telling`]), each when it changes and never again.
//!
//! Titles: xterm's OSC 2, the one before kept by XTWINOPS 22 and 23. Messages: OSC 9 (iTerm2), OSC 99 (kitty), OSC 777
//! (urxvt), or the bell. Progress: ConEmu's OSC 9;4. Who understands what was read in each terminal's documents.

use super::clipboard::Between;
use super::facts::Facts;
use super::guard::{keep_title, note_progress};
use super::tmux;
use crate::config::{Notify, ShowProgress, TerminalConfig};
use crate::ui::telling::{Around, Progress};

/// Keeps the title as it was; [`TITLE_BACK`] brings it back.
pub const TITLE_KEPT: &str = "\x1b[22;2t";
/// The title as it was.
pub const TITLE_BACK: &str = "\x1b[23;2t";
/// No progress.
pub const NO_PROGRESS: &str = "\x1b]9;4;0\x1b\\";

/// What the terminal shows around the screen, as far as we know.
#[derive(Debug, Default)]
pub struct Surroundings(Around);

impl Surroundings {
    /// The terminal has been another's: everything is told anew.
    pub fn forget(&mut self) {
        self.0 = Around::default();
    }

    /// What turns what is shown into `around`; empty when that is the same, or is not to be told here.
    pub fn bytes(&mut self, around: Around, wanted: &TerminalConfig, facts: &Facts) -> String {
        let mut bytes = String::new();
        if !facts.environment.can_be_asked() {
            return bytes;
        }
        if let Some(title) = around.title.as_ref().filter(|title| self.0.title.as_ref() != Some(title)) {
            bytes.push_str(keep_title());
            bytes.push_str(&format!("\x1b]2;{title}\x1b\\"));
        }
        let shown = if shows_progress(wanted.progress, facts) { around.progress } else { Progress::None };
        if shown != self.0.progress {
            note_progress();
            bytes.push_str(&through(facts, &progress(shown)));
        }
        self.0 = Around { progress: shown, ..around };
        bytes
    }
}

/// What is written for a message; empty where the person wants none.
#[must_use]
pub fn message(text: &str, wanted: &TerminalConfig, facts: &Facts) -> String {
    if !facts.environment.can_be_asked() {
        return String::new();
    }
    match notify(wanted.notify, facts) {
        Notify::Osc9 => through(facts, &format!("\x1b]9;{text}\x1b\\")),
        Notify::Osc99 => {
            let title = "\x1b]99;i=flux-tui:d=0;flux-tui\x1b\\";
            through(facts, &format!("{title}\x1b]99;i=flux-tui:d=1:p=body;{text}\x1b\\"))
        }
        Notify::Osc777 => through(facts, &format!("\x1b]777;notify;flux-tui;{text}\x1b\\")),
        Notify::Bell => "\x07".to_owned(),
        Notify::Auto | Notify::Off => String::new(),
    }
}

fn progress(progress: Progress) -> String {
    match progress {
        Progress::None => NO_PROGRESS.to_owned(),
        Progress::Busy => "\x1b]9;4;3\x1b\\".to_owned(),
        Progress::Percent(percent) => format!("\x1b]9;4;1;{percent}\x1b\\"),
    }
}

/// As what stands between passes it on.
fn through(facts: &Facts, bytes: &str) -> String {
    match facts.environment.between {
        Between::Tmux => tmux::wrapped(bytes),
        _ => bytes.to_owned(),
    }
}

/// A terminal's name and the first version of it, as in [`Facts::is_at_least`].
type Since = (&'static str, (u32, u32));

/// Terminals that show a progress, from which version on; of others some would show it as a message.
const PROGRESS: [Since; 6] = [
    ("ghostty", (1, 2)),
    ("kitty", (0, 40)),
    ("WezTerm", (20_250_209, 0)),
    ("iTerm2", (3, 7)),
    ("mintty", (3, 4)),
    ("VTE", (8000, 0)),
];

/// Terminals that show messages, and how.
const MESSAGES: [(Since, Notify); 7] = [
    (("kitty", (0, 19)), Notify::Osc99),
    (("ghostty", (1, 0)), Notify::Osc777),
    (("WezTerm", (0, 0)), Notify::Osc777),
    (("iTerm2", (0, 0)), Notify::Osc9),
    (("foot", (1, 8)), Notify::Osc777),
    (("rxvt", (0, 0)), Notify::Osc777),
    (("contour", (0, 0)), Notify::Osc777),
];

/// Whether progress is told.
#[must_use]
pub fn shows_progress(wanted: ShowProgress, facts: &Facts) -> bool {
    match wanted {
        ShowProgress::On => true,
        ShowProgress::Off => false,
        ShowProgress::Auto => {
            let known = PROGRESS.iter().any(|(name, since)| facts.is_at_least(name, *since));
            !facts.environment.multiplexer && (facts.environment.windows_terminal || known)
        }
    }
}

/// How messages are told: never [`Notify::Auto`]. Multiplexers pass the bell on and nothing else.
#[must_use]
pub fn notify(wanted: Notify, facts: &Facts) -> Notify {
    if wanted != Notify::Auto {
        return wanted;
    }
    let known = MESSAGES.iter().find(|((name, since), _)| facts.is_at_least(name, *since));
    match known {
        Some((_, how)) if !facts.environment.multiplexer => *how,
        _ => Notify::Bell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Graphics;
    use crate::ui::input::Report;
    use crate::ui::terminal::facts::Environment;

    fn facts(name: &str, environment: Environment) -> Facts {
        let environment = Environment { term: "xterm-256color".to_owned(), ..environment };
        let mut facts = Facts::new(environment, Graphics::Auto);
        facts.learn(&Report::Version(name.to_owned()));
        facts
    }

    #[test]
    fn a_message_goes_the_way_that_the_terminal_knows() {
        let told = |wanted: &TerminalConfig, facts| message("drawn: a fox", wanted, &facts);
        for (name, expected) in [
            (
                "kitty(0.35.2)",
                "\x1b]99;i=flux-tui:d=0;flux-tui\x1b\\\x1b]99;i=flux-tui:d=1:p=body;drawn: a fox\x1b\\",
            ),
            ("iTerm2 3.5.0", "\x1b]9;drawn: a fox\x1b\\"),
            ("foot(1.16.2)", "\x1b]777;notify;flux-tui;drawn: a fox\x1b\\"),
            ("XTerm(379)", "\x07"),
        ] {
            let here = facts(name, Environment::default());
            assert_eq!(told(&TerminalConfig::default(), here), expected, "{name}");
            let inside = facts(name, Environment { multiplexer: true, ..Environment::default() });
            assert_eq!(told(&TerminalConfig::default(), inside), "\x07", "{name}");
        }
        let wanted = TerminalConfig { notify: Notify::Osc9, ..TerminalConfig::default() };
        let tmux = facts(
            "tmux 3.4",
            Environment { multiplexer: true, between: Between::Tmux, ..Environment::default() },
        );
        assert_eq!(told(&wanted, tmux), "\x1bPtmux;\x1b\x1b]9;drawn: a fox\x1b\x1b\\\x1b\\");
        let off = TerminalConfig { notify: Notify::Off, ..TerminalConfig::default() };
        assert_eq!(told(&off, facts("kitty(0.35.2)", Environment::default())), "");
    }

    #[test]
    fn progress_is_told_only_to_those_who_do_not_take_it_for_a_message() {
        let told = |facts: &Facts, around: &mut Surroundings, progress| {
            around.bytes(Around { title: None, progress }, &TerminalConfig::default(), facts)
        };
        for (name, shown) in [
            ("ghostty 1.2.0", true),
            ("ghostty 1.1.3", false),
            ("WezTerm 20240203-110809", false),
            ("WezTerm 20250310-010101", true),
            ("iTerm2 3.5.0", false),
            ("VTE(8001)", true),
            ("VTE(7600)", false),
            ("XTerm(379)", false),
        ] {
            let (facts, mut around) = (facts(name, Environment::default()), Surroundings::default());
            let bytes = told(&facts, &mut around, Progress::Percent(40));
            assert_eq!(bytes, if shown { "\x1b]9;4;1;40\x1b\\" } else { "" }, "{name}");
            assert_eq!(told(&facts, &mut around, Progress::Percent(40)), "", "{name}");
        }
        let windows = facts("", Environment { windows_terminal: true, ..Environment::default() });
        let mut around = Surroundings::default();
        assert_eq!(told(&windows, &mut around, Progress::Busy), "\x1b]9;4;3\x1b\\");
        assert_eq!(told(&windows, &mut around, Progress::None), NO_PROGRESS);
    }

    #[test]
    fn the_title_that_was_there_is_kept_and_ours_told_when_it_changes() {
        let facts = facts("XTerm(379)", Environment::default());
        let mut around = Surroundings::default();
        let mut told = |title: &str| {
            let around_now = Around { title: Some(title.to_owned()), progress: Progress::None };
            around.bytes(around_now, &TerminalConfig::default(), &facts)
        };
        assert!(told("one").ends_with("\x1b]2;one\x1b\\"));
        assert_eq!([told("one"), told("two")], ["", "\x1b]2;two\x1b\\"]);
    }

    #[test]
    fn the_linux_console_is_told_nothing() {
        let mut facts = facts("", Environment::default());
        facts.environment.term = "linux".to_owned();
        let around = Around { title: Some("a title".to_owned()), progress: Progress::Busy };
        assert_eq!(Surroundings::default().bytes(around, &TerminalConfig::default(), &facts), "");
        assert_eq!(message("a message", &TerminalConfig::default(), &facts), "");
    }
}
