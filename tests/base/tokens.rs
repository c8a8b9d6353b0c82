//! FLUX.1's tokenizers in the program against transformers', on 1,000 prompts in many scripts.
//! `tests/reference/make_flux1_tokens.py` made them.

use std::io::Read as _;

use flux_tui::catalog;
use flux_tui::engine::Counter;
use flux_tui::engine::text::tokenize::TextTokenizer;
use flux_tui::model::{ModelName, TextLimits};
use serde::Deserialize;

/// A prompt and its ids, special tokens included, neither cut nor padded.
#[derive(Deserialize)]
struct Case {
    prompt: String,
    clip: Vec<u32>,
    t5: Vec<u32>,
}

fn cases() -> Vec<Case> {
    let packed = include_bytes!("../reference/flux1_tokens.json.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("it is whole");
    serde_json::from_str(&text).expect("it is JSON")
}

fn counter(limits: TextLimits) -> Counter {
    let recipe = catalog::find(&ModelName::new("flux1-dev")).expect("it is in the catalogue").recipe;
    Counter::load(&recipe.t5_tokenizer, &recipe.clip_tokenizer, limits).expect("FLUX.1's tokenizers load")
}

/// What an encoder is to get: cut before the end token, or padded behind it.
fn read(all: &[u32], limit: usize, pad: u32) -> Vec<u32> {
    let end = *all.last().expect("an end token");
    let mut ids: Vec<u32> = all[..all.len().min(limit) - 1].iter().copied().chain([end]).collect();
    ids.resize(limit, pad);
    ids
}

fn check(tokenizer: &TextTokenizer, prompt: &str, all: &[u32], pad: u32) {
    let ours = tokenizer.tokenize(prompt).expect("tokens");
    assert_eq!(ours.ids, read(all, tokenizer.limit(), pad), "{prompt:?}");
    assert_eq!(ours.count.tokens, all.len(), "{prompt:?}");
    assert_eq!(ours.count.cut_at.is_some(), all.len() > tokenizer.limit(), "{prompt:?}");
}

#[test]
fn a_thousand_prompts_have_transformers_ids() {
    let cases = cases();
    assert_eq!(cases.len(), 1000);
    let dev = counter(TextLimits { t5: 512, clip: 77 });
    let schnell = counter(TextLimits { t5: 256, clip: 77 });
    for Case { prompt, clip, t5 } in &cases {
        check(&dev.clip, prompt, clip, 49407);
        check(&dev.t5, prompt, t5, 0);
        check(&schnell.t5, prompt, t5, 0);
    }
    let longer = |limit: usize| cases.iter().filter(|case| case.t5.len() > limit).count();
    assert!(longer(256) > longer(512) && longer(512) > 0, "no prompt is cut");
}
