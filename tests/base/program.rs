//! The real program in homes where all, some and none of FLUX.1 is.

use std::path::Path;

use crate::home::Home;
use crate::sparse;

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn without_files_a_model_says_what_is_missing_and_what_to_do() {
    let home = Home::new();
    home.run(&["generate", "a cat", "--model", "flux1-dev"]).refused_with(&[
        "flux1-dev cannot be drawn with yet",
        "the transformer (flux1-dev.safetensors, 23.80 GB)",
        "the T5 encoder (t5xxl_fp16.safetensors, 9.79 GB)",
        "the CLIP encoder (clip_l.safetensors, 246.1 MB)",
        "the VAE (ae.safetensors, 335.3 MB)",
        "`flux-tui models pull flux1-dev` fetches 34.17 GB",
        "accept the terms (FLUX.1 [dev] Non-Commercial License) at https://huggingface.co/black-forest-labs/FLUX.1-dev",
        "folders = [",
    ]);
    home.run(&["generate", "a cat", "--model", "flux1-schnell-fp8"]).refused_with(&[
        "missing: the transformer and the T5 encoder and the CLIP encoder and the VAE (flux1-schnell-fp8.safetensors",
        "fetches 17.24 GB",
    ]);
    home.run(&["generate", "a cat", "--model", "flux9"])
        .refused_with(&["no model \"flux9\"", "flux1-schnell"]);
    assert!(!home.socket().exists(), "a worker was started");
}

#[test]
fn the_list_has_every_model_with_what_it_lacks() {
    let home = Home::new();
    sparse::published("clip-l", &home.path().join("ComfyUI/models/clip/l.safetensors"));
    sparse::write(
        &home.path().join("ComfyUI/models/unet/调.safetensors"),
        "F8_E4M3",
        &sparse::transformer(true),
        None,
    );
    let table = home.run(&["models", "list"]);
    for line in ["majicflus_v1  ", "missing: transformer, t5, vae (33.93 GB to fetch)", "unet/调.safetensors"]
    {
        assert!(table.done().contains(line), "{line} is not in {}", table.stdout);
    }
    let json = home.run(&["models", "list", "--json"]).json();
    let models = json["models"].as_array().expect("models");
    let named = |name: &str| models.iter().find(|model| model["name"] == name).expect("it is listed");
    assert_eq!((&named("nano")["here"], &named("nano")["bytes"]), (&true.into(), &21_487_342.into()));
    let dev = named("flux1-dev");
    assert_eq!(
        (&dev["here"], &dev["license"]),
        (&false.into(), &"FLUX.1 [dev] Non-Commercial License".into())
    );
    let lacks: Vec<_> = dev["missing"].as_array().expect("parts").iter().map(|part| &part["part"]).collect();
    assert_eq!(lacks, ["transformer", "t5", "vae"]);
    assert_eq!(dev["bytes"], 246_144_152);
    assert_eq!(json["others"][0].as_str().map(|path| path.ends_with("unet/调.safetensors")), Some(true));
}

#[test]
fn where_says_of_each_part_where_it_is_or_would_come_from() {
    let home = Home::new();
    let cache = home.path().join(".cache/huggingface/hub/models--Kijai--flux-fp8/snapshots/a");
    sparse::published("flux1-dev-fp8", &cache.join("flux1-dev-fp8.safetensors"));
    let told = home.run(&["models", "where", "flux1-dev-fp8"]);
    let lines = [
        "transformer  ",
        "snapshots/a/flux1-dev-fp8.safetensors",
        "t5           not here",
        "from Hugging Face comfyanonymous/flux_text_encoders t5xxl_fp8_e4m3fn_scaled.safetensors",
        "terms to accept first: https://huggingface.co/black-forest-labs/FLUX.1-schnell",
    ];
    for line in lines {
        assert!(told.done().contains(line), "{line} is not in {}", told.stdout);
    }
    let json = home.run(&["models", "where", "majicflus_v1", "--json"]).json();
    assert_eq!(
        json["parts"][0]["from"]["places"][0],
        "ModelScope MAILAND/majicflus_v1 majicflus_v134.safetensors"
    );
    home.run(&["models", "where", "flux9"]).refused_with(&["no model \"flux9\""]);
}

#[test]
fn a_transformers_path_alone_takes_encoders_and_vae_from_what_is_found() {
    let home = Home::new();
    let path = sparse::write(&home.path().join("下载/it"), "F8_E4M3", &sparse::transformer(true), None);
    home.run(&["generate", "a cat", "--model", text(&path)]).refused_with(&[
        "下载/it cannot be drawn with yet; missing: the T5 encoder",
        "`flux-tui models pull t5-xxl-fp16 clip-l flux1-vae` fetches 10.37 GB",
    ]);
    let folder = home.path().join("库");
    let configuration = home.path().join(".config/flux-tui");
    std::fs::create_dir_all(&configuration).expect("a directory");
    std::fs::write(configuration.join("models.toml"), format!("folders = [{folder:?}]\n")).expect("written");
    for id in ["t5-xxl-fp8", "clip-l", "flux1-vae"] {
        sparse::published(id, &folder.join(id));
    }
    let json = home.run(&["models", "where", text(&path), "--json"]).json();
    let parts =
        json["parts"].as_array().expect("parts").iter().map(|part| part["at"].as_str().expect("here"));
    let expected = [path, folder.join("t5-xxl-fp8"), folder.join("clip-l"), folder.join("flux1-vae")];
    assert_eq!(parts.collect::<Vec<_>>(), expected.iter().map(|path| text(path)).collect::<Vec<_>>());
}

#[test]
fn a_part_that_a_person_named_and_that_is_not_there_is_told_before_a_worker_is_asked() {
    let home = Home::new();
    let configuration = home.path().join(".config/flux-tui");
    std::fs::create_dir_all(&configuration).expect("a directory");
    let text = "[[model]]\nname = \"mine\"\nbase = \"nano\"\nvae = \"/nowhere/ae\"\n";
    std::fs::write(configuration.join("models.toml"), text).expect("written");
    let refused = home.run(&["generate", "a cat", "--model", "mine"]);
    refused.refused_with(&[
        "mine cannot be drawn with yet; missing: the VAE",
        "/nowhere/ae",
        "there is no such file",
    ]);
    assert!(!refused.stderr.contains("pull"), "{refused:?}");
    assert!(!home.socket().exists(), "a worker was started");
}
