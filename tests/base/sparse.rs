//! Files of FLUX.1's real sizes that take no room: a header, and a hole where the weights would be.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flux_tui::catalog;
use flux_tui::engine::dit::config::Config;

/// A tensor's name and shape.
pub type Shapes = Vec<(String, Vec<usize>)>;

/// Writes a file of tensors of one type; where a length is given, the header is padded to it as far as it must be.
pub fn write(path: &Path, dtype: &str, shapes: &Shapes, length: Option<u64>) -> PathBuf {
    let bytes = match dtype {
        "F32" => 4,
        "BF16" | "F16" => 2,
        _ => 1,
    };
    let (mut header, mut at) = (serde_json::Map::new(), 0);
    for (name, shape) in shapes {
        let end = at + bytes * shape.iter().product::<usize>() as u64;
        let info = serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [at, end] });
        assert!(header.insert(name.clone(), info).is_none(), "{name} twice");
        at = end;
    }
    let mut header = serde_json::Value::Object(header).to_string();
    if let Some(length) = length {
        let room = usize::try_from(length - 8 - at).expect("a header fits memory");
        assert!(header.len() <= room, "{}: a header of {} does not fit {room}", path.display(), header.len());
        header += &" ".repeat(room - header.len());
    }
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
    let mut file = File::create(path).expect("it can be made");
    file.write_all(&(header.len() as u64).to_le_bytes()).expect("it can be written");
    file.write_all(header.as_bytes()).expect("it can be written");
    file.set_len(8 + header.len() as u64 + at).expect("a hole costs nothing");
    path.to_owned()
}

/// Writes a GGUF file of FLUX.1: Q4_K where rows are whole blocks, fp32 where they are not.
pub fn gguf(path: &Path, shapes: &Shapes) -> PathBuf {
    const Q4_K: (u32, u64, u64) = (12, 256, 144);
    const F32: (u32, u64, u64) = (0, 1, 4);
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend([shapes.len() as u64, 1].map(u64::to_le_bytes).concat());
    bytes.extend([text("general.architecture"), 8u32.to_le_bytes().to_vec(), text("flux")].concat());
    let mut at = 0u64;
    for (name, shape) in shapes {
        let columns = shape.last().copied().unwrap_or(1) as u64;
        let quantised = shape.len() == 2 && columns.is_multiple_of(Q4_K.1);
        let (number, values, block) = if quantised { Q4_K } else { F32 };
        bytes.extend([text(name), (shape.len() as u32).to_le_bytes().to_vec()].concat());
        shape.iter().rev().for_each(|side| bytes.extend((*side as u64).to_le_bytes()));
        bytes.extend(number.to_le_bytes());
        bytes.extend(at.to_le_bytes());
        at = (at + shape.iter().product::<usize>() as u64 / values * block).next_multiple_of(32);
    }
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
    let mut file = File::create(path).expect("it can be made");
    file.write_all(&bytes).expect("it can be written");
    file.set_len(bytes.len() as u64 + at).expect("a hole costs nothing");
    path.to_owned()
}

/// A published file of its published size, at a path.
pub fn published(id: &str, path: &Path) -> PathBuf {
    let (dtype, shapes) = match id {
        "flux1-dev" => ("BF16", transformer(true)),
        "flux1-dev-fp8" => ("F8_E4M3", transformer(true)),
        "flux1-schnell" => ("BF16", transformer(false)),
        "majicflus-v134" => ("F8_E4M3", transformer(true)),
        "t5-xxl-fp16" => ("F16", t5(true)),
        "t5-xxl-fp8" => ("F8_E4M3", t5(true)),
        "clip-l" => ("F16", clip()),
        "flux1-vae" => ("F32", vae()),
        other => panic!("{other} is not made here"),
    };
    write(path, dtype, &shapes, catalog::file(id).expect("it is known").bytes)
}

pub fn transformer(guidance: bool) -> Shapes {
    let config = if guidance { Config::flux1_dev() } else { Config::flux1_schnell() };
    config.tensors().into_iter().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect()
}

/// With the embedding once, or twice as in ComfyUI's files.
pub fn t5(twice: bool) -> Shapes {
    let mut all: Shapes = (0..24).flat_map(t5_block).collect();
    if twice {
        all.push(("encoder.embed_tokens.weight".to_owned(), vec![32128, 4096]));
    }
    all.extend(t5_ends());
    all
}

fn t5_ends() -> Shapes {
    let (norm, embedding) = ("encoder.final_layer_norm.weight", "shared.weight");
    vec![(norm.to_owned(), vec![4096]), (embedding.to_owned(), vec![32128, 4096])]
}

fn t5_block(block: usize) -> Shapes {
    let at = |name: &str| format!("encoder.block.{block}.layer.{name}.weight");
    let mut all: Shapes =
        ["q", "k", "v", "o"].map(|part| (at(&format!("0.SelfAttention.{part}")), vec![4096, 4096])).into();
    if block == 0 {
        all.push((at("0.SelfAttention.relative_attention_bias"), vec![32, 64]));
    }
    all.extend(["0.layer_norm", "1.layer_norm"].map(|norm| (at(norm), vec![4096])));
    all.extend(["wi_0", "wi_1"].map(|part| (at(&format!("1.DenseReluDense.{part}")), vec![10240, 4096])));
    all.push((at("1.DenseReluDense.wo"), vec![4096, 10240]));
    all
}

pub fn clip() -> Shapes {
    let name = |name: &str| format!("text_model.{name}");
    let mut all = vec![
        (name("embeddings.token_embedding.weight"), vec![49408, 768]),
        (name("embeddings.position_embedding.weight"), vec![77, 768]),
    ];
    let mut norm = |at: String| {
        all.push((format!("{at}.weight"), vec![768]));
        all.push((format!("{at}.bias"), vec![768]));
    };
    norm(name("final_layer_norm"));
    for layer in 0..12 {
        norm(name(&format!("encoder.layers.{layer}.layer_norm1")));
        norm(name(&format!("encoder.layers.{layer}.layer_norm2")));
    }
    for layer in 0..12 {
        let parts =
            ["q_proj", "k_proj", "v_proj", "out_proj"].map(|part| (format!("self_attn.{part}"), 768, 768));
        let mlp = [("mlp.fc1".to_owned(), 3072, 768), ("mlp.fc2".to_owned(), 768, 3072)];
        for (part, out, inner) in parts.into_iter().chain(mlp) {
            all.push((name(&format!("encoder.layers.{layer}.{part}.weight")), vec![out, inner]));
            all.push((name(&format!("encoder.layers.{layer}.{part}.bias")), vec![out]));
        }
    }
    all
}

/// BFL's autoencoder: the encoder and the decoder.
pub fn vae() -> Shapes {
    let mut all = Layers::default();
    all.conv("encoder.conv_in", 3, 128, 3);
    let widths = [128, 256, 512, 512];
    let mut before = 128;
    for (level, width) in widths.into_iter().enumerate() {
        for block in 0..2 {
            all.block(&format!("encoder.down.{level}.block.{block}"), before, width);
            before = width;
        }
        if level < 3 {
            all.conv(&format!("encoder.down.{level}.downsample.conv"), width, width, 3);
        }
    }
    all.middle("encoder");
    all.norm("encoder.norm_out", 512);
    all.conv("encoder.conv_out", 512, 32, 3);
    all.conv("decoder.conv_in", 16, 512, 3);
    all.middle("decoder");
    before = 512;
    for (level, width) in widths.into_iter().enumerate().rev() {
        for block in 0..3 {
            all.block(&format!("decoder.up.{level}.block.{block}"), before, width);
            before = width;
        }
        if level > 0 {
            all.conv(&format!("decoder.up.{level}.upsample.conv"), width, width, 3);
        }
    }
    all.norm("decoder.norm_out", 128);
    all.conv("decoder.conv_out", 128, 3, 3);
    all.0
}

#[derive(Default)]
struct Layers(Shapes);

impl Layers {
    fn conv(&mut self, name: &str, from: usize, to: usize, side: usize) {
        self.0.push((format!("{name}.weight"), vec![to, from, side, side]));
        self.0.push((format!("{name}.bias"), vec![to]));
    }

    fn norm(&mut self, name: &str, channels: usize) {
        self.0.push((format!("{name}.weight"), vec![channels]));
        self.0.push((format!("{name}.bias"), vec![channels]));
    }

    fn block(&mut self, name: &str, from: usize, to: usize) {
        self.norm(&format!("{name}.norm1"), from);
        self.conv(&format!("{name}.conv1"), from, to, 3);
        self.norm(&format!("{name}.norm2"), to);
        self.conv(&format!("{name}.conv2"), to, to, 3);
        if from != to {
            self.conv(&format!("{name}.nin_shortcut"), from, to, 1);
        }
    }

    fn middle(&mut self, name: &str) {
        self.block(&format!("{name}.mid.block_1"), 512, 512);
        self.block(&format!("{name}.mid.block_2"), 512, 512);
        self.norm(&format!("{name}.mid.attn_1.norm"), 512);
        for part in ["q", "k", "v", "proj_out"] {
            self.conv(&format!("{name}.mid.attn_1.{part}"), 512, 512, 1);
        }
    }
}

/// Everything in one file, as ComfyUI saves a checkpoint.
pub fn all_in_one(guidance: bool) -> Shapes {
    let behind = |prefix: &str, shapes: Shapes| {
        shapes.into_iter().map(|(name, shape)| (format!("{prefix}{name}"), shape)).collect::<Shapes>()
    };
    let mut all = behind("model.diffusion_model.", transformer(guidance));
    all.extend(behind("text_encoders.clip_l.transformer.", clip()));
    all.extend(behind("text_encoders.t5xxl.transformer.", t5(false)));
    all.extend(behind("vae.", vae()));
    all
}

/// A T5 encoder in two files and an index, as transformers writes it; gives the index.
pub fn t5_shards(folder: &Path) -> PathBuf {
    let (mut first, mut second) = (Shapes::new(), Shapes::new());
    for (at, shapes) in std::iter::once(t5_ends()).chain((0..24).map(t5_block)).enumerate() {
        if at < 13 { first.extend(shapes) } else { second.extend(shapes) }
    }
    let mut map = serde_json::Map::new();
    for (shard, shapes) in [&first, &second].into_iter().enumerate() {
        let file = format!("model-{:05}-of-00002.safetensors", shard + 1);
        map.extend(shapes.iter().map(|(name, _)| (name.clone(), file.clone().into())));
        write(&folder.join(file), "BF16", shapes, None);
    }
    let index = folder.join("model.safetensors.index.json");
    std::fs::write(&index, serde_json::json!({ "weight_map": map }).to_string()).expect("it can be written");
    index
}
