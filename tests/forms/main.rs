//! The built-in model in every form that people have models in: the same tensors, the same velocity and the same
//! picture whatever the form; and files that are none of these, each refused with its reason.

mod bad;
mod convert_command;
mod converted;
#[path = "../home/mod.rs"]
mod home;
mod info;
mod make;
mod make_gguf;
mod own;
mod quantised;

use std::path::Path;

use candle_core::Tensor;
use flux_tui::device::{Device, LoadOptions};
use flux_tui::engine::dit::model::{Flux, Watch};
use flux_tui::engine::weights::{Part, Weights, WeightsError};
use flux_tui::engine::{self, Brief, Observer, Placement, Report, latent};
use flux_tui::job::{Prompt, Size};
use flux_tui::model::{ModelName, Parts, Source, TextLimits};
use make::{nano, tensors};

const TRANSFORMER: &str = "flux1-nano-fp8.safetensors";

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("测试 目录").tempdir().expect("a temporary directory")
}

fn part(path: &Path, part: Part) -> Weights {
    let opened = Weights::open_part(&Source::File(path.to_owned()), part);
    opened.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// That every tensor of nano's file is there, and nothing else, with the same values.
fn assert_is_nano(weights: &Weights, file: &str, what: &str) {
    let theirs = tensors(file);
    let names: Vec<&str> = weights.names().collect();
    assert_eq!(names, theirs.keys().map(String::as_str).collect::<Vec<_>>(), "{what}");
    let own = Weights::open(&Source::File(nano(file))).expect("nano opens");
    for (name, tensor) in &theirs {
        let of = |weights: &Weights| {
            weights.widened(name, &tensor.shape).unwrap_or_else(|e| panic!("{what}: {e}"))
        };
        assert_eq!(of(weights), of(&own), "{what}: {name}");
    }
}

struct Nobody;
impl Watch for Nobody {}
impl Observer for Nobody {
    fn report(&mut self, _: Report<'_>) {}
    fn wants_stop(&self) -> bool {
        false
    }
}

/// The velocity of some noise, as bits.
fn velocity(weights: &Weights) -> Vec<u32> {
    let flux = Flux::load::<WeightsError>(weights, |_| Ok(())).expect("it loads");
    let text = Tensor::from_vec(
        engine::sample::noise::randn(1, 8 * flux.config.context_dim),
        (8, flux.config.context_dim),
        &candle_core::Device::Cpu,
    );
    let pooled = Tensor::from_vec(
        engine::sample::noise::randn(2, flux.config.vec_dim),
        (1, flux.config.vec_dim),
        &candle_core::Device::Cpu,
    );
    let (text, pooled) = (text.expect("as many"), pooled.expect("as many"));
    let size = Size::new(64, 64).expect("a size");
    let noise = latent::noise(3, size).expect("noise");
    let conditions = flux.condition(&text, &pooled, latent::grid(size), &[0.7], 3.0).expect("conditions");
    let velocity = flux.forward(&noise, &conditions, 0, &mut Nobody).expect("a velocity");
    let values = velocity.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).expect("fp32");
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn a_transformer_is_the_same_in_every_form() {
    let folder = folder();
    let bfl = tensors(TRANSFORMER);
    let diffusers = make::diffusers_transformer(&bfl);
    let at = |name: &str| folder.path().join(name);
    let mut marked = make::scaled(&bfl, "scale_weight");
    let marker = make::Tensor { shape: vec![2], ..make::Tensor::number(0.0) };
    marked.insert("scaled_fp8".to_owned(), make::Tensor { bytes: vec![0; 8], ..marker });
    let mut quantised = make::prefixed(&make::scaled(&bfl, "weight_scale"), "model.diffusion_model.");
    let note = br#"{"format": "float8_e4m3fn"}"#.to_vec();
    let note = make::Tensor { dtype: safetensors::Dtype::U8, shape: vec![note.len()], bytes: note };
    quantised.insert("model.diffusion_model.img_in.comfy_quant".to_owned(), note);
    quantised.insert("model.diffusion_model.img_in.input_scale".to_owned(), make::Tensor::number(2.0));
    let forms = [
        ("BFL", nano(TRANSFORMER)),
        ("bf16", make::write(&at("bf16.safetensors"), &make::wide(&bfl))),
        (
            "prefixed",
            make::write(&at("prefixed.safetensors"), &make::prefixed(&bfl, "model.diffusion_model.")),
        ),
        ("all in one", make::write(&at("all.safetensors"), &make::all_in_one())),
        ("sharded", make::shard(&at("sharded"), "flux", &bfl, 4)),
        ("diffusers", make::write(&at("diffusers.safetensors"), &diffusers)),
        ("diffusers, bf16", make::write(&at("wide.safetensors"), &make::wide(&diffusers))),
        ("diffusers' index", make::shard(&at("transformer"), "diffusion_pytorch_model", &diffusers, 3)),
        ("diffusers' component", at("transformer")),
        ("diffusers' pipeline", folder.path().to_owned()),
        ("scaled fp8, old", make::write(&at("old.safetensors"), &marked)),
        ("scaled fp8, new", make::write(&at("new.safetensors"), &quantised)),
        (
            "scaled fp8, diffusers",
            make::write(&at("both.safetensors"), &make::scaled(&diffusers, "weight_scale")),
        ),
        (
            "fp8 by rows",
            make::write(&at("rows.safetensors"), &make::scaled_by_row(&bfl, "weight_scale", false)),
        ),
        (
            "fp8 by rows, a column of numbers",
            make::write(&at("column.safetensors"), &make::scaled_by_row(&bfl, "scale_weight", true)),
        ),
        (
            "fp8 by rows, diffusers",
            make::write(&at("split.safetensors"), &make::scaled_by_row(&diffusers, "weight_scale", false)),
        ),
    ];
    let expected = velocity(&Weights::open(&Source::File(nano(TRANSFORMER))).expect("nano opens"));
    for (what, path) in forms {
        let weights = part(&path, Part::Transformer);
        let form = if what.contains("diffusers") { "diffusers" } else { "BFL" };
        assert_eq!(weights.form(), Some(form), "{what}");
        assert_is_nano(&weights, TRANSFORMER, what);
        assert_eq!(velocity(&weights), expected, "{what}: another velocity");
    }
}

#[test]
fn encoders_and_the_vae_are_the_same_in_every_form() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    make::pipeline(folder.path());
    let all = make::write(&at("all.safetensors"), &make::all_in_one());
    let parts = [
        (Part::T5, "t5.safetensors", "text_encoder_2"),
        (Part::Clip, "clip.safetensors", "text_encoder"),
        (Part::Vae, "ae.safetensors", "vae"),
    ];
    for (kind, file, own) in parts {
        for path in [nano(file), all.clone(), at(own), folder.path().to_owned()] {
            assert_is_nano(&part(&path, kind), file, &format!("{kind:?} of {}", path.display()));
        }
    }
}

#[test]
fn tensors_are_fused_and_swapped_without_a_copy() {
    let folder = folder();
    let bfl = tensors(TRANSFORMER);
    let path = make::write(&folder.path().join("a.safetensors"), &make::diffusers_transformer(&bfl));
    let weights = part(&path, Part::Transformer);
    for (name, pieces) in [
        ("double_blocks.1.txt_attn.qkv.weight", 3),
        ("single_blocks.4.linear1.weight", 4),
        ("final_layer.adaLN_modulation.1.bias", 2),
        ("img_in.weight", 1),
    ] {
        let stored = weights.stored(name, &bfl[name].shape).expect("it is there");
        assert_eq!(stored.pieces.len(), pieces, "{name}");
        let bytes: Vec<u8> = stored.pieces.iter().flat_map(|piece| piece.bytes).copied().collect();
        assert_eq!(bytes, bfl[name].bytes, "{name}");
    }
}

fn parts(of: impl Fn(&str, &'static str) -> Source) -> Parts {
    let own = |file| Source::File(nano(file));
    Parts {
        transformer: of("transformer", TRANSFORMER),
        complete_from: None,
        encoded: None,
        converted: None,
        products: None,
        vae: of("vae", "ae.safetensors"),
        vae_config: own("vae_config.json"),
        clip: of("text_encoder", "clip.safetensors"),
        clip_config: own("clip_config.json"),
        clip_tokenizer: own("clip_tokenizer.json"),
        t5: of("text_encoder_2", "t5.safetensors"),
        t5_config: own("t5_config.json"),
        t5_tokenizer: own("t5_tokenizer.json"),
        preview: own("preview.json"),
    }
}

fn picture(parts: &Parts) -> Vec<u8> {
    let limits = TextLimits { t5: 32, clip: 77 };
    let on = Placement::new(Device::Cpu, LoadOptions::default());
    let mut model = engine::load(&ModelName::new("nano"), parts, limits, &on, &mut Nobody).expect("it loads");
    let prompt = Prompt::new("a red apple, 3d").expect("text");
    let size = Size::new(64, 64).expect("a size");
    let brief = Brief { prompt, size, steps: 4, guidance: 3.0, seed: 7, loras: Vec::new() };
    model.draw(&brief, &mut Nobody).expect("it draws").rgb
}

#[test]
fn pictures_from_a_pipeline_and_from_one_file_are_nanos() {
    let folder = folder();
    make::pipeline(folder.path());
    let all = make::write(&folder.path().join("all.safetensors"), &make::all_in_one());
    let expected = picture(&parts(|_, file| Source::File(nano(file))));
    let pipeline = picture(&parts(|part, _| Source::File(folder.path().join(part))));
    assert!(pipeline == expected, "a pipeline of diffusers draws another picture");
    let one = picture(&parts(|_, _| Source::File(all.clone())));
    assert!(one == expected, "a file with everything in it draws another picture");
}
