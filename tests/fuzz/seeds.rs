//! What fuzzing begins with: small whole inputs of every reader, made by the program's own writers where it has any.

use std::collections::BTreeMap;

use bytes::Bytes;
use flux_tui::job::{Job, JobId, Prompt, Recipe, Seed, Size, Times};
use flux_tui::library::png;
use flux_tui::model::ModelName;
use flux_tui::wire::frame::{self, REPLY_MAX};
use flux_tui::wire::message::{Event, Preview, Refusal, Request, Response, ToClient, ToWorker, WorkerInfo};

use crate::checks::tiny;

/// Inputs, each with a word for its file's name.
pub type Seeds = Vec<(&'static str, Vec<u8>)>;

/// The tensors of the smallest transformer, and one in ComfyUI's scaled fp8.
fn tensors() -> Vec<(String, &'static str, Vec<usize>, Vec<u8>)> {
    let fp8 = |(name, shape): (String, Vec<usize>)| {
        let data = vec![0x38; shape.iter().product()];
        (name, "F8_E4M3", shape, data)
    };
    let mut all: Vec<_> = tiny().tensors().into_iter().map(fp8).collect();
    all.push(("img_in.scale_weight".to_owned(), "F32", vec![], 1f32.to_le_bytes().to_vec()));
    all
}

/// A safetensors file of these.
fn safetensors_of(tensors: &[(String, &str, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let (mut header, mut data) = (BTreeMap::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(
            name.as_str(),
            serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}),
        );
        data.extend(bytes);
    }
    header.insert("__metadata__", serde_json::json!({"modelspec.title": "Kontext"}));
    let header = serde_json::to_vec(&header).expect("names are texts");
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

/// LoRAs of the smallest transformer, in the forms that tools write.
pub fn lora() -> Seeds {
    let f32s = |name: &str, shape: &[usize]| {
        let values = (0..shape.iter().product()).map(|at: usize| (at % 7) as f32 * 0.1 - 0.3);
        (name.to_owned(), "F32", shape.to_vec(), values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
    };
    let kohya = "lora_unet_double_blocks_0_img_attn_qkv";
    let single = "lora_unet_single_blocks_0_linear1";
    let text = "lora_te1_text_model_encoder_layers_0_self_attn_q_proj";
    let bare = "diffusion_model.double_blocks.0.txt_mlp.0";
    let low = |stem: &str, out: usize, inner: usize| {
        vec![
            f32s(&format!("{stem}.lora_down.weight"), &[2, inner]),
            f32s(&format!("{stem}.lora_up.weight"), &[out, 2]),
        ]
    };
    let mut both = low(kohya, 48, 16);
    both.push(f32s(&format!("{kohya}.alpha"), &[]));
    both.extend(low(text, 16, 16));
    let mut dora = low(bare, 16, 16);
    dora.push(f32s(&format!("{bare}.dora_scale"), &[16, 1]));
    let named = |stem: &str, ends: &[(&str, &[usize])]| -> Vec<_> {
        ends.iter().map(|(end, shape)| f32s(&format!("{stem}.{end}"), shape)).collect()
    };
    let peft = [("attn.to_q.lora_A.weight", &[2, 16][..]), ("attn.to_q.lora_B.weight", &[16, 2])];
    let loha = [
        ("hada_w1_a", &[16, 2][..]),
        ("hada_w1_b", &[2, 16]),
        ("hada_w2_a", &[16, 2]),
        ("hada_w2_b", &[2, 16]),
    ];
    let lokr = [("lokr_w1", &[4, 4][..]), ("lokr_w2_a", &[16, 1]), ("lokr_w2_b", &[1, 4])];
    let full = [("diff", &[64, 16][..]), ("diff_b", &[64])];
    let norm = [("query_norm.scale.diff", &[16][..])];
    vec![
        ("kohya", safetensors_of(&both)),
        ("peft", safetensors_of(&named("transformer.single_transformer_blocks.0", &peft))),
        ("dora", safetensors_of(&dora)),
        ("loha", safetensors_of(&named("lora_unet_double_blocks_0_img_attn_proj", &loha))),
        ("lokr", safetensors_of(&named(single, &lokr))),
        ("full", safetensors_of(&named("diffusion_model.single_blocks.0.linear1", &full))),
        ("norm", safetensors_of(&named("diffusion_model.single_blocks.0.norm", &norm))),
        (
            "foreign",
            safetensors_of(&low("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_q", 16, 16)),
        ),
    ]
}

/// A weight of bitsandbytes' with its state, or one that says that its kind is another.
fn bitsandbytes(kind: &str) -> Vec<u8> {
    let levels = flux_tui::engine::weights::NF4_LEVELS.map(f32::to_le_bytes).concat();
    let state = br#"{"blocksize":64,"shape":[2,64],"dtype":"bfloat16","quant_type":"nf4"}"#.to_vec();
    let absmax = [1f32, 2.0].map(f32::to_le_bytes).concat();
    let named = |what: &str| format!("img_in.weight{what}");
    safetensors_of(&[
        (named(""), "U8", vec![64, 1], vec![0x7f; 64]),
        (named(".absmax"), "F32", vec![2], absmax),
        (named(".quant_map"), "F32", vec![16], levels),
        (named(&format!(".quant_state.bitsandbytes__{kind}")), "U8", vec![state.len()], state),
    ])
}

pub fn safetensors() -> Seeds {
    let all = tensors();
    let lora: Vec<_> = ["lora_A.weight", "lora_B.weight"]
        .map(|end| {
            (format!("transformer.transformer_blocks.0.attn.to_q.{end}"), "F32", vec![1, 1], vec![0; 4])
        })
        .to_vec();
    vec![
        ("transformer", safetensors_of(&all)),
        ("one", safetensors_of(&all[..1])),
        ("lora", safetensors_of(&lora)),
        ("nf4", bitsandbytes("nf4")),
        ("fp4", bitsandbytes("fp4")),
        ("page", b"<!DOCTYPE html>".to_vec()),
        ("pickle", b"PK\x03\x04archive/data.pkl".to_vec()),
    ]
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A GGUF file with a tensor of one block of each of these types, by ggml's number: values and bytes of a block.
fn gguf_of(architecture: &str, blocks: &[(u32, u64, usize)]) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend([blocks.len() as u64, 3].map(u64::to_le_bytes).concat());
    bytes.extend([text("general.architecture"), 8u32.to_le_bytes().to_vec(), text(architecture)].concat());
    bytes.extend(
        [text("general.alignment"), 4u32.to_le_bytes().to_vec(), 32u32.to_le_bytes().to_vec()].concat(),
    );
    let list = [9u32.to_le_bytes().to_vec(), 8u32.to_le_bytes().to_vec(), 2u64.to_le_bytes().to_vec()];
    bytes.extend([text("a.list"), list.concat(), text("x"), text("y")].concat());
    let mut at = 0u64;
    for (kind, values, size) in blocks {
        bytes.extend([text(&format!("t{kind}")), 1u32.to_le_bytes().to_vec()].concat());
        bytes.extend([values.to_le_bytes(), u64::from(*kind).to_le_bytes()].concat()[..12].to_vec());
        bytes.extend(at.to_le_bytes());
        at = (at + *size as u64).next_multiple_of(32);
    }
    bytes.resize(bytes.len().next_multiple_of(32) + at as usize, 0x11);
    bytes
}

pub fn gguf() -> Seeds {
    let plain = [(0, 1, 4), (1, 1, 2), (30, 1, 2)];
    let old = [(2, 32, 18), (3, 32, 20), (6, 32, 22), (7, 32, 24), (8, 32, 34)];
    let k = [(10, 256, 84), (11, 256, 110), (12, 256, 144), (13, 256, 176), (14, 256, 210)];
    vec![
        ("plain", gguf_of("flux", &plain)),
        ("old", gguf_of("flux", &old)),
        ("k", gguf_of("flux", &k)),
        ("other", gguf_of("sd3", &plain)),
    ]
}

pub fn catalog() -> Seeds {
    let person = "folders = [\"/models\"]\n\n[[model]]\nname = \"mine\"\nbase = \"nano\"\n\
                  transformer = \"/it.gguf\"\nwidth = 64\nsteps = 4\nguidance = 2.5\nt5_tokens = 32\n";
    let file = "[[file]]\nid = \"a\"\nbytes = 10\nlicense = \"MIT\"\nwith = [\"b\"]\ngate = \"https://a/b\"\n\
                sha256 = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"\n\
                places = [{ hub = \"huggingface\", repo = \"o/n\", revision = \"main\", path = \"a/b\" }]\n\
                [[file]]\nid = \"b\"\nlicense = \"MIT\"\n\
                places = [{ hub = \"modelscope\", repo = \"o/n\", path = \"c\" }]\n";
    let models = include_str!("../../src/catalog/models.toml");
    let (_, models) = models.split_once("\n[[model]]").expect("there are models");
    let (nano, _) = models.split_once("\n[[model]]").expect("there are several");
    let comfy = "comfy:\n  base_path: ~/it\n  unet: |\n    a\n    b\n  vae: \"c d\" # e\n";
    vec![
        ("comfy", comfy.as_bytes().to_vec()),
        ("person", person.as_bytes().to_vec()),
        ("file", format!("{file}[[model]]{nano}").into_bytes()),
        ("more", format!("[[model]]{nano}\n[[model]]\nname = \"b\"\nbase = \"nano\"\n").into_bytes()),
    ]
}

/// A seed of a stream begins with how much of it comes first; the first byte of a length is 0 here.
pub fn wire() -> Seeds {
    let size = Size::new(64, 32).expect("on the grid");
    let prompt = || Prompt::new("一只 apple").expect("it is not empty");
    let job = Job::new(prompt(), ModelName::new("nano"), size, 4, 3.5, Seed::Fixed(7), 2).expect("in range");
    let asked = [Request::Subscribe, Request::Submit(job), Request::Cancel(JobId(1)), Request::Status];
    let asked = asked.into_iter().enumerate();
    let asked: Vec<_> = asked.map(|(at, request)| ToWorker { number: at as u64, request }).collect();
    let rgb = Bytes::from_static(&[0, 127, 128, 255, 1, 2]);
    let preview = Preview::new(JobId(1), 0, 3, (2, 1), rgb).expect("it has six bytes");
    let worker = WorkerInfo { protocol: 1, version: "0".to_owned(), pid: 1, started_at: 2 };
    let told = [
        ToClient::Reply { number: 1, result: Ok(Response::Welcome(worker)) },
        ToClient::Reply { number: 2, result: Err(Refusal::NoHello) },
        ToClient::Event(Event::Preview(preview)),
        ToClient::Event(Event::Ending),
    ];
    let frame = |message: Result<Bytes, _>| message.expect("it is short").to_vec();
    let asked: Vec<_> = asked.iter().map(|message| frame(frame::encode(message, REPLY_MAX))).collect();
    let told: Vec<_> = told.iter().map(|message| frame(frame::encode(message, REPLY_MAX))).collect();
    vec![
        ("to_worker", asked.concat()),
        ("to_client", told.concat()),
        ("submit", asked[1][4..].to_vec()),
        ("preview", told[2][4..].to_vec()),
        ("long", vec![0xff; 8]),
    ]
}

/// Indices over the shards that the check puts beside them.
pub fn index() -> Seeds {
    let of = |map: &str| format!(r#"{{"metadata":{{"total_size":32}},"weight_map":{{{map}}}}}"#).into_bytes();
    vec![
        ("both", of(r#""one":"one.safetensors","two":"two.safetensors""#)),
        ("one", of(r#""one":"one.safetensors""#)),
        ("swapped", of(r#""one":"two.safetensors","two":"one.safetensors""#)),
        ("above", of(r#""one":"one.safetensors","secret":"../outside.safetensors""#)),
        ("whole_path", of(r#""one":"/dev/zero""#)),
        ("itself", of(r#""one":"model.safetensors.index.json""#)),
        ("folder", of(r#""one":".","two":"..""#)),
        ("nothing", of("")),
        ("no_text", of(r#""one":7"#)),
        ("list", b"[1,2]".to_vec()),
    ]
}

pub fn png() -> Seeds {
    let recipe = |prompt: &str| Recipe {
        template: None,
        prompt: Prompt::new(prompt).expect("it is not empty"),
        model: ModelName::new("nano"),
        size: Size::new(16, 16).expect("on the grid"),
        steps: 4,
        guidance: 3.5,
        seed: 7,
        precision: "fp32".to_owned(),
        cuts: Vec::new(),
        times: Times { load: 0.5, encode: 0.25, denoise: 1.0, decode: 0.125 },
        loras: Vec::new(),
    };
    let picture = |prompt: &str| png::encode(&[127; 768], &recipe(prompt)).expect("the pixels fit");
    let forge =
        "a hen\nNegative prompt: x\nSteps: 8, CFG scale: 1, Seed: 7, Model: \"a, b\", Lora hashes: \"c: d\"";
    let comfy = r#"{"1": {"class_type": "KSampler", "inputs": {"seed": 8, "steps": 4, "positive": ["2", 0],
        "latent_image": ["1", 0]}}, "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "x", "n": NaN}}}"#;
    vec![
        ("latin", picture("an apple")),
        ("chinese", picture("一只苹果")),
        ("jpeg", vec![0xff, 0xd8, 0xff]),
        ("forge", others("parameters", forge)),
        ("comfy", others("prompt", comfy)),
    ]
}

/// A PNG of 16×16 grey pixels with a text.
fn others(keyword: &str, text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, 16, 16);
    encoder.set_color(::png::ColorType::Grayscale);
    encoder.add_itxt_chunk(keyword.to_owned(), text.to_owned()).expect("it is text");
    let mut writer = encoder.write_header().expect("it is small");
    writer.write_image_data(&[127; 256]).expect("the pixels fit");
    writer.finish().expect("it is whole");
    bytes
}

pub fn input() -> Seeds {
    let all: [(&str, &[u8]); 6] = [
        ("keys", "aA\r\x7f\x1b[A\x1bOP\x1b[1;5C\x1b[27;5;13~红🍎".as_bytes()),
        ("paste", b"\x1b[200~two\nlines\x1b[201~"),
        ("mouse", b"\x1b[<0;3;4M\x1b[M !!"),
        ("reports", b"\x1b[?62;4;22c\x1bP>|kitty(0.35.2)\x1b\\\x1b]11;rgb:1111/2222/3333\x07\x1b[6;20;10t"),
        ("graphics", b"\x1b_Gi=31;OK\x1b\\\x1b[?2026;2$y\x1b[I\x1b[O"),
        ("kitty", b"\x1b[97;5u\x1b[13;2u\x1b[57441;1:3u"),
    ];
    all.map(|(name, bytes)| (name, bytes.to_vec())).to_vec()
}

/// Keys over every view, with resizes and the worker's words between them.
pub fn studio() -> Seeds {
    use crate::studio::{LINK, QUIET, RESIZE, SAME_SIZE, TICK, WORKER};
    let script = |pieces: &[&[u8]]| pieces.concat();
    let views: Vec<u8> =
        ["\x1bOP", "\x1b[18~", "\x1b[19~", "\x1b[20~", "\x1bg", "\x1bx", "\x12", "\x1bl", "\x1bm"]
            .iter()
            .flat_map(|keys| {
                [keys.as_bytes(), &[QUIET], b"ab\x1b[B\x1b[C\r", &[RESIZE, 60, 15], b"\x1b", &[QUIET]]
                    .concat()
            })
            .collect();
    vec![
        ("typed", script(&["a 红 fox\r\x1b[A\x1b[1;5D\x7f".as_bytes(), &[RESIZE, 120, 40, TICK, 30]])),
        ("small", script(&[&[RESIZE, 0, 0], b"x", &[RESIZE, 1, 1], b"\t\t", &[RESIZE, 255, 120, SAME_SIZE]])),
        (
            "drawn",
            script(&[
                &[WORKER, 2, WORKER, 1, TICK, 20, WORKER, 5, RESIZE, 64, 40, WORKER, 0],
                b"\t\t\x1b[6~",
            ]),
        ),
        ("views", views),
        (
            "mouse",
            script(&[
                b"\x1b[<0;30;4M\x1b[<64;70;20M",
                &[RESIZE, 90, 33],
                b"\x1b[<0;90;33M\x1b[I\x1b[O\x1b[I",
            ]),
        ),
        ("lost", script(&[&[LINK, 0, TICK, 60], b"abc\r", &[LINK, 1], b"\x0c", &[SAME_SIZE]])),
        (
            "paste",
            script(&[b"\x1b[200~two\nlines ", &[RESIZE, 80, 24], b"more\x1b[201~\x1b[6;20;10t\x1b[?62;4c"]),
        ),
    ]
}
