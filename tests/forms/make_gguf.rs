//! GGUF files of nano's tensors, written out by hand from the format's description.

use std::path::{Path, PathBuf};

use flux_tui::engine::weights::Dtype;

use crate::make::Tensors;

/// A tensor as a GGUF file has it.
#[derive(Debug, Clone)]
pub struct Blocks {
    pub dtype: Dtype,
    /// Rows first.
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// ggml's numbers of types.
fn number(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::F32 => 0,
        Dtype::F16 => 1,
        Dtype::Q4_0 => 2,
        Dtype::Q4_1 => 3,
        Dtype::Q5_0 => 6,
        Dtype::Q5_1 => 7,
        Dtype::Q8_0 => 8,
        Dtype::Q2K => 10,
        Dtype::Q3K => 11,
        Dtype::Q4K => 12,
        Dtype::Q5K => 13,
        Dtype::Q6K => 14,
        Dtype::BF16 => 30,
        other => panic!("GGUF has no {other}"),
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// The header of a file of these tensors, and how many bytes of data are to follow.
pub fn header(architecture: &str, tensors: &[(String, Blocks)]) -> (Vec<u8>, u64) {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend([tensors.len() as u64, 1].map(u64::to_le_bytes).concat());
    bytes.extend([text("general.architecture"), 8u32.to_le_bytes().to_vec(), text(architecture)].concat());
    let mut at = 0u64;
    for (name, Blocks { dtype, shape, .. }) in tensors {
        bytes.extend([text(name), (shape.len() as u32).to_le_bytes().to_vec()].concat());
        shape.iter().rev().for_each(|side| bytes.extend((*side as u64).to_le_bytes()));
        bytes.extend(number(*dtype).to_le_bytes());
        bytes.extend(at.to_le_bytes());
        let long = dtype.bytes(shape.iter().product()).expect("whole blocks") as u64;
        at = (at + long).next_multiple_of(32);
    }
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    (bytes, at)
}

pub fn write(path: &Path, architecture: &str, tensors: &[(String, Blocks)]) -> PathBuf {
    let (mut bytes, _) = header(architecture, tensors);
    for (_, tensor) in tensors {
        bytes.extend(&tensor.bytes);
        bytes.resize(bytes.len().next_multiple_of(32), 0);
    }
    std::fs::write(path, bytes).expect("it can be written");
    path.to_owned()
}

/// The same values, 16 bits or 32 wide.
pub fn unquantised(tensors: &Tensors) -> Vec<(String, Blocks)> {
    let wide = crate::make::wide(tensors);
    let one = |(name, tensor): (String, crate::make::Tensor)| {
        let crate::make::Tensor { dtype, shape, bytes } = tensor;
        (name, Blocks { dtype: dtype.into(), shape, bytes })
    };
    wide.into_iter().map(one).collect()
}

/// Blocks of any bits whose fp16 numbers are so small that ordinary values come of them.
pub fn random(dtype: Dtype, shape: &[usize], seed: u32) -> Blocks {
    let halves: &[usize] = match dtype {
        Dtype::Q2K => &[80, 82],
        Dtype::Q3K => &[108],
        Dtype::Q4_1 | Dtype::Q5_1 | Dtype::Q4K | Dtype::Q5K => &[0, 2],
        Dtype::Q6K => &[208],
        _ => &[0],
    };
    let mut bytes = vec![0; dtype.bytes(shape.iter().product()).expect("whole blocks")];
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    bytes.iter_mut().for_each(|byte| *byte = next() as u8);
    let size = match dtype {
        Dtype::Q3K | Dtype::Q6K => 3e-5,
        Dtype::Q2K | Dtype::Q4K | Dtype::Q5K => 1e-4,
        _ => 3e-3,
    };
    for block in bytes.chunks_exact_mut(dtype.block().bytes) {
        for at in halves {
            let number = half::f16::from_f32(size * (next() as f32 / (1 << 24) as f32 + 0.5));
            block[*at..at + 2].copy_from_slice(&number.to_le_bytes());
        }
    }
    Blocks { dtype, shape: shape.to_vec(), bytes }
}

/// nano with random blocks of these types, in turn, in its matrices.
pub fn nano_of(dtypes: &[Dtype]) -> Vec<(String, Blocks)> {
    let mut all = unquantised(&crate::make::tensors("flux1-nano-fp8.safetensors"));
    for (at, (name, tensor)) in all.iter_mut().enumerate() {
        let dtype = dtypes[at % dtypes.len()];
        let columns = tensor.shape.last().copied().unwrap_or(1);
        // As quantisers do: vectors and rows that are no whole blocks stay.
        if name.ends_with(".weight") && tensor.shape.len() == 2 && columns % dtype.block().values == 0 {
            *tensor = random(dtype, &tensor.shape, at as u32);
        }
    }
    all
}

/// T5's names in llama.cpp.
pub fn t5_name(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        ["shared", kind] => format!("token_embd.{kind}"),
        ["encoder", "final_layer_norm", kind] => format!("enc.output_norm.{kind}"),
        ["encoder", "block", n, "layer", _, ref rest @ ..] => {
            let (kind, layer) = (rest[rest.len() - 1], parts[4]);
            let of = match (layer, rest) {
                ("0", ["layer_norm", _]) => "attn_norm".to_owned(),
                ("1", ["layer_norm", _]) => "ffn_norm".to_owned(),
                (_, ["SelfAttention", "relative_attention_bias", _]) => "attn_rel_b".to_owned(),
                (_, ["SelfAttention", which, _]) => format!("attn_{which}"),
                (_, ["DenseReluDense", "wi_0", _]) => "ffn_gate".to_owned(),
                (_, ["DenseReluDense", "wi_1", _]) => "ffn_up".to_owned(),
                (_, ["DenseReluDense", "wo", _]) => "ffn_down".to_owned(),
                _ => panic!("{name} has no name in llama.cpp"),
            };
            format!("enc.blk.{n}.{of}.{kind}")
        }
        _ => panic!("{name} has no name in llama.cpp"),
    }
}
