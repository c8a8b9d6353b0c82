//! A job that waits, while it is changed: it stands in the prompt and the parameters, and what stood there before waits.

use super::drafted::Drafted;
use super::parameters::ParametersPane;
use crate::job::{Job, JobId, PictureId};

/// A job on its way to be another.
#[derive(Debug, Clone)]
pub struct Editing {
    /// Which.
    pub id: JobId,
    /// What it is until then: where it is drawn, and what no field shows, stays as it is.
    pub job: Job,
    /// The worker has been asked, and has not answered.
    pub asked: bool,
    /// What stood in the prompt.
    pub prompt: String,
    /// … and in the parameters.
    pub parameters: ParametersPane,
    /// … and the LoRAs beside it.
    pub loras: Drafted,
    /// The picture that it was iterated from.
    pub parent: Option<PictureId>,
}
