//! Every form, held against diffusers with merged weights.

use std::collections::BTreeMap;

use flux_tui::engine::text::tokenize::Tokens;
use flux_tui::job::{Encoder, TokenCount};
use serde::Deserialize;

use crate::model::{Nano, Numbers, STRENGTH, difference, fixture, flat, lora};

/// What `make_fixtures.py` says of a file.
#[derive(Deserialize)]
struct Case {
    tensors: usize,
    unused: usize,
}

pub fn names() -> Vec<String> {
    cases().into_keys().collect()
}

fn cases() -> BTreeMap<String, Case> {
    let path = fixture("velocities").with_file_name("cases.json");
    serde_json::from_slice(&std::fs::read(path).expect("it is there")).expect("it is JSON")
}

#[test]
fn the_velocity_of_every_form_is_that_of_diffusers_with_merged_weights() {
    let (mut nano, numbers) = (Nano::new(), Numbers::read());
    let none = numbers.values("none");
    assert!(difference(&nano.velocity(&numbers), &none) < 1e-4, "without a LoRA");
    let cases = cases();
    assert_eq!(cases.len(), 14);
    for (name, case) in cases {
        let unapplied = nano.set(&[lora(&fixture(&name), STRENGTH)]).remove(0);
        let expected = numbers.values(&name);
        let error = difference(&nano.velocity(&numbers), &expected);
        assert!(error < 1e-4, "{name} is off by {error:.1e}");
        assert!(difference(&none, &expected) > 0.02, "{name} would not be missed");
        assert_eq!(unapplied.count, case.unused, "{name}: {unapplied:?}");
        assert!(case.unused == 0 || unapplied.of == case.tensors, "{name}: {unapplied:?}");
    }
}

#[test]
fn what_belongs_to_nothing_is_told_by_its_names() {
    let unapplied = Nano::new().set(&[lora(&fixture("comfy"), 1.0)]).remove(0);
    let name = |end| format!("diffusion_model.double_blocks.99.img_attn.qkv.{end}.weight");
    assert_eq!(unapplied.examples, [name("lora_down"), name("lora_up")]);
}

fn tokens(ids: Vec<u32>, encoder: Encoder, end: usize) -> Tokens {
    let count = TokenCount { encoder, tokens: ids.len(), limit: ids.len(), cut_at: None, unknown: 0 };
    Tokens { ids, end, count }
}

#[test]
fn both_encoders_are_changed_as_transformers_with_merged_weights_are() {
    let (mut nano, numbers) = (Nano::new(), Numbers::read());
    let clip = tokens(numbers.ids("clip_ids"), Encoder::Clip, 20);
    let t5 = tokens(numbers.ids("t5_ids"), Encoder::T5, 31);
    let both = |nano: &Nano| {
        let pooled = flat(&nano.clip.encode(&clip).expect("it is read"));
        (pooled, flat(&nano.t5.encode(&t5).expect("it is read")))
    };
    let before = both(&nano);
    nano.set(&[lora(&fixture("text-kohya"), STRENGTH), lora(&fixture("text-peft"), STRENGTH)]);
    let (pooled, text) = both(&nano);
    let (their_pooled, their_text) = (numbers.values("text.clip"), numbers.values("text.t5"));
    assert!(difference(&pooled, &their_pooled) < 1e-4, "{}", difference(&pooled, &their_pooled));
    assert!(difference(&text, &their_text) < 1e-4, "{}", difference(&text, &their_text));
    assert!(difference(&before.0, &their_pooled) > 0.01 && difference(&before.1, &their_text) > 0.01);
    let key = nano.loras.text().to_owned();
    assert!(!key.is_empty());
    nano.set(&[lora(&fixture("text-peft"), 0.5)]);
    assert_ne!(nano.loras.text(), key);
    nano.set(&[lora(&fixture("kohya"), 1.0)]);
    assert_eq!(nano.loras.text(), "", "this one changes no encoder");
    assert!(both(&nano) == before, "the encoders are what they were");
}
