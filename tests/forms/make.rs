//! nano's tensors in every form that models come in: renamed, split, fused, scaled and sharded as other programs write
//! them. Written out by hand from their code, so that the program's own table is held against something else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// A tensor, as bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

pub type Tensors = BTreeMap<String, Tensor>;

impl Tensor {
    /// One fp32 number.
    pub fn number(value: f32) -> Self {
        Self { dtype: Dtype::F32, shape: vec![], bytes: value.to_le_bytes().to_vec() }
    }

    /// `count` rows from `first` on.
    fn rows(&self, first: usize, count: usize) -> Self {
        let row = self.bytes.len() / self.shape[0];
        let shape = std::iter::once(count).chain(self.shape[1..].iter().copied()).collect();
        let bytes = self.bytes[first * row..(first + count) * row].to_vec();
        Self { dtype: self.dtype, shape, bytes }
    }

    fn swapped(&self) -> Self {
        let half = self.shape[0] / 2;
        let bytes = [self.rows(half, half).bytes, self.rows(0, half).bytes].concat();
        Self { bytes, ..self.clone() }
    }

    fn reshaped(&self, shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), ..self.clone() }
    }
}

pub fn nano(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nano").join(file)
}

/// A file of nano's.
pub fn tensors(file: &str) -> Tensors {
    read(&std::fs::read(nano(file)).expect("nano is there"))
}

/// A whole file.
pub fn read(bytes: &[u8]) -> Tensors {
    let file = SafeTensors::deserialize(bytes).expect("it is whole");
    let tensor = |view: TensorView<'_>| Tensor {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    file.tensors().into_iter().map(|(name, view)| (name, tensor(view))).collect()
}

pub fn write(path: &Path, tensors: &Tensors) -> PathBuf {
    write_with(path, tensors, &[])
}

/// With what the header says beside the tensors.
pub fn write_with(path: &Path, tensors: &Tensors, metadata: &[(&str, &str)]) -> PathBuf {
    let views = tensors.iter().map(|(name, tensor)| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
        (name.as_str(), view.expect("a whole tensor"))
    });
    let owned = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
    let metadata = (!metadata.is_empty()).then(|| metadata.iter().map(owned).collect());
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
    safetensors::serialize_to_file(views, metadata, path).expect("it can be written");
    path.to_owned()
}

/// In `count` files and an index, every tensor in another file than the one before; gives the index.
pub fn shard(folder: &Path, stem: &str, tensors: &Tensors, count: usize) -> PathBuf {
    let file = |shard: usize| format!("{stem}-{:05}-of-{count:05}.safetensors", shard + 1);
    let mut shards = vec![Tensors::new(); count];
    let mut map = BTreeMap::new();
    for (at, (name, tensor)) in tensors.iter().enumerate() {
        shards[at % count].insert(name.clone(), tensor.clone());
        map.insert(name, file(at % count));
    }
    for (at, shard) in shards.iter().enumerate() {
        write(&folder.join(file(at)), shard);
    }
    let index = serde_json::json!({ "metadata": { "total_size": 0 }, "weight_map": map });
    let path = folder.join(format!("{stem}.safetensors.index.json"));
    std::fs::write(&path, index.to_string()).expect("it can be written");
    path
}

pub fn prefixed(tensors: &Tensors, prefix: &str) -> Tensors {
    tensors.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone())).collect()
}

/// Everything in one file, as ComfyUI saves a checkpoint.
pub fn all_in_one() -> Tensors {
    let mut all = prefixed(&tensors("flux1-nano-fp8.safetensors"), "model.diffusion_model.");
    all.extend(prefixed(&tensors("clip.safetensors"), "text_encoders.clip_l.transformer.text_model."));
    all.extend(prefixed(&tensors("t5.safetensors"), "text_encoders.t5xxl.transformer."));
    all.extend(prefixed(&tensors("ae.safetensors"), "vae."));
    all
}

/// As diffusers' `convert_flux_to_diffusers.py` does it.
pub fn diffusers_transformer(bfl: &Tensors) -> Tensors {
    let hidden = bfl["img_in.weight"].shape[0];
    let mut to = Tensors::new();
    for (name, tensor) in bfl {
        let parts: Vec<&str> = name.split('.').collect();
        let kind = parts[parts.len() - 1];
        let mut put = |name: &str, tensor: Tensor| to.insert(name.to_owned(), tensor);
        let single = |rest: &str| format!("single_transformer_blocks.{}.{rest}", parts[1]);
        let double = |rest: &str| format!("transformer_blocks.{}.{rest}", parts[1]);
        match parts[..] {
            ["img_in", _] => drop(put(&format!("x_embedder.{kind}"), tensor.clone())),
            ["txt_in", _] => drop(put(&format!("context_embedder.{kind}"), tensor.clone())),
            [embedder @ ("time_in" | "vector_in" | "guidance_in"), layer, _] => {
                let embedder = match embedder {
                    "time_in" => "timestep",
                    "vector_in" => "text",
                    _ => "guidance",
                };
                let layer = if layer == "in_layer" { 1 } else { 2 };
                put(&format!("time_text_embed.{embedder}_embedder.linear_{layer}.{kind}"), tensor.clone());
            }
            ["final_layer", "linear", _] => drop(put(&format!("proj_out.{kind}"), tensor.clone())),
            ["final_layer", ..] => drop(put(&format!("norm_out.linear.{kind}"), tensor.swapped())),
            ["single_blocks", _, "linear1", _] => {
                for (at, part) in ["attn.to_q", "attn.to_k", "attn.to_v"].iter().enumerate() {
                    put(&single(&format!("{part}.{kind}")), tensor.rows(at * hidden, hidden));
                }
                let mlp = tensor.rows(3 * hidden, tensor.shape[0] - 3 * hidden);
                put(&single(&format!("proj_mlp.{kind}")), mlp);
            }
            ["single_blocks", _, "linear2", _] => {
                drop(put(&single(&format!("proj_out.{kind}")), tensor.clone()));
            }
            ["single_blocks", _, "modulation", ..] => {
                drop(put(&single(&format!("norm.linear.{kind}")), tensor.clone()));
            }
            ["single_blocks", _, "norm", norm, _] => {
                drop(put(&single(&format!("attn.norm_{}.weight", &norm[..1])), tensor.clone()));
            }
            ["double_blocks", _, stream, ref rest @ ..] => {
                let image = stream.starts_with("img");
                match (&stream[4..], rest) {
                    ("mod", _) => {
                        let norm = if image { "norm1" } else { "norm1_context" };
                        put(&double(&format!("{norm}.linear.{kind}")), tensor.clone());
                    }
                    ("mlp", [layer, _]) => {
                        let feed = if image { "ff" } else { "ff_context" };
                        let layer = if *layer == "0" { "net.0.proj" } else { "net.2" };
                        put(&double(&format!("{feed}.{layer}.{kind}")), tensor.clone());
                    }
                    (_, ["qkv", _]) => {
                        for (at, part) in ["q", "k", "v"].iter().enumerate() {
                            let name = if image { format!("to_{part}") } else { format!("add_{part}_proj") };
                            put(&double(&format!("attn.{name}.{kind}")), tensor.rows(at * hidden, hidden));
                        }
                    }
                    (_, ["proj", _]) => {
                        let out = if image { "to_out.0" } else { "to_add_out" };
                        put(&double(&format!("attn.{out}.{kind}")), tensor.clone());
                    }
                    (_, ["norm", norm, _]) => {
                        let added = if image { "" } else { "added_" };
                        put(&double(&format!("attn.norm_{added}{}.weight", &norm[..1])), tensor.clone());
                    }
                    _ => panic!("{name} has no name in diffusers"),
                }
            }
            _ => panic!("{name} has no name in diffusers"),
        }
    }
    to
}

/// As diffusers' `convert_ldm_vae_checkpoint` does it.
pub fn diffusers_vae(bfl: &Tensors) -> Tensors {
    let levels =
        bfl.keys().filter_map(|name| name.strip_prefix("decoder.up.")?.split('.').next()?.parse().ok());
    let last: usize = levels.max().expect("a decoder has levels");
    let name = |name: &str| {
        let mut name = name
            .replace("mid.block_1", "mid_block.resnets.0")
            .replace("mid.block_2", "mid_block.resnets.1")
            .replace("mid.attn_1.norm", "mid_block.attentions.0.group_norm")
            .replace("mid.attn_1.proj_out", "mid_block.attentions.0.to_out.0")
            .replace("mid.attn_1.", "mid_block.attentions.0.to_")
            .replace("norm_out", "conv_norm_out")
            .replace("nin_shortcut", "conv_shortcut")
            .replace(".downsample.conv", ".downsamplers.0.conv")
            .replace(".upsample.conv", ".upsamplers.0.conv")
            .replace("encoder.down.", "encoder.down_blocks.");
        for level in 0..=last {
            let (ours, theirs) =
                (format!("decoder.up.{level}."), format!("decoder.up_blocks.{}.", last - level));
            name = name.replace(&ours, &theirs);
        }
        if name.contains("_blocks.") { name.replace(".block.", ".resnets.") } else { name }
    };
    let matrix = |name: &str, tensor: &Tensor| match tensor.shape[..] {
        [out, inner, 1, 1] if name.contains("attentions") => tensor.reshaped(&[out, inner]),
        _ => tensor.clone(),
    };
    bfl.iter().map(|(ours, tensor)| (name(ours), matrix(&name(ours), tensor))).collect()
}

/// ComfyUI's scaled fp8: every fp8 weight at a multiple of its size, and the number that takes it back. All are powers
/// of two, so that nothing is rounded.
pub fn scaled(tensors: &Tensors, scale: &str) -> Tensors {
    let mut to = Tensors::new();
    for (at, (name, tensor)) in tensors.iter().enumerate() {
        let mut tensor = tensor.clone();
        if let (Dtype::F8_E4M3, Some(stem)) = (tensor.dtype, name.strip_suffix(".weight")) {
            let factor = [2.0f32, 4.0, 8.0][at % 3];
            for byte in &mut tensor.bytes {
                let wide = float8::F8E4M3::from_bits(*byte).to_f32() * factor;
                *byte = float8::F8E4M3::from_f32(wide).to_bits();
                assert_eq!(float8::F8E4M3::from_bits(*byte).to_f32(), wide, "{name} is too large for this");
            }
            to.insert(format!("{stem}.{scale}"), Tensor::number(1.0 / factor));
        }
        to.insert(name.clone(), tensor);
    }
    to
}

/// fp8 with a number for each row, of shape `[rows]` or, for a `column`, `[rows, 1]`: every row at a multiple of its size
/// and the number that takes it back. All are powers of two, so that nothing is rounded.
pub fn scaled_by_row(tensors: &Tensors, scale: &str, column: bool) -> Tensors {
    let mut to = tensors.clone();
    for (name, tensor) in tensors {
        let (Dtype::F8_E4M3, Some(stem)) = (tensor.dtype, name.strip_suffix(".weight")) else { continue };
        let rows = tensor.shape[0];
        let factor = |row: usize| [2.0f32, 4.0, 8.0, 1.0][(row + name.len()) % 4];
        let mut scaled = tensor.clone();
        for (row, bytes) in scaled.bytes.chunks_exact_mut(tensor.bytes.len() / rows).enumerate() {
            for byte in bytes {
                let wide = float8::F8E4M3::from_bits(*byte).to_f32() * factor(row);
                *byte = float8::F8E4M3::from_f32(wide).to_bits();
                assert_eq!(float8::F8E4M3::from_bits(*byte).to_f32(), wide, "{name} is too large for this");
            }
        }
        let shape = if column { vec![rows, 1] } else { vec![rows] };
        let bytes = (0..rows).flat_map(|row| (1.0 / factor(row)).to_le_bytes()).collect();
        to.insert(format!("{stem}.{scale}"), Tensor { dtype: Dtype::F32, shape, bytes });
        to.insert(name.clone(), scaled);
    }
    to
}

/// fp8 widened to bf16, exactly.
pub fn wide(tensors: &Tensors) -> Tensors {
    let wide = |tensor: &Tensor| match tensor.dtype {
        Dtype::F8_E4M3 => {
            let value = |byte: &u8| half::bf16::from_f32(float8::F8E4M3::from_bits(*byte).to_f32());
            let bytes = tensor.bytes.iter().flat_map(|byte| value(byte).to_le_bytes()).collect();
            Tensor { dtype: Dtype::BF16, shape: tensor.shape.clone(), bytes }
        }
        _ => tensor.clone(),
    };
    tensors.iter().map(|(name, tensor)| (name.clone(), wide(tensor))).collect()
}

/// A pipeline of diffusers: a folder for each part, the transformer and T5 in several files.
pub fn pipeline(folder: &Path) {
    let transformer = diffusers_transformer(&tensors("flux1-nano-fp8.safetensors"));
    shard(&folder.join("transformer"), "diffusion_pytorch_model", &transformer, 3);
    shard(&folder.join("text_encoder_2"), "model", &tensors("t5.safetensors"), 2);
    let clip = prefixed(&tensors("clip.safetensors"), "text_model.");
    write(&folder.join("text_encoder/model.safetensors"), &clip);
    let vae = diffusers_vae(&tensors("ae.safetensors"));
    write(&folder.join("vae/diffusion_pytorch_model.safetensors"), &vae);
    for (from, to) in [("clip", "text_encoder"), ("t5", "text_encoder_2"), ("vae", "vae")] {
        let to = folder.join(to).join("config.json");
        std::fs::copy(nano(&format!("{from}_config.json")), to).expect("it can be copied");
    }
}
