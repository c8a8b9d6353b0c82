//! What the studio reads of a person's files while it runs, off the loop: a slow disk keeps no key waiting.

use std::path::PathBuf;

use tokio::sync::mpsc;

use super::effect::Gather;
use super::event::Event;
use crate::config::{snippets, wildcards};

/// Reads files of the configuration's folder.
#[derive(Debug)]
pub(super) struct Gatherer {
    config: PathBuf,
    events: mpsc::Sender<Event>,
}

impl Gatherer {
    /// What is read comes as events.
    pub fn new(config: PathBuf, events: mpsc::Sender<Event>) -> Self {
        Self { config, events }
    }

    /// Reads snippets.
    pub fn read_snippets(&self) {
        let (config, events) = (self.config.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let (snippets, problems) = snippets::load(&config);
            let problems = problems.iter().map(ToString::to_string).collect();
            let _ = events.blocking_send(Event::Snippets(snippets, problems));
        });
    }

    /// Reads wildcards.
    pub fn gather(&self, gather: Gather) {
        let (config, events) = (self.config.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let result = wildcards::gather(&config, &gather.prompt).map_err(|error| error.to_string());
            // Nobody is left to hear it when this fails.
            let _ = events.blocking_send(Event::Gathered(gather, result));
        });
    }
}
