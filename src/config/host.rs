//! The section `[host]`: how the worker of another machine is reached.

/// How it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// The program that goes there and its first arguments.
    pub command: Vec<String>,
    /// What is run there.
    pub program: String,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self { command: vec!["ssh".to_owned()], program: "flux-tui".to_owned() }
    }
}
