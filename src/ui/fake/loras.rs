//! LoRAs as a person may find them: with all that a file says, with nothing, in a folder, twice, and another model's.

use crate::job::LoraFacts;
use crate::wire::loras::{LoraInfo, LoraList};

/// The same, of which the first and the last have a picture.
pub(crate) fn pictured_loras() -> LoraList {
    let mut list = loras();
    (list.loras[0].preview, list.loras[4].preview) = (Some(1), Some(7));
    list
}

pub(crate) fn loras() -> LoraList {
    let facts = |form: &str, rank| LoraFacts {
        form: form.into(),
        kind: "LoRA".into(),
        rank: Some(rank),
        ..LoraFacts::default()
    };
    let lora = |name: &str, bytes, facts: Result<LoraFacts, String>| LoraInfo {
        name: name.into(),
        path: format!("/home/someone/.local/share/flux-tui/loras/{name}.safetensors"),
        shared_name: false,
        bytes,
        facts: Some(facts),
        picture: None,
        preview: None,
    };
    let ink = LoraFacts {
        title: Some("Ink wash painting".into()),
        base: Some("flux-1-dev".into()),
        phrase: Some("inkwash style".into()),
        tags: vec!["mountains".into(), "a boat".into(), "水墨".into()],
        ..facts("kohya", 16)
    };
    let twice = |path: &str| LoraInfo {
        shared_name: true,
        path: path.into(),
        ..lora("soft", 38_400_000, Ok(facts("diffusers", 32)))
    };
    let foreign = "it is a LoRA of Stable Diffusion XL, not of FLUX.1".to_owned();
    let loras = vec![
        LoraInfo { picture: Some("/loras/ink.preview.png".into()), ..lora("ink", 18_900_000, Ok(ink)) },
        lora("old/anime_xl", 228_000_000, Err(foreign)),
        twice("/data/loras/soft.safetensors"),
        twice("/home/someone/ComfyUI/models/loras/soft.safetensors"),
        lora("风格/水墨 画", 4_100_000, Ok(facts("ComfyUI", 4))),
    ];
    LoraList { loras, left_out: 0, watched: true }
}
