//! Standard output: results and nothing else. A reader who leaves ends the command quietly.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use super::failure::Failure;

/// Whether a person looks at it.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Writes the text as it is.
///
/// # Errors
/// [`Failure::ClosedPipe`] when the reader has left, [`Failure::Stdout`] otherwise.
pub(super) fn write(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(failure)
}

/// Writes one line.
///
/// # Errors
/// As [`write`].
pub(super) fn line(text: &str) -> Result<(), Failure> {
    write(&format!("{text}\n"))
}

/// Writes one JSON object on one line.
///
/// # Errors
/// As [`write`].
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string(value).expect("our reports have no map whose keys are not strings"))
}

/// What a failed write to standard output means.
pub(super) fn failure(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe { Failure::ClosedPipe } else { Failure::Stdout(error) }
}
