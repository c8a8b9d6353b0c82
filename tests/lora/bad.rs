//! Files that are no LoRA of this model, each refused with its reason, and what was set before is set still.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flux_tui::engine::lora::{Shapes, glance, read};
use safetensors::tensor::{Dtype, TensorView};

use crate::model::{Nano, Numbers, bits, fixture, lora, shapes};

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn write(folder: &Path, name: &str, tensors: &Tensors) -> PathBuf {
    let path = folder.join(name);
    let bytes: BTreeMap<_, Vec<u8>> = tensors
        .iter()
        .map(|(name, (_, values))| (name, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = tensors.iter().map(|(name, (shape, _))| {
        (name, TensorView::new(Dtype::F32, shape.clone(), &bytes[name]).expect("as many"))
    });
    safetensors::serialize_to_file(views, None, &path).expect("it can be written");
    path
}

fn zeros(tensors: &[(&str, &[usize])]) -> Tensors {
    let one = |(name, shape): &(&str, &[usize])| {
        ((*name).to_owned(), (shape.to_vec(), vec![0.0; shape.iter().product()]))
    };
    tensors.iter().map(one).collect()
}

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("测试 目录").tempdir().expect("a temporary directory")
}

fn refused(path: &Path, shapes: &Shapes, parts: &[&str]) {
    let error = read(path, shapes).expect_err("it is none").to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

const QKV: &str = "lora_unet_double_blocks_0_img_attn_qkv";
const DOWN: &str = "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight";
const UP: &str = "lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight";

#[test]
fn tensors_that_do_not_fit_are_named_with_what_would() {
    let (folder, shapes) = (folder(), shapes());
    let refuse = |tensors: &[(&str, &[usize])], parts: &[&str]| {
        let path = write(folder.path(), "a.safetensors", &zeros(tensors));
        refused(&path, &shapes, parts);
    };
    refuse(&[(DOWN, &[4, 256]), (UP, &[768, 8])], &["[4, 256]", "[768, 8]", "different ranks"]);
    refuse(&[(DOWN, &[4, 256])], &[DOWN, "lora_up", "not whole"]);
    refuse(&[(UP, &[768, 4])], &[UP, "lora_down"]);
    refuse(&[(DOWN, &[4, 3072]), (UP, &[9216, 4])], &["[9216, 3072]", "768 by 256", "another width"]);
    refuse(&[(DOWN, &[4]), (UP, &[768, 4])], &["[4]", "a matrix"]);
    refuse(&[(DOWN, &[0, 256]), (UP, &[768, 0])], &["a matrix"]);
    let alpha = format!("{QKV}.alpha");
    refuse(&[(DOWN, &[4, 256]), (UP, &[768, 4]), (&alpha, &[2])], &[&alpha, "of 1"]);
    let magnitude = format!("{QKV}.dora_scale");
    refuse(&[(DOWN, &[4, 256]), (UP, &[768, 4]), (&magnitude, &[7])], &[&magnitude, "of 768"]);
    let named = ["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"].map(|end| format!("{QKV}.{end}"));
    let [a1, b1, a2, b2] = named.each_ref().map(String::as_str);
    refuse(&[(a1, &[768, 2]), (b1, &[2, 256]), (a2, &[768, 2])], &["hada_w2_b"]);
    refuse(&[(a1, &[768, 2]), (b1, &[2, 256]), (a2, &[768, 2]), (b2, &[2, 128])], &["[768, 128]"]);
    let named = ["lokr_w1", "lokr_w2_a", "lokr_w2_b"].map(|end| format!("{QKV}.{end}"));
    let [w1, w2a, w2b] = named.each_ref().map(String::as_str);
    refuse(&[(w1, &[3, 2]), (w2a, &[255, 2]), (w2b, &[2, 128])], &["[765, 256]", "768 by 256"]);
    // What two thin ones would come to does not fit into any memory.
    refuse(&[(w1, &[1, 1]), (w2a, &[1 << 20, 1]), (w2b, &[1, 1 << 20])], &["[1048576, 1048576]"]);
    let diff = format!("{QKV}.diff");
    refuse(&[(&diff, &[768, 255])], &[&diff, "[768, 255]"]);
}

#[test]
fn values_that_are_not_finite_are_named() {
    let (folder, shapes) = (folder(), shapes());
    for (at, value) in [(DOWN, f32::NAN), (UP, f32::INFINITY)] {
        let mut tensors = zeros(&[(DOWN, &[4, 256]), (UP, &[768, 4])]);
        tensors.get_mut(at).expect("it is there").1[5] = value;
        let path = write(folder.path(), "a.safetensors", &tensors);
        refused(&path, &shapes, &[at, &value.to_string(), "training went wrong"]);
    }
}

#[test]
fn loras_of_other_models_and_control_loras_are_called_by_their_names() {
    let (folder, shapes) = (folder(), shapes());
    let of = |tensors: &[(&str, &[usize])], parts: &[&str]| {
        let path = write(folder.path(), "a.safetensors", &zeros(tensors));
        refused(&path, &shapes, parts);
    };
    let attention = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight";
    of(&[(attention, &[4, 768])], &["a LoRA of Stable Diffusion 1.5, not of FLUX.1"]);
    of(&[(attention, &[4, 1024])], &["Stable Diffusion 2"]);
    of(&[(attention, &[4, 2048])], &["Stable Diffusion XL"]);
    of(&[("unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight", &[4, 2048])], &["XL"]);
    of(
        &[("lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight", &[4, 1536])],
        &["Stable Diffusion 3"],
    );
    of(&[("something.else.weight", &[4, 4])], &["none of its 1 tensors", "something.else.weight", "kohya"]);
    of(&[], &["none of its 0 tensors"]);
    let control = [
        ("img_in.lora_A.weight", &[4, 128][..]),
        ("img_in.lora_B.weight", &[256, 4]),
        ("img_in.lora_B.bias", &[256]),
        ("double_blocks.0.img_attn.norm.query_norm.scale", &[64]),
    ];
    of(&control, &["control LoRA", "FLUX.1-Depth", "img_in to 128", "has 64"]);
}

#[test]
fn files_that_are_no_safetensors_or_are_too_much_say_so() {
    let (folder, shapes) = (folder(), shapes());
    let whole = std::fs::read(fixture("kohya")).expect("it is there");
    let cut = folder.path().join("cut.safetensors");
    std::fs::write(&cut, &whole[..whole.len() / 2]).expect("it can be written");
    refused(&cut, &shapes, &["cut short"]);
    std::fs::write(&cut, b"<!DOCTYPE html>").expect("it can be written");
    refused(&cut, &shapes, &["web page"]);
    refused(folder.path(), &shapes, &["one safetensors file"]);
    refused(&folder.path().join("none.safetensors"), &shapes, &["could not be read"]);
    let names: Vec<String> = (0..100_000).map(|at| format!("double_blocks.{at}.x")).collect();
    let many: Vec<(&str, &[usize])> = names.iter().map(|name| (name.as_str(), &[][..])).collect();
    let long = "x".repeat(1 << 20);
    let path = write(folder.path(), "long.safetensors", &zeros(&[(&long, &[])]));
    refused(&path, &shapes, &["name has 1048576 bytes", "512"]);
    let path = write(folder.path(), "many.safetensors", &zeros(&many));
    refused(&path, &shapes, &["100000 tensors", "16384"]);
    assert!(glance(&path).is_err() && glance(&cut).is_err());
    glance(&fixture("kohya")).expect("it is a LoRA of FLUX.1 of some size");
}

#[test]
fn what_was_set_stays_set_when_another_cannot_be_used() {
    let (mut nano, numbers, folder) = (Nano::new(), Numbers::read(), folder());
    let good = lora(&fixture("kohya"), 1.0);
    let before = bits(&nano.velocity_with(std::slice::from_ref(&good), &numbers));
    let tensors = zeros(&[(DOWN, &[4, 256]), (UP, &[768, 8])]);
    let bad = lora(&write(folder.path(), "坏.safetensors", &tensors), 1.0);
    let error = nano.try_set(&[lora(&fixture("peft"), 1.0), bad]).expect_err("it is broken").to_string();
    assert!(error.contains("the LoRA 坏") && error.contains("different ranks"), "{error}");
    assert!(bits(&nano.velocity(&numbers)) == before);
    assert!(bits(&nano.velocity_with(&[good], &numbers)) == before);
}
