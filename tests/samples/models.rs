//! What a client is told of models, a sample of each kind.

use flux_tui::model::{ModelInfo, ModelName};
use flux_tui::wire::message::{
    FetchProgress, FetchState, Gate, Lacks, ModelFetch, ModelState, Standing, ToFetch,
};

/// A fetch in every state.
pub fn fetches() -> Vec<ModelFetch> {
    let running = FetchProgress {
        done: 1,
        total: u64::MAX,
        speed: 1.5,
        remaining: Some(f64::MAX),
        files_done: 1,
        files: 4,
        file: Some("测试 x.safetensors".into()),
        waits: Some("another process".into()),
    };
    let states = [
        FetchState::Running(running),
        FetchState::Waiting,
        FetchState::Done,
        FetchState::Failed { reason: "gated".into() },
        FetchState::Cancelled,
    ];
    states.into_iter().map(|state| ModelFetch { model: ModelName::new("mine"), state }).collect()
}

/// A model of every standing.
pub fn models(info: &ModelInfo) -> Vec<ModelState> {
    let gate = Gate { page: "https://hub".into(), missing_token: Some("HF_TOKEN".into()) };
    let fetch =
        ToFetch { files: 4, of_unknown_size: 1, bytes: u64::MAX, have: 0, free: None, gate: Some(gate) };
    let lacks = |fetch| Lacks { parts: vec!["vae".into()], fetch, reason: "missing: the VAE".into() };
    let standings = [Standing::Ready, Standing::Lacks(lacks(None)), Standing::Lacks(lacks(Some(fetch)))];
    standings.into_iter().map(|standing| ModelState { info: info.clone(), bytes: 9, standing }).collect()
}
