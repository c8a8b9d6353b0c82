//! Messages about LoRAs, a sample of each kind.

use flux_tui::job::LoraFacts;
use flux_tui::wire::loras::{LoraInfo, LoraList, LoraRequest, LoraResponse};

/// Every question.
pub fn requests() -> Vec<LoraRequest> {
    vec![LoraRequest::List]
}

/// Every answer: with a LoRA of which everything is known, and one that cannot be used.
pub fn responses() -> Vec<LoraResponse> {
    let facts = LoraFacts {
        form: "kohya".into(),
        kind: "LoRA and DoRA".into(),
        rank: Some(u32::MAX),
        title: Some("水墨 🖌".into()),
        base: Some("flux-1-dev".into()),
        phrase: Some("inkwash".into()),
        tags: vec!["a fox".into(), "雪".into()],
    };
    let info = |facts| LoraInfo {
        name: "风格/水墨".into(),
        path: "/模 型/风格/水墨.safetensors".into(),
        shared_name: true,
        bytes: u64::MAX,
        facts,
        picture: Some("/模 型/风格/水墨.preview.png".into()),
    };
    let unusable = LoraInfo { picture: None, ..info(Err("it is a LoRA of SDXL, not of FLUX.1".into())) };
    let loras = vec![info(Ok(facts)), info(Ok(LoraFacts::default())), unusable];
    [LoraList::default(), LoraList { loras, left_out: 7 }].map(LoraResponse::List).into()
}
