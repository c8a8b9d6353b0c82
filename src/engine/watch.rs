//! Computations on the host that an observer may end.

use super::{EngineError, Observer};

/// Runs what is made of blocks, until the observer wants it to end.
///
/// # Errors
/// [`EngineError::Stopped`], or what went wrong in this stage.
pub(super) fn watched<T>(
    observer: &dyn Observer,
    stage: &'static str,
    run: impl FnOnce(&mut dyn FnMut() -> candle_core::Result<()>) -> candle_core::Result<T>,
) -> Result<T, EngineError> {
    let mut stopped = false;
    let mut before_block = || {
        stopped = observer.wants_stop();
        if stopped { Err(candle_core::Error::msg("stopped")) } else { Ok(()) }
    };
    let done = run(&mut before_block);
    done.map_err(|error| if stopped { EngineError::Stopped } else { compute(stage)(error) })
}

/// Says of an error what was being computed.
pub(super) fn compute<E: std::error::Error + Send + Sync + 'static>(
    stage: &'static str,
) -> impl Fn(E) -> EngineError {
    move |error| EngineError::Compute { stage, source: Box::new(error) }
}
