//! How often and after how long a failed request is sent again.

use std::time::Duration;

use super::error::FetchError;
use super::progress::{Cancel, Notice, Observer};
use super::pull::Options;
use crate::catalog::Place;

/// No pause between two tries is longer, unless the server asks for it.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The patience with one file.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    pub options: &'a Options,
    pub cancel: &'a Cancel,
    pub observer: &'a dyn Observer,
    pub place: &'a Place,
}

impl Patience<'_> {
    /// Waits after the failure number `failures` in a row, the first being 1.
    ///
    /// # Errors
    /// The failure itself when trying again is of no use, when it was tried often enough, or when the server wants
    /// more time than anybody has; [`FetchError::Cancelled`] when a person does.
    pub(super) fn after(&self, error: FetchError, failures: u32, tries: u32) -> Result<(), FetchError> {
        if self.cancel.is_stopped() {
            return Err(FetchError::Cancelled);
        }
        if failures >= tries || !is_transient(&error) {
            return Err(error);
        }
        let asked = match error {
            FetchError::Limited { seconds, .. } => Duration::from_secs(seconds),
            _ => Duration::ZERO,
        };
        if asked > self.options.patience {
            return Err(error);
        }
        let doubled = self.options.backoff.saturating_mul(1 << (failures - 1).min(16));
        let pause = doubled.min(PAUSE_MAX).max(asked);
        let (place, seconds) = (self.place.clone(), pause.as_secs_f64());
        self.observer.notice(&Notice::Retrying { place, seconds, why: error.to_string() });
        self.cancel.pause(pause)
    }
}

/// Whether the same request may succeed a little later.
fn is_transient(error: &FetchError) -> bool {
    match error {
        FetchError::Unreachable { .. }
        | FetchError::Answer { .. }
        | FetchError::Cut { .. }
        | FetchError::Limited { .. } => true,
        FetchError::Status { status, .. } => *status == 408 || *status >= 500,
        _ => false,
    }
}
