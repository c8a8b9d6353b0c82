//! A person's own models, by name from `models.toml` and by path, drawn by the real program.

use std::path::{Path, PathBuf};

use flux_tui::engine::weights::Weights;
use flux_tui::model::Source;

use crate::home::Home;
use crate::make::{self, Tensor, Tensors, nano, tensors};
use crate::make_gguf;
use crate::{TRANSFORMER, folder};

/// The pixels that the program draws.
fn pixels(home: &Home, model: &str) -> Vec<u8> {
    let output = home.path().join("out.png");
    let arguments =
        ["generate", "an apple", "--seed", "7", "--steps", "2", "--width", "64", "--height", "64"];
    let rest = ["--device", "cpu", "--model", model, "--output", output.to_str().expect("text")];
    home.run(&[&arguments[..], &rest].concat()).done();
    image::open(output).expect("a PNG").to_rgb8().into_raw()
}

fn configured(home: &Home, text: &str) {
    let directory = home.path().join(".config/flux-tui");
    std::fs::create_dir_all(&directory).expect("a directory can be made");
    std::fs::write(directory.join("models.toml"), text).expect("it can be written");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn a_model_of_ones_own_is_drawn_by_its_name_and_a_file_by_its_path() {
    let (home, folder) = (Home::new(), folder());
    make::pipeline(folder.path());
    let all = make::write(&folder.path().join("all.safetensors"), &make::all_in_one());
    let expected = pixels(&home, "nano");
    // Added while the worker runs.
    let part = |name: &str| folder.path().join(name).display().to_string();
    let written = format!(
        "[[model]]\nname = \"mine\"\nbase = \"nano\"\ntransformer = {:?}\nt5 = {:?}\nclip = {:?}\nvae = {:?}\n",
        part("transformer"),
        part("text_encoder_2"),
        part("text_encoder"),
        part("vae"),
    );
    configured(&home, &written);
    assert!(pixels(&home, "mine") == expected, "a pipeline by name draws another picture");
    for path in [nano(TRANSFORMER), all, folder.path().to_owned(), folder.path().join("transformer")] {
        assert!(pixels(&home, text(&path)) == expected, "{} draws another picture", path.display());
    }
    let relative = home.path().join("it.safetensors");
    std::fs::copy(nano(TRANSFORMER), relative).expect("it can be copied");
    assert!(pixels(&home, "./it.safetensors") == expected, "a path from here draws another picture");
}

#[test]
fn a_transformer_without_guidance_is_drawn_as_schnell() {
    let (home, folder) = (Home::new(), folder());
    let schnell =
        tensors(TRANSFORMER).into_iter().filter(|(name, _)| !name.starts_with("guidance_in")).collect();
    let path = make::write(&folder.path().join("schnell.safetensors"), &schnell);
    let ran = home.run(&["generate", "an apple", "--model", text(&path), "--device", "cpu", "--json"]).json();
    assert_eq!(ran["steps"], 4);
}

#[test]
fn a_transformer_that_is_only_blocks_is_completed_by_its_base_or_the_model_that_is_named() {
    let (home, folder) = (Home::new(), folder());
    let ends = ["img_in", "txt_in", "time_in", "vector_in", "guidance_in", "final_layer"];
    let without = |ends: &[&str]| -> Tensors {
        let is_end = |name: &String| ends.iter().any(|end| name.split('.').next() == Some(end));
        tensors(TRANSFORMER).into_iter().filter(|(name, _)| !is_end(name)).collect()
    };
    let expected = pixels(&home, "nano");
    let path = folder.path().join("blocks.safetensors");
    for missing in [&ends[..], &["img_in", "time_in", "vector_in", "guidance_in"]] {
        let blocks = make::write(&path, &without(missing));
        assert!(pixels(&home, text(&blocks)) == expected, "without {missing:?} by its path");
        let gguf = folder.path().join("blocks.gguf");
        make_gguf::write(&gguf, "flux", &make_gguf::unquantised(&without(missing)));
        assert!(pixels(&home, text(&gguf)) == expected, "a GGUF without {missing:?}");
    }
    let blocks = make::write(&path, &without(&ends));
    let listed = |more: &str| {
        let model = format!("[[model]]\nname = \"mine\"\nbase = \"nano\"\ntransformer = {blocks:?}\n{more}");
        configured(&home, &model);
    };
    listed("");
    assert!(pixels(&home, "mine") == expected, "completed by its base");
    listed(&format!("complete_from = {:?}\n", nano(TRANSFORMER)));
    assert!(pixels(&home, "mine") == expected, "completed by what is named");

    // What cannot complete it says why, and what would.
    let of = |from: &Path| {
        let opened =
            Weights::open_transformer(&Source::File(blocks.clone()), Some(&Source::File(from.to_owned())));
        opened.expect_err("it is not whole").to_string()
    };
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/forms/fixtures/tiny.gguf");
    let error = of(&tiny);
    for part in ["img_in, txt_in", "tiny.gguf", "64 channels wide, and this transformer 256", "complete_from"]
    {
        assert!(error.contains(part), "{error}");
    }
    let other = make::write(&folder.path().join("other.safetensors"), &without(&["img_in"]));
    assert!(of(&other).contains("cannot complete it: it lacks img_in"), "{}", of(&other));
    let alone = home.run(&["models", "info", text(&blocks), "--json"]).json();
    assert_eq!((&alone["kind"], &alone["draws"]), (&"blocks".into(), &false.into()));
    let why = alone["why_not"].as_str().expect("a reason");
    assert!(why.contains("img_in, txt_in, time_in") && why.contains("complete_from = "), "{why}");
}

#[test]
fn what_cannot_be_drawn_with_is_refused_before_a_worker_is_asked() {
    let (home, folder) = (Home::new(), folder());
    let refused = |path: &Path, parts: &[&str]| {
        home.run(&["generate", "an apple", "--model", text(path)]).refused_with(parts);
    };
    refused(Path::new("/nowhere.safetensors"), &["/nowhere.safetensors", "could not be read"]);
    refused(&nano("ae.safetensors"), &["ae.safetensors", "no transformer"]);
    let all = tensors(TRANSFORMER);
    let changed = |name: &str, shape: &[usize]| -> PathBuf {
        let mut all = all.clone();
        let bytes = vec![0; shape.iter().product()];
        all.insert(name.to_owned(), Tensor { shape: shape.to_vec(), bytes, ..all[name].clone() });
        make::write(&folder.path().join("a.safetensors"), &all)
    };
    refused(&changed("img_in.weight", &[256, 384]), &["fills a part", "from text alone"]);
    refused(&changed("txt_in.weight", &[256, 4096]), &["nano:", "T5's tokens of 4096 channels", "128"]);
    refused(&changed("vector_in.in_layer.weight", &[256, 768]), &["a vector from CLIP of 768 channels"]);
    refused(&changed("txt_in.weight", &[128, 128]), &["txt_in.weight", "[128, 128]", "[256, 128]"]);
    assert!(!home.socket().exists(), "a worker was started");
}

#[test]
fn a_list_that_is_wrong_is_told_with_its_lines_and_stops_nothing() {
    let home = Home::new();
    configured(&home, "[[model]]\nname = \"mine\"\nbase = \"none\"\n");
    home.run(&["generate", "an apple", "--model", "mine"]).refused_with(&[
        "models.toml, line 3",
        "there is nano",
        "no model \"mine\"",
    ]);
    pixels(&home, "nano");
}
