//! Models as a client sees them: which are known, what there is of each, and how the fetching of them goes.

use serde::{Deserialize, Serialize};

use crate::model::{ModelInfo, ModelName};

/// A model that is known, and what there is of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelState {
    /// What it is, what suits it, its licence.
    pub info: ModelInfo,
    /// Bytes of its weights that are here.
    pub bytes: u64,
    /// Whether all of it is here.
    pub standing: Standing,
}

impl ModelState {
    /// Whether it can be drawn with.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.standing == Standing::Ready
    }
}

/// Whether all of a model is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It can be drawn with.
    Ready,
    /// Something is not here.
    Lacks(Lacks),
}

/// What of a model is not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacks {
    /// The parts, by their keys in `models.toml`. Never none.
    pub parts: Vec<String>,
    /// What would be fetched; `None` where a person has named a file that is not there.
    pub fetch: Option<ToFetch>,
    /// What is missing and what to do, for a person.
    pub reason: String,
}

/// What would be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToFetch {
    /// How many files.
    pub files: u32,
    /// How many of them have a size that is not known before their hub has been asked.
    pub of_unknown_size: u32,
    /// Bytes of the others.
    pub bytes: u64,
    /// Bytes of those that an earlier attempt has left.
    pub have: u64,
    /// Bytes that are free on the disk that they come to; `None` where that cannot be said.
    pub free: Option<u64>,
    /// The terms that must be accepted before.
    pub gate: Option<Gate>,
}

/// Terms that must be accepted on a page, by the account that a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// The page.
    pub page: String,
    /// The variable that has no token, if none is set.
    pub missing_token: Option<String>,
}

/// A model that is wanted, and how far its fetching is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFetch {
    /// Which model.
    pub model: ModelName,
    /// How far.
    pub state: FetchState,
}

/// How far the fetching of a model is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FetchState {
    /// Another model is fetched first.
    Waiting,
    /// It comes.
    Running(FetchProgress),
    /// It is here.
    Done,
    /// It is not here, and why; what has come is kept.
    Failed {
        /// What happened and what to do, for a person.
        reason: String,
    },
    /// A person wanted no more; what has come is kept.
    Cancelled,
}

impl FetchState {
    /// Whether nothing more will come of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Running(_))
    }
}

/// How far a model's files are together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FetchProgress {
    /// Bytes that are here, with those of earlier attempts.
    pub done: u64,
    /// Bytes of all files whose size is known by now.
    pub total: u64,
    /// Bytes a second over the last seconds.
    pub speed: f64,
    /// Seconds left at that speed; `None` while nothing comes.
    pub remaining: Option<f64>,
    /// Files that are whole and in place.
    pub files_done: u32,
    /// Files in all.
    pub files: u32,
    /// The name of a file that comes now.
    pub file: Option<String>,
    /// What holds it up: a hub that is asked again, another process that fetches the same file.
    pub waits: Option<String>,
}

/// The most failed fetches that a snapshot holds, one a model.
pub const FAILED_FETCHES_MAX: usize = 20;

/// Brings a list of fetches up to date: those that run and wait in their order, then those that failed, the latest
/// first. One that is done or cancelled leaves.
pub fn note(fetches: &mut Vec<ModelFetch>, fetch: ModelFetch) {
    let place = fetches.iter().position(|known| known.model == fetch.model);
    let open = |fetches: &[ModelFetch]| fetches.iter().take_while(|known| !known.state.is_over()).count();
    match (place, fetch.state.is_over()) {
        (Some(place), false) if !fetches[place].state.is_over() => fetches[place] = fetch,
        (place, over) => {
            place.map(|place| fetches.remove(place));
            let first_over = open(fetches);
            if !over || matches!(fetch.state, FetchState::Failed { .. }) {
                fetches.insert(first_over, fetch);
            }
        }
    }
    fetches.truncate(open(fetches) + FAILED_FETCHES_MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(model: &str, state: FetchState) -> ModelFetch {
        ModelFetch { model: ModelName::new(model), state }
    }

    fn failed(model: &str) -> ModelFetch {
        fetch(model, FetchState::Failed { reason: "gated".to_owned() })
    }

    #[test]
    fn those_that_are_open_keep_their_order_and_only_failures_stay() {
        let mut list = Vec::new();
        for model in ["a", "b", "c"] {
            note(&mut list, fetch(model, FetchState::Waiting));
        }
        note(&mut list, fetch("a", FetchState::Running(FetchProgress::default())));
        note(&mut list, failed("a"));
        note(&mut list, fetch("b", FetchState::Done));
        assert_eq!(list, [fetch("c", FetchState::Waiting), failed("a")]);
        note(&mut list, fetch("a", FetchState::Waiting));
        assert_eq!(list, [fetch("c", FetchState::Waiting), fetch("a", FetchState::Waiting)]);
        note(&mut list, fetch("c", FetchState::Cancelled));
        note(&mut list, failed("a"));
        assert_eq!(list, [failed("a")]);
        for number in 0..100 {
            note(&mut list, failed(&number.to_string()));
        }
        assert_eq!((list.len(), &list[0]), (FAILED_FETCHES_MAX, &failed("99")));
    }
}
