//! The studio: the process that owns the terminal and nothing else.
//!
//! ```text
//! input, signals, worker, pictures ── event ──> update ── effect ──> worker, pictures, terminal
//!                                                  │
//!                                                state ──> view ──> screen ──> bytes
//! ```
//!
//! # Invariants
//! - One closed [`event::Event`] enum and one loop ([`run`]). All events that wait are taken, then
//!   one frame is drawn, at most 125 times a second, and only its changes are written.
//! - [`update()`] is pure: no I/O, and the time is passed in. Views change nothing.
//! - A reply of the terminal never becomes a keystroke; keys typed ahead are never lost.
//! - Leaving never stops work. The worker is another process.

pub mod action;
pub mod arrangement;
pub mod command;
pub mod draft;
pub mod editor;
pub mod effect;
pub mod event;
#[cfg(test)]
mod fake;
pub mod files;
pub mod fuzzy;
mod gatherer;
pub mod glyphs;
pub mod habits;
pub mod input;
#[cfg(test)]
mod journeys;
mod keyboard;
pub mod keymap;
pub mod language;
pub mod layout;
pub mod link;
pub mod notice;
pub mod pane;
pub mod picture;
mod run;
mod source;
pub mod state;
pub mod telling;
pub mod terminal;
pub mod theme;
mod tmuxes;
mod update;
pub mod view;

pub use link::{Ask, Connect};
pub use source::Source;
pub use update::update;

use std::time::Instant;

use crate::config::{Config, Graphics, JobDefaults, LanguageChoice};
use crate::paths::Paths;
use arrangement::Kept;
use glyphs::Glyphs;
use habits::Habits;
use language::Languages;
use state::{Look, State};
use telling::Messages;
use terminal::facts::{Environment, Facts};
use theme::Theme;

/// What the command line says of the studio. It goes before the configuration.
#[derive(Debug, Clone)]
pub struct StudioOptions {
    /// Where the configuration and the themes are.
    pub paths: Paths,
    /// A theme's name.
    pub theme: Option<String>,
    /// How pictures are shown.
    pub graphics: Option<Graphics>,
    /// Only ASCII borders and signs.
    pub ascii: bool,
    /// What it speaks.
    pub language: Option<LanguageChoice>,
    /// What new jobs begin with.
    pub defaults: JobDefaults,
    /// The machine whose worker draws, when it is another.
    pub host: Option<String>,
    /// What was found wrong before it opened, each with its place.
    pub complaints: Vec<String>,
}

/// Why the studio could not run.
#[derive(Debug, thiserror::Error)]
pub enum StudioError {
    /// Standard output is a file or a pipe, or there is no terminal to read keys from.
    #[error("the studio needs a terminal; `flux-tui generate \"PROMPT\"` draws without one")]
    NotATerminal,
    /// A part of the studio panicked; the terminal was given back first.
    #[error("a part of the studio failed, as said above; the worker goes on")]
    Panicked,
    /// The terminal could not be used.
    #[error("the terminal could not be used: {0}")]
    Terminal(#[source] std::io::Error),
}

/// Shows the studio until the person leaves. Call it on a current-thread runtime with time and I/O.
///
/// The first frame is drawn before the worker is looked for; the worker comes from `source` ([`Source`]).
///
/// # Errors
/// [`StudioError`]; a worker that cannot be had is no error but is shown, and tried again.
pub async fn run<C: Connect>(source: C, options: StudioOptions) -> Result<(), StudioError> {
    // Colours are the themes' concern, NO_COLOR included: a theme without any writes none, and the
    // picture keeps its own.
    crossterm::style::force_color_output(true);
    let habits = Habits::read(&options.paths);
    let state = first_state(&options, Environment::read(), habits.clone());
    run::run(source, state, (options.paths, habits)).await
}

/// The state before anything has happened: configuration, theme, environment.
fn first_state(options: &StudioOptions, environment: Environment, habits: Habits) -> State {
    let (config, _) = Config::load(&options.paths.config);
    let glyphs = Glyphs::choose(options.ascii || config.ascii);
    let look = Look { theme: Theme::default(), glyphs, automatic: false };
    let facts = Facts::new(environment, options.graphics.unwrap_or(config.graphics));
    let defaults = options.defaults.clone().or(config.defaults);
    let now = Instant::now();
    let mut state = State::new(look, facts, defaults, now);
    state.worker.host.clone_from(&options.host);
    state.log.set_clock(now, jiff::Zoned::now());
    state.messages = Messages::new(config.terminal);
    state.view.kept = Kept::load(&options.paths);
    state.view.tour = !state.view.kept.toured;
    state.themes.fixed = options.theme.is_some();
    state.themes.wanted = options.theme.clone().filter(|name| name != "auto");
    let by_environment = LanguageChoice::of_environment(|name| std::env::var(name).ok());
    state.languages = Languages::begin(options.language, by_environment);
    let mut complaints = update::take_habits(&mut state, habits);
    complaints.extend(options.complaints.iter().cloned());
    complaints.into_iter().rev().for_each(|complaint| state.notices.warn(complaint));
    state
}
