//! Why the worker does not carry a request out: for a person to read, with what would help.

use serde::{Deserialize, Serialize};

use crate::device::NoDevice;
use crate::job::{JobId, PictureId};
use crate::model::ModelName;

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The peers speak different versions.
    #[error(
        "this is flux-tui {client} (protocol {client_protocol}) and the running worker is {worker} (protocol \
         {worker_protocol}): {advice}",
        advice = advice(*client_protocol, *worker_protocol)
    )]
    Version {
        /// The caller's version.
        client: String,
        /// The caller's protocol.
        client_protocol: u32,
        /// The worker's version.
        worker: String,
        /// The worker's protocol.
        worker_protocol: u32,
    },
    /// A request before `Hello`.
    #[error("the first message of a connection must be a greeting")]
    NoHello,
    /// No such model.
    #[error("there is no model {name:?}; there is {known}")]
    UnknownModel {
        /// What was asked.
        name: String,
        /// The models that there are, for a person.
        known: String,
    },
    /// A model that is known, and of which something is not here: what, and what to do.
    #[error("{0}")]
    LackingModel(String),
    /// A LoRA of the job that cannot be used: which, and why.
    #[error("{0}")]
    Lora(String),
    /// To `FetchModel`: all of it is here.
    #[error("nothing is missing of {0}")]
    NothingToFetch(ModelName),
    /// To `CancelFetch`.
    #[error("{0} is not being fetched")]
    NotFetching(ModelName),
    /// To `VerifyModel`: none of it is a file.
    #[error("{0} has no files here that could be checked")]
    NothingToCheck(ModelName),
    /// To `CancelCheck`.
    #[error("{0} is not being checked")]
    NotChecking(ModelName),
    /// To `PlanRemoval` and `RemoveModel`.
    #[error("{model} is not removed: {reason}")]
    NotRemoved {
        /// Which model.
        model: ModelName,
        /// Why, and what to do.
        reason: String,
    },
    /// The job asks for a device that this machine lacks.
    #[error(transparent)]
    NoDevice(NoDevice),
    /// No such job, or one that has ended.
    #[error("job {0} is neither queued nor running")]
    UnknownJob(JobId),
    /// To `Edit`: a picture of it is there or being drawn, and says what the job says.
    #[error("job {0} has been begun, so it stays what it is; duplicate it, or cancel it and add another")]
    Begun(JobId),
    /// To `Retry`.
    #[error("job {0} has not failed, so there is nothing to try again")]
    NotFailed(JobId),
    /// To `Duplicate`.
    #[error("there is no job {0} in the library")]
    NoJob(JobId),
    /// No such picture.
    #[error("there is no picture {0} in the library")]
    UnknownPicture(PictureId),
    /// A grid that cannot be drawn or shown: why.
    #[error("{0}")]
    Grid(String),
    /// A picture that stays as it was: why.
    #[error("{0}")]
    Picture(String),
    /// The library could not be read or written: nothing was accepted.
    #[error("the library could not be used: {0}")]
    Library(String),
    /// A picture's file could not be read.
    #[error("{path} could not be read: {reason}")]
    File {
        /// Which file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// So much waits already that a client could not be shown more.
    #[error("{jobs} jobs wait already; wait until some are drawn, or cancel some")]
    QueueFull {
        /// Jobs that wait.
        jobs: usize,
    },
    /// To `CountTokens`, when the same client has asked again before this was begun.
    #[error("a newer text was sent to be counted")]
    Superseded,
    /// The tokenizers of a model could not be read.
    #[error("the tokenizers could not be used: {0}")]
    Tokenizer(String),
    /// The message could not be understood.
    #[error("the message could not be understood: {0}")]
    Malformed(String),
    /// The worker is ending.
    #[error("the worker is ending")]
    Stopping,
}

/// Which side is the older, and what to do.
fn advice(client: u32, worker: u32) -> &'static str {
    if client < worker {
        "this one is the older; use the worker's version here"
    } else {
        "the worker is the older; `flux-tui worker replace` (x in the studio, outside the prompt) has it finish the jobs that \
         it has begun, and the next is of this version"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_versions_the_older_side_is_named() {
        let refusal = |client_protocol, worker_protocol| {
            let (client, worker) = ("1.2.0".to_owned(), "1.3.0".to_owned());
            Refusal::Version { client, client_protocol, worker, worker_protocol }.to_string()
        };
        assert!(
            refusal(7, 8).contains("flux-tui 1.2.0 (protocol 7)")
                && refusal(7, 8).contains("this one is the older")
        );
        assert!(
            refusal(8, 7).contains("is 1.3.0 (protocol 7)")
                && refusal(8, 7).contains("the worker is the older")
        );
    }
}
