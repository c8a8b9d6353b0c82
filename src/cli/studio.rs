//! `flux-tui`: the studio.

use super::failure::Failure;

/// Opens the studio.
///
/// # Errors
/// When the studio cannot be opened or ends badly.
pub(super) fn run() -> Result<(), Failure> {
    Err(Failure::Unavailable(
        "the studio is not part of this build; `flux-tui --help` lists the commands".to_owned(),
    ))
}
