//! What this machine can draw with, and what is in the way: for `flux-tui doctor`.

use super::placement::describe_cpu;

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Good,
    /// Worth knowing; nothing is broken.
    Note,
    /// In the way of drawing on a card that is there.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What: `cuda:0`, `cublasLt`.
    pub about: String,
    /// How it is to be taken.
    pub state: State,
    /// What was found and, unless it is good, what would help.
    pub says: String,
}

impl Finding {
    pub(super) fn new(about: impl Into<String>, state: State, says: impl Into<String>) -> Self {
        Self { about: about.into(), state, says: says.into() }
    }
}

/// Looks at everything. On a card this opens a context for a moment.
#[must_use]
pub fn examine() -> Vec<Finding> {
    let mut findings = vec![Finding::new("cpu", State::Good, describe_cpu() + ", fp32")];
    findings.extend(cards());
    findings
}

#[cfg(feature = "cuda")]
fn cards() -> Vec<Finding> {
    super::cuda::examine::examine()
}

#[cfg(not(feature = "cuda"))]
fn cards() -> Vec<Finding> {
    vec![Finding::new(
        "cuda",
        State::Note,
        "this program was built without it: `cargo build --release --features cuda`, where nvcc of the CUDA toolkit (12.8 \
         or later) is, gives one that draws on NVIDIA cards",
    )]
}
