//! The text encoders at FLUX.1's own widths against transformers: a block of T5-XXL, two of CLIP-L. Their weights are
//! made here as `reference/make_encoders.py` makes them, bit for bit.

use std::path::{Path, PathBuf};

use flux_tui::engine::text::encode::Clip;
use flux_tui::engine::text::t5::T5;
use flux_tui::engine::text::tokenize::Tokens;
use flux_tui::engine::weights::Weights;
use flux_tui::job::{Encoder, TokenCount};
use flux_tui::model::Source;
use half::bf16;
use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

const WORDS: usize = 96;

/// FNV-1a.
fn seed_of(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |value, byte| (value ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Uniform in [-1, 1) by splitmix64 of seed + index: 24 bits, exact in fp32.
fn value(seed: u64, index: u64) -> f32 {
    let x = seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let x = x ^ (x >> 31);
    (x >> 40) as f32 * 2f32.powi(-23) - 1.0
}

/// A tensor's bytes, in bf16.
fn made(name: &str, shape: &[usize]) -> Vec<u8> {
    let (seed, count) = (seed_of(name), shape.iter().product::<usize>());
    let scaled = |value: f32| match shape {
        [_, _] => value * 2f32.powi(-6),
        _ if name.ends_with("weight") => value * 0.25 + 1.0,
        _ => value * 0.125,
    };
    let values = (0..count as u64).into_par_iter().map(|index| scaled(value(seed, index)));
    values.flat_map_iter(|value| bf16::from_f32(value).to_le_bytes()).collect()
}

/// Writes a file of such tensors.
fn write(path: &Path, shapes: &[(String, Vec<usize>)]) -> Source {
    let bytes: Vec<_> = shapes.iter().map(|(name, shape)| made(name, shape)).collect();
    let views = shapes.iter().zip(&bytes).map(|((name, shape), bytes)| {
        (name, TensorView::new(Dtype::BF16, shape.clone(), bytes).expect("as many bytes as its shape says"))
    });
    safetensors::serialize_to_file(views, None, path).expect("there is room for it");
    Source::File(path.to_owned())
}

fn config(path: PathBuf, fields: serde_json::Value) -> Source {
    std::fs::write(&path, fields.to_string()).expect("there is room for it");
    Source::File(path)
}

fn reference(name: &str) -> Vec<f32> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/encoders.safetensors");
    let bytes = std::fs::read(path).expect("it is in the repository");
    let file = SafeTensors::deserialize(&bytes).expect("it is whole");
    let data = file.tensor(name).expect("it is there").data();
    data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn relative_error(ours: &candle_core::Tensor, theirs: &[f32]) -> f64 {
    let ours = ours.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).expect("fp32 on the CPU");
    assert_eq!(ours.len(), theirs.len());
    let norm = |values: &mut dyn Iterator<Item = f32>| {
        values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
    };
    norm(&mut ours.iter().zip(theirs).map(|(a, b)| a - b)) / norm(&mut theirs.iter().copied())
}

fn tokens(encoder: Encoder, ids: Vec<u32>) -> Tokens {
    let count = TokenCount { encoder, tokens: ids.len(), limit: ids.len(), cut_at: None, unknown: 0 };
    Tokens { end: ids.len() - 1, ids, count }
}

fn ids() -> impl Iterator<Item = u32> {
    (0..6).map(|index| index * 17 % 90)
}

#[test]
fn a_block_of_t5_xxl_is_transformers() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (wide, inner, hidden) = (4096, 64 * 64, 10240);
    let block = |layer, name: &str| format!("encoder.block.0.layer.{layer}.{name}.weight");
    let shapes = [
        ("shared.weight".to_owned(), vec![WORDS, wide]),
        (block(0, "SelfAttention.q"), vec![inner, wide]),
        (block(0, "SelfAttention.k"), vec![inner, wide]),
        (block(0, "SelfAttention.v"), vec![inner, wide]),
        (block(0, "SelfAttention.o"), vec![wide, inner]),
        (block(0, "SelfAttention.relative_attention_bias"), vec![32, 64]),
        (block(0, "layer_norm"), vec![wide]),
        (block(1, "DenseReluDense.wi_0"), vec![hidden, wide]),
        (block(1, "DenseReluDense.wi_1"), vec![hidden, wide]),
        (block(1, "DenseReluDense.wo"), vec![wide, hidden]),
        (block(1, "layer_norm"), vec![wide]),
        ("encoder.final_layer_norm.weight".to_owned(), vec![wide]),
    ];
    let config = config(
        folder.path().join("config.json"),
        serde_json::json!({
            "vocab_size": WORDS, "d_model": wide, "d_kv": 64, "d_ff": hidden, "num_layers": 1, "num_heads": 64,
            "layer_norm_epsilon": 1e-6, "feed_forward_proj": "gated-gelu",
        }),
    );
    let weights = Weights::open(&write(&folder.path().join("t5.safetensors"), &shapes)).expect("it is whole");
    let t5 = T5::load(&weights, &config).expect("it loads");
    let text = t5.encode(&tokens(Encoder::T5, ids().collect())).expect("it reads");
    let error = relative_error(&text, &reference("t5"));
    assert!(error < 1e-4, "T5-XXL's block is off by {error:.2e}");
}

#[test]
fn two_blocks_of_clip_l_are_transformers() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (wide, hidden) = (768, 3072);
    let mut shapes = vec![
        ("embeddings.token_embedding.weight".to_owned(), vec![WORDS, wide]),
        ("embeddings.position_embedding.weight".to_owned(), vec![77, wide]),
        ("final_layer_norm.weight".to_owned(), vec![wide]),
        ("final_layer_norm.bias".to_owned(), vec![wide]),
    ];
    for layer in 0..2 {
        let mut linear = |name: &str, out: usize, inner: usize| {
            shapes.push((format!("encoder.layers.{layer}.{name}.weight"), vec![out, inner]));
            shapes.push((format!("encoder.layers.{layer}.{name}.bias"), vec![out]));
        };
        for name in ["k_proj", "v_proj", "q_proj", "out_proj"] {
            linear(&format!("self_attn.{name}"), wide, wide);
        }
        linear("mlp.fc1", hidden, wide);
        linear("mlp.fc2", wide, hidden);
        for name in ["layer_norm1", "layer_norm2"] {
            for kind in ["weight", "bias"] {
                shapes.push((format!("encoder.layers.{layer}.{name}.{kind}"), vec![wide]));
            }
        }
    }
    let config = config(
        folder.path().join("config.json"),
        serde_json::json!({
            "vocab_size": WORDS, "hidden_size": wide, "intermediate_size": hidden, "max_position_embeddings": 77,
            "num_hidden_layers": 2, "num_attention_heads": 12, "hidden_act": "quick_gelu",
        }),
    );
    let weights =
        Weights::open(&write(&folder.path().join("clip.safetensors"), &shapes)).expect("it is whole");
    let clip = Clip::load(&weights, &config).expect("it loads");
    let prompt = [WORDS as u32 - 2].into_iter().chain(ids()).chain([WORDS as u32 - 1]).collect();
    let pooled = clip.encode(&tokens(Encoder::Clip, prompt)).expect("it reads");
    let error = relative_error(&pooled, &reference("clip"));
    assert!(error < 1e-4, "CLIP-L's blocks are off by {error:.2e}");
}
