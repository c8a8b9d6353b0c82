//! The section `[terminal]`: what the studio tells the terminal beside what it draws.

use std::fmt;
use std::str::FromStr;

use super::Lapse;

/// What a person wants the terminal to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalConfig {
    /// How the end of a long job is told to someone who looks elsewhere.
    pub notify: Notify,
    /// From how long a job on, `None` where the person has not said.
    pub notify_after: Option<Lapse>,
    /// Whether the window's title says what is drawn.
    pub title: bool,
    /// Whether the tab or the task bar shows how far it is.
    pub progress: ShowProgress,
}

impl Default for TerminalConfig {
    fn default() -> Self {
        Self { notify: Notify::default(), notify_after: None, title: true, progress: ShowProgress::default() }
    }
}

/// How a person is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Notify {
    /// By what the terminal says of itself.
    #[default]
    Auto,
    /// Not at all.
    Off,
    /// The bell.
    Bell,
    /// iTerm2's OSC 9.
    Osc9,
    /// kitty's OSC 99.
    Osc99,
    /// urxvt's OSC 777.
    Osc777,
}

/// Whether the terminal is told how far a picture is (OSC 9;4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ShowProgress {
    /// Where the terminal is known to understand it: others show it as a message.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl Notify {
    /// Every choice, by the name it is written with.
    pub const ALL: [(&'static str, Self); 6] = [
        ("auto", Self::Auto),
        ("off", Self::Off),
        ("bell", Self::Bell),
        ("osc9", Self::Osc9),
        ("osc99", Self::Osc99),
        ("osc777", Self::Osc777),
    ];
}

impl ShowProgress {
    /// Every choice, by the name it is written with.
    pub const ALL: [(&'static str, Self); 3] = [("auto", Self::Auto), ("on", Self::On), ("off", Self::Off)];
}

fn chosen<T: Copy, const N: usize>(text: &str, all: [(&'static str, T); N]) -> Result<T, String> {
    let found = all.iter().find(|(name, _)| *name == text);
    found.map(|(_, choice)| *choice).ok_or_else(|| format!("{text:?} is not one of {}", Names(&all)))
}

struct Names<'a, T>(&'a [(&'static str, T)]);

impl<T> fmt::Display for Names<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))
    }
}

impl FromStr for Notify {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        chosen(text, Self::ALL)
    }
}

impl FromStr for ShowProgress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        chosen(text, Self::ALL)
    }
}
