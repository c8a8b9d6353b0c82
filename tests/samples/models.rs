//! What a client is told of models, a sample of each kind.

use flux_tui::model::{ModelInfo, ModelName};
use flux_tui::wire::message::{
    CheckProgress, CheckState, FetchProgress, FetchState, FileCheck, FileFacts, Gate, GoingFile, Lacks,
    MemoryNeed, ModelCheck, ModelDetails, ModelFetch, ModelState, PartFacts, PartOrigin, PartPlace,
    PrecisionBytes, RemovalPlan, Soundness, Standing, StayingFile, ToFetch, TransformerSize,
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

/// A check in every state, with everything that is found.
pub fn checks() -> Vec<ModelCheck> {
    let running = CheckProgress {
        done: 1,
        total: u64::MAX,
        speed: 1e9,
        files_done: 1,
        files: 4,
        file: Some("测试 x.safetensors".into()),
    };
    let found = [Soundness::Right, Soundness::NoHash, Soundness::Bad { what: "its hash is another".into() }];
    let file = |found| FileCheck { file: "/模 型/x.safetensors".into(), bytes: u64::MAX, found };
    let states = [
        CheckState::Running(running),
        CheckState::Waiting,
        CheckState::Done(found.map(file).into()),
        CheckState::Failed { reason: "there is no such model".into() },
        CheckState::Cancelled,
    ];
    states.into_iter().map(|state| ModelCheck { model: ModelName::new("mine"), state }).collect()
}

/// What a model is, with a part that is here, one that is not, and a file that has everything that a file may have.
pub fn details() -> ModelDetails {
    let from = PartOrigin {
        id: "clip-l".into(),
        places: vec!["Hugging Face o/n x.safetensors".into()],
        bytes: None,
        license: "MIT".into(),
        gate: Some("https://hub".into()),
    };
    let part = |part: &str, at, from| PartPlace { part: part.into(), at, from, passed_over: Vec::new() };
    let here = part("transformer", Some("/模 型/x.safetensors".into()), None);
    let lacks = PartPlace { passed_over: vec!["/y: too short".into()], ..part("clip", None, Some(from)) };
    let size = TransformerSize {
        hidden: 3072,
        heads: 24,
        double_blocks: 19,
        single_blocks: 38,
        in_channels: 64,
        context: 4096,
        vector: 768,
        guidance: true,
    };
    let memory = MemoryNeed { cpu: u64::MAX, card: 1 };
    let facts = FileFacts {
        file: "/模 型/x.safetensors".into(),
        kind: "transformer".into(),
        what: "FLUX.1 dev, or a fine-tune of it".into(),
        variant: Some("dev".into()),
        parts: vec![PartFacts { part: "transformer".into(), names: "BFL's".into(), bytes: 7 }],
        precision: vec![PrecisionBytes { r#type: "bf16".into(), bytes: 7 }],
        scaled: true,
        size: Some(size),
        missing: vec!["vae".into()],
        draws: false,
        why_not: Some("it is a Fill".into()),
        memory,
    };
    let why_not = Some("the CLIP encoder is missing".into());
    ModelDetails {
        model: ModelName::new("mine"),
        parts: vec![here, lacks],
        files: vec![facts],
        memory,
        why_not,
    }
}

/// A removal with a file that goes and one that stays.
pub fn removal() -> RemovalPlan {
    RemovalPlan {
        model: ModelName::new("mine"),
        goes: vec![GoingFile { file: "/模 型/x.safetensors".into(), bytes: u64::MAX }],
        bytes: u64::MAX,
        stays: vec![StayingFile {
            file: "/模 型/y.safetensors".into(),
            why: "another model needs it".into(),
        }],
    }
}
