//! Messages about LoRAs, a sample of each kind.

use flux_tui::job::LoraFacts;
use flux_tui::wire::loras::{ListLoras, LoraInfo, LoraList, LoraPicture, LoraRequest, LoraResponse};

/// Every question.
pub fn requests() -> Vec<LoraRequest> {
    let hurried = ListLoras { known: Some(u64::MAX), patience_ms: Some(0) };
    let picture = LoraPicture { path: "/模 型/风格/水墨.safetensors".into(), side: u32::MAX };
    vec![LoraRequest::List(ListLoras::default()), LoraRequest::List(hurried), LoraRequest::Picture(picture)]
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
        thumbnail: true,
    };
    let info = |facts| LoraInfo {
        name: "风格/水墨".into(),
        path: "/模 型/风格/水墨.safetensors".into(),
        shared_name: true,
        bytes: u64::MAX,
        facts,
        picture: Some("/模 型/风格/水墨.preview.png".into()),
        preview: Some(u64::MAX),
    };
    let unusable = Err("it is a LoRA of SDXL, not of FLUX.1".into());
    let unusable = LoraInfo { picture: None, preview: None, ..info(Some(unusable)) };
    let loras = vec![info(Some(Ok(facts))), info(Some(Ok(LoraFacts::default()))), unusable, info(None)];
    let lists = [LoraList::default(), LoraList { loras, left_out: 7, watched: true }];
    let pictures = [None, Some(vec![0, 255].into())].map(LoraResponse::Picture);
    lists.map(LoraResponse::List).into_iter().chain(pictures).chain([LoraResponse::Same]).collect()
}
