//! Files that are no model, or not a whole one: the reason names the file and the tensor, and nothing is loaded.

use std::path::{Path, PathBuf};

use flux_tui::engine::weights::{Part, Weights, WeightsError};
use flux_tui::model::Source;

use crate::make::{self, Tensor, Tensors, tensors};
use crate::{TRANSFORMER, folder};

/// Why it is not a transformer.
#[track_caller]
fn refused(path: &Path) -> String {
    let opened = Weights::open_part(&Source::File(path.to_owned()), Part::Transformer);
    opened.err().unwrap_or_else(|| panic!("{} was opened", path.display())).to_string()
}

#[track_caller]
fn says(path: &Path, parts: &[&str]) {
    let message = refused(path);
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("it can be written");
    path
}

#[test]
fn what_is_no_safetensors_file_is_named() {
    let folder = folder();
    let write = |bytes: &[u8]| file(folder.path(), "flux1-dev.safetensors", bytes);
    says(&write(b"<!DOCTYPE html><html><body>Log in"), &["web page"]);
    says(&write(b"PK\x03\x04\0\0\0\0 archive/data.pkl"), &["pickle", "as safetensors"]);
    says(&write(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M"), &["pickle"]);
    says(&write(b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0"), &["header ends in its first bytes"]);
    says(&write(b"GGUF\x01\0\0\0\0\0\0\0\0\0\0\0"), &["GGUF of version 1"]);
    says(&write(b""), &["0 bytes", "fetch it again"]);
    says(&write(&[0xff; 100]), &["header would be"]);
    assert!(matches!(
        Weights::open(&Source::File(folder.path().join("none.safetensors"))),
        Err(WeightsError::Read(_))
    ));
}

#[test]
fn a_file_that_was_cut_short_names_the_tensor_that_it_ends_in() {
    let folder = folder();
    let whole = std::fs::read(make::nano(TRANSFORMER)).expect("nano is there");
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().expect("eight bytes")) as usize;
    for length in [whole.len() - 1, whole.len() / 2, header] {
        says(&file(folder.path(), "cut.safetensors", &whole[..length]), &["the tensor \"", "cut short"]);
    }
    says(&file(folder.path(), "cut.safetensors", &whole[..header - 1]), &["header would be"]);
    let longer = [&whole[..], &[0]].concat();
    says(&file(folder.path(), "long.safetensors", &longer), &["belong to no tensor"]);
}

#[test]
fn parts_of_a_fused_tensor_that_are_missing_or_do_not_fit_are_named() {
    let folder = folder();
    let whole = make::diffusers_transformer(&tensors(TRANSFORMER));
    let changed = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = whole.clone();
        change(&mut tensors);
        make::write(&folder.path().join("a.safetensors"), &tensors)
    };
    let key = "transformer_blocks.1.attn.to_k.weight";
    says(&changed(&|all| drop(all.remove(key))), &["missing", key]);
    says(
        &changed(&|all| {
            all.get_mut(key).expect("it is there").shape = vec![128, 512];
        }),
        &[key, "[128, 512]", "[128, 256]"],
    );
    says(
        &changed(&|all| {
            let wide = make::wide(&Tensors::from([(key.to_owned(), all[key].clone())]));
            all.extend(wide);
        }),
        &[key, "BF16", "F8_E4M3"],
    );
    let odd = Tensor { shape: vec![3], bytes: vec![0; 6], ..whole["norm_out.linear.bias"].clone() };
    let odd = changed(&|all| drop(all.insert("norm_out.linear.bias".to_owned(), odd.clone())));
    says(&odd, &["3 rows", "final_layer.adaLN_modulation.1.bias"]);
}

fn numbers(shape: &[usize], number: impl Fn(usize) -> f32) -> Tensor {
    let bytes = (0..shape.iter().product()).flat_map(|at| number(at).to_le_bytes()).collect();
    Tensor { shape: shape.to_vec(), bytes, ..Tensor::number(0.0) }
}

#[test]
fn a_scale_that_is_no_number_is_named() {
    let folder = folder();
    for (scale, reason) in [
        (Tensor::number(f32::NAN), "NaN"),
        (Tensor { shape: vec![2], bytes: vec![0; 8], ..Tensor::number(0.0) }, "[2]"),
        (numbers(&[1, 256], |_| 1.0), "[1, 256]"),
        (numbers(&[255], |_| 1.0), "[255]"),
        (numbers(&[256], |row| if row == 7 { f32::INFINITY } else { 1.0 }), "inf for row 7"),
        (numbers(&[256, 1], |row| if row == 255 { f32::NAN } else { 1.0 }), "NaN for row 255"),
    ] {
        let mut all = tensors(TRANSFORMER);
        all.insert("img_in.weight_scale".to_owned(), scale);
        let path = make::write(&folder.path().join("a.safetensors"), &all);
        let weights = Weights::open_part(&Source::File(path), Part::Transformer).expect("it opens");
        let error = weights.widened("img_in.weight", &[256, 64]).expect_err("no scale").to_string();
        assert!(error.contains("\"img_in.weight\"") && error.contains(reason), "{error}");
    }
}

#[test]
fn shards_that_lie_are_named() {
    let folder = folder();
    let all = tensors(TRANSFORMER);
    let index = make::shard(folder.path(), "flux", &all, 2);
    let second = folder.path().join("flux-00002-of-00002.safetensors");
    let keep = std::fs::read(&second).expect("it was written");

    std::fs::write(&second, &keep[..keep.len() - 5]).expect("it can be written");
    says(&index, &["flux-00002-of-00002.safetensors: the tensor", "cut short"]);
    std::fs::remove_file(&second).expect("it is there");
    says(&index, &["flux-00002-of-00002.safetensors: the file could not be read"]);
    make::write(&second, &all);
    says(&index, &["is in flux-00001-of-00002.safetensors and again in flux-00002-of-00002.safetensors"]);
    let few = Tensors::from([("unknown".to_owned(), Tensor::number(1.0))]);
    make::write(&second, &few);
    says(&index, &["flux-00002-of-00002.safetensors: the tensor", "is missing"]);

    std::fs::write(&index, r#"{"weight_map":{"a":"../../etc/passwd"}}"#).expect("it can be written");
    says(&index, &["../../etc/passwd", "no file beside it"]);
    std::fs::write(&index, "{").expect("it can be written");
    says(&index, &["index cannot be read"]);
}

#[test]
fn a_folder_says_what_it_lacks() {
    let folder = folder();
    says(folder.path(), &["has no safetensors or GGUF files"]);
    file(folder.path(), "pytorch_model.bin", b"PK");
    says(folder.path(), &["pickle"]);
    for name in ["a.safetensors", "b.safetensors"] {
        file(folder.path(), name, b"");
    }
    says(folder.path(), &["a.safetensors", "b.safetensors", "name one of"]);
}

/// Tensors by name and shape.
type Named = [(&'static str, &'static [usize])];

/// Names and nothing of size: what the program goes by.
fn named(folder: &Path, names: &Named) -> PathBuf {
    let tensor = |shape: &[usize]| Tensor {
        dtype: safetensors::Dtype::BF16,
        shape: shape.to_vec(),
        bytes: vec![0; 2 * shape.iter().product::<usize>()],
    };
    let all = names.iter().map(|(name, shape)| ((*name).to_owned(), tensor(shape))).collect();
    make::write(&folder.join("model.safetensors"), &all)
}

#[test]
fn other_models_and_loras_are_named() {
    let folder = folder();
    let key = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight";
    let cases: [(&Named, &str); 9] = [
        (&[(key, &[320, 768])], "Stable Diffusion 1.5"),
        (&[(key, &[320, 1024])], "Stable Diffusion 2"),
        (
            &[
                ("model.diffusion_model.label_emb.0.0.weight", &[4, 4]),
                ("model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", &[4, 4]),
            ],
            "Stable Diffusion XL",
        ),
        (
            &[("model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.weight", &[4, 4])],
            "Stable Diffusion 3",
        ),
        (&[("lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight", &[4, 4])], "LoRA (kohya's names)"),
        (&[("transformer.transformer_blocks.0.attn.to_q.lora_A.weight", &[4, 4])], "LoRA (PEFT's names)"),
        (&[("double_blocks.0.processor.qkv_lora1.down.weight", &[4, 4])], "LoRA (XLabs' names)"),
        (&[("a", &[1])], "no model that is known here (its first tensor is \"a\")"),
        (&[], "no tensors"),
    ];
    for (names, what) in cases {
        says(&named(folder.path(), names), &[what, "where a FLUX.1 transformer is needed"]);
    }
    says(&make::nano("ae.safetensors"), &["holds a VAE of FLUX.1"]);
    says(&make::nano("t5.safetensors"), &["holds a T5 encoder"]);
}
