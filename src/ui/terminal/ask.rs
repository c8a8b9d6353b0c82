//! Asks a terminal what it is, once and without a studio: all questions, then the answers until the last one.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::clipboard::Between;
use super::device::controlling_terminal;
use super::facts::{Environment, Facts, QUESTIONS};
use super::tmux::Tmux;
use crate::config::Graphics;
use crate::ui::event::Event;
use crate::ui::input::{EscapeWait, Input, Report, read_terminal};

/// How long the answers are waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same over SSH.
const PATIENCE_FAR: Duration = Duration::from_secs(5);
/// Answers that may wait to be taken.
const QUEUE: usize = 64;

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// What is known of the terminal.
    pub facts: Facts,
    /// How long it took to answer everything; `None` when it did not.
    pub answered: Option<Duration>,
}

/// Why a terminal was not asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is none.
    #[error(
        "there is no terminal to ask: standard output is a file or a pipe, or no terminal belongs to this process"
    )]
    NoTerminal,
    /// Ctrl-C, or a signal.
    #[error("interrupted while the terminal was asked")]
    Interrupted,
    /// It could not be used.
    #[error("the terminal could not be used: {0}")]
    Terminal(#[source] io::Error),
}

/// No line is edited and no key echoed while this lives.
struct Raw;

impl Raw {
    fn begin() -> io::Result<Self> {
        crossterm::terminal::enable_raw_mode()?;
        Ok(Self)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone cannot be restored.
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

/// Asks the terminal of this process and, inside tmux, tmux. Call it on a runtime with time and I/O. The terminal is as it
/// was afterwards; what is typed meanwhile is lost.
///
/// # Errors
/// [`AskError`]; a terminal that answers nothing is no error.
pub async fn ask(environment: Environment, wanted: Graphics) -> Result<Found, AskError> {
    let terminal = controlling_terminal().map_err(AskError::Terminal)?.ok_or(AskError::NoTerminal)?;
    let mut facts = Facts::new(environment, wanted);
    if facts.environment.between == Between::Tmux {
        facts.learn_tmux(Tmux::ask().await.ok());
    }
    if !facts.environment.can_be_asked() {
        return Ok(Found { facts, answered: None });
    }
    let ssh = facts.environment.ssh;
    let mut ended = signal(SignalKind::terminate()).map_err(AskError::Terminal)?;
    let mut hung_up = signal(SignalKind::hangup()).map_err(AskError::Terminal)?;
    let raw = Raw::begin().map_err(AskError::Terminal)?;
    let (sender, mut events) = mpsc::channel(QUEUE);
    let reader = tokio::spawn(read_terminal(terminal, EscapeWait::over_ssh(ssh), sender));
    let begun = Instant::now();
    let asked = write(QUESTIONS);
    let answers = async {
        asked.map_err(AskError::Terminal)?;
        learn(&mut facts, &mut events).await
    };
    let patience = if ssh { PATIENCE_FAR } else { PATIENCE };
    let result = tokio::select! {
        result = tokio::time::timeout(patience, answers) => result.unwrap_or(Ok(false)),
        _ = ended.recv() => Err(AskError::Interrupted),
        _ = hung_up.recv() => Err(AskError::Interrupted),
    };
    reader.abort();
    drop(raw);
    let answered = result?.then(|| begun.elapsed());
    Ok(Found { facts, answered })
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Takes answers until the last one; `false` when the terminal is gone before.
async fn learn(facts: &mut Facts, events: &mut mpsc::Receiver<Event>) -> Result<bool, AskError> {
    use crossterm::event::{KeyCode, KeyModifiers};
    while let Some(event) = events.recv().await {
        match event {
            Event::Input(Input::Report(report)) => {
                facts.learn(&report);
                if matches!(report, Report::Attributes(_)) {
                    return Ok(true);
                }
            }
            Event::Input(Input::Key(key))
                if key.code == KeyCode::Char('c') && key.modifiers == KeyModifiers::CONTROL =>
            {
                return Err(AskError::Interrupted);
            }
            _ => {}
        }
    }
    Ok(false)
}
