//! LoRAs with the real program: from the command line, the folders and the prompt to the picture and its record.

use std::path::{Path, PathBuf};

use flux_tui::job::Recipe;
use flux_tui::library::png;

use crate::home::Home;
use crate::model::fixture;

/// A picture as small and quick as they come, on the CPU.
pub const QUICK: [&str; 10] =
    ["--width", "32", "--height", "32", "--steps", "2", "--seed", "3", "--device", "cpu"];

fn draw(home: &Home, arguments: &[&str]) -> serde_json::Value {
    let ran = home.run(&[&["generate"], arguments, &QUICK, &["--json"]].concat());
    ran.done();
    ran.json()
}

fn path_in(object: &serde_json::Value) -> PathBuf {
    object["path"].as_str().expect("a path").into()
}

pub fn pixels(object: &serde_json::Value) -> Vec<u8> {
    image::open(path_in(object)).expect("a picture").to_rgb8().into_raw()
}

pub fn recipe(path: &Path) -> Recipe {
    let bytes = std::fs::read(path).expect("it is there");
    png::read(&bytes).expect("a PNG").recipe.expect("it is ours").expect("it can be read")
}

/// Puts a fixture into a folder of LoRAs under another name.
pub fn keep(home: &Home, name: &str, to: &str) -> PathBuf {
    let path = home.path().join(to);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
    std::fs::copy(fixture(name), &path).expect("it can be copied");
    path
}

#[test]
fn a_file_a_name_and_a_tag_are_the_same_and_strength_zero_is_none() {
    let home = Home::new();
    let path = keep(&home, "kohya", ".local/share/flux-tui/loras/风格/水墨.safetensors");
    let plain = draw(&home, &["a cat"]);
    let by_path = draw(&home, &["a cat", "--lora", &format!("{}:0.8", path.display())]);
    let by_name = draw(&home, &["a cat", "--lora", "水墨:0.8"]);
    let by_tag = draw(&home, &["a cat <lora:风格/水墨:0.8>"]);
    assert_ne!(pixels(&plain), pixels(&by_path), "it changes the picture");
    assert_eq!(pixels(&by_path), pixels(&by_name));
    assert_eq!(pixels(&by_path), pixels(&by_tag));
    assert_eq!(pixels(&plain), pixels(&draw(&home, &["a cat", "--lora", "水墨:0"])));
    assert_eq!(pixels(&plain), pixels(&draw(&home, &["a cat"])), "taken away, nothing is left of it");
    assert!(plain.get("loras").is_none());
    let told = &by_tag["loras"][0];
    assert_eq!((&told["file"], &told["tagged"]), (&"风格/水墨".into(), &true.into()));
}

#[test]
fn a_lora_counts_in_the_steps_that_are_asked_for_and_these_are_kept() {
    let home = Home::new();
    keep(&home, "kohya", ".local/share/flux-tui/loras/ink.safetensors");
    let with = |lora: &str| draw(&home, &["a cat", "--lora", lora]);
    let (plain, all) = (draw(&home, &["a cat"]), with("ink:0.8"));
    // Of two steps.
    let (first, second) = (with("ink:0.8@0-50%"), with("ink:0.8@50-100%"));
    assert_eq!(pixels(&with("ink:0.8@0-100%")), pixels(&all));
    assert_eq!(pixels(&with("ink:0.8@60-90%")), pixels(&plain), "no step begins there");
    let pictures = [&plain, &all, &first, &second].map(pixels);
    for (at, one) in pictures.iter().enumerate() {
        assert!(pictures[..at].iter().all(|other| other != one), "{at}");
    }
    let path = path_in(&first);
    let path = path.to_str().expect("text");
    let shown = home.run(&["show", path, "--no-display"]);
    assert!(shown.done().contains("ink at 0.8 in 0-50% of the steps"), "{shown:?}");
    let like = home.run(&["generate", "--like", path, "--device", "cpu", "--json"]).json();
    assert_eq!(pixels(&like), pictures[2]);
    assert_eq!(like["loras"][0]["steps"], "0-50%");
    home.run(&["generate", "a cat", "--lora", "ink:0.8@90-10%"]).refused_with(&["90-10%", "as in 0-60%"]);
}

#[test]
fn the_picture_keeps_what_it_was_drawn_with() {
    let home = Home::new();
    keep(&home, "comfy", "ComfyUI/models/loras/ink.safetensors");
    keep(&home, "peft", "stable-diffusion-webui-forge/models/Lora/soft.safetensors");
    let arguments = ["a cat <lora:ink:0.5> at night", "--lora", "soft:-0.25"];
    let ran = home.run(&[&["generate"], &arguments[..], &QUICK, &["--json"]].concat());
    ran.ended_with(0, &["warning: 2 of the 15 tensors of the LoRA ink", "double_blocks.99"]);
    let path = path_in(&ran.json());
    let Recipe { prompt, loras, .. } = recipe(&path);
    assert_eq!(prompt.as_str(), "a cat <lora:ink:0.5> at night");
    let told: Vec<_> = loras.iter().map(|it| (it.file.as_str(), it.strength, it.tagged)).collect();
    assert_eq!(told, [("soft", -0.25, false), ("ink", 0.5, true)]);
    assert_eq!(loras[1].unapplied.count, 2);
    let sum = std::process::Command::new("sha256sum").arg(fixture("comfy")).output().expect("it runs");
    let sum = String::from_utf8(sum.stdout).expect("text");
    assert!(sum.starts_with(loras[1].hash.as_str()), "{sum}");
    let shown = home.run(&["show", path.to_str().expect("text"), "--no-display"]);
    assert!(shown.done().contains(&format!("ink at 0.5, hash {}", loras[1].hash.short())), "{shown:?}");
    let parameters = png::read(&std::fs::read(&path).expect("it is there")).expect("a PNG").parameters;
    let parameters = parameters.expect("other tools read it");
    assert!(parameters.starts_with("a cat <lora:ink:0.5> at night <lora:soft:-0.25>\n"), "{parameters}");
    assert!(parameters.contains(&format!("ink: {}", loras[1].hash.short())), "{parameters}");
}

#[test]
fn a_picture_is_drawn_again_with_its_loras_or_says_which_file_is_another_now() {
    let home = Home::new();
    let ink = keep(&home, "kohya", ".local/share/flux-tui/loras/ink.safetensors");
    let soft = keep(&home, "peft", "elsewhere/soft.safetensors");
    let first = draw(&home, &["a cat <lora:ink:0.5> at night", "--lora", soft.to_str().expect("text")]);
    let path = path_in(&first);
    let like = ["generate", "--like", path.to_str().expect("text"), "--device", "cpu", "--json"];
    let again = home.run(&like).json();
    assert_eq!(pixels(&again), pixels(&first));
    assert_eq!((&again["seed"], &again["steps"]), (&3.into(), &2.into()));
    let told = |object: &serde_json::Value| {
        let hashes = object["loras"].as_array().expect("a list").iter().map(|it| it["hash"].clone());
        hashes.collect::<Vec<_>>()
    };
    assert_eq!(told(&again), told(&first));
    // The same content in another folder under the same name serves too.
    std::fs::rename(&ink, keep(&home, "kohya", ".local/share/flux-tui/loras/b/ink.safetensors"))
        .expect("it is ours");
    assert_eq!(pixels(&home.run(&like).json()), pixels(&first));
    keep(&home, "lokr", ".local/share/flux-tui/loras/b/ink.safetensors");
    home.run(&like).ended_with(1, &["the LoRA ink is another file now", "--lora"]);
    std::fs::remove_file(&soft).expect("it is ours");
    home.run(&like).refused_with(&["there is no file", "elsewhere/soft.safetensors"]);
    let other = home.path().join("other.png");
    image::RgbImage::new(16, 16).save(&other).expect("it can be written");
    home.run(&["generate", "--like", other.to_str().expect("text")]).refused_with(&["no recipe"]);
}

#[test]
fn what_is_not_read_of_a_prompt_is_told_without_its_tags() {
    let home = Home::new();
    keep(&home, "kohya", ".local/share/flux-tui/loras/ink.safetensors");
    let long = "a red apple on a blue plate ".repeat(20);
    let plain = draw(&home, &[&long]);
    let tagged = draw(&home, &[&format!("<lora:ink:0.5> {long}")]);
    for object in [&plain, &tagged] {
        let cut = &object["cut"][0];
        assert_eq!((&cut["encoder"], &cut["tokens"]), (&"T5".into(), &plain["cut"][0]["tokens"]));
        assert_eq!(cut["text"], plain["cut"][0]["text"], "the same is not read");
    }
}

#[test]
fn what_cannot_be_used_is_refused_before_anything_is_drawn() {
    let home = Home::new();
    let path = keep(&home, "kohya", "a/ink.safetensors");
    let path = path.to_str().expect("text");
    let refused = |arguments: &[&str], parts: &[&str]| {
        home.run(&[&["generate"], arguments, &QUICK].concat()).refused_with(parts);
    };
    refused(&["a cat", "--lora", "no/such"], &["there is no LoRA \"no/such\"", "loras"]);
    refused(&["a cat <lora:none:1>"], &["there is no LoRA \"none\""]);
    refused(&["a cat <lora:none"], &["no tag of a LoRA"]);
    refused(&["<lora:none:1>"], &["only tags"]);
    refused(&["a cat", "--lora", &format!("{path}:1e9")], &["strength 1000000000", "100"]);
    refused(&["a cat", "--lora", "./gone.safetensors"], &["there is no file", "gone.safetensors"]);
    let foreign = keep(&home, "velocities", "a/foreign.safetensors");
    refused(&["a cat", "--lora", foreign.to_str().expect("text")], &["none of its", "belongs to a layer"]);
    let status = home.run(&["worker", "status", "--json"]).json();
    assert_eq!(status["pictures"], 0);
}

#[test]
fn a_lora_that_is_deleted_or_broken_while_it_waits_fails_its_job_and_the_queue_goes_on() {
    let home = Home::new();
    let gone = keep(&home, "kohya", ".local/share/flux-tui/loras/gone.safetensors");
    let broken = keep(&home, "kohya", ".local/share/flux-tui/loras/broken.safetensors");
    keep(&home, "kohya", ".local/share/flux-tui/loras/good.safetensors");
    home.run(&["queue", "pause"]).done();
    for arguments in [["a cat", "gone"], ["a cat", "broken"], ["a cat", "good"]] {
        let [prompt, lora] = arguments;
        home.run(&[&["queue", "add", prompt, "--lora", lora][..], &QUICK].concat()).done();
    }
    std::fs::remove_file(&gone).expect("it is ours");
    let whole = std::fs::read(&broken).expect("it is there");
    std::fs::write(&broken, &whole[..whole.len() - 100]).expect("it is ours");
    home.run(&["queue", "resume"]).done();
    home.status_when("the good one is drawn", |status| status["pictures"] == 1 && status["queued"] == 0);
    let jobs = home.run(&["queue", "list", "--json"]).json();
    let reasons: Vec<_> = jobs["jobs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|job| job["state"]["Failed"]["reason"].clone())
        .collect();
    let reason =
        |part: &str| reasons.iter().any(|reason| reason.as_str().is_some_and(|it| it.contains(part)));
    assert!(reason("there is no LoRA \"gone\"") && reason("cut short"), "{jobs}");
}

#[test]
fn a_waiting_job_is_given_other_loras_and_keeps_them_otherwise() {
    let home = Home::new();
    for name in ["ink", "soft"] {
        keep(&home, "kohya", &format!(".local/share/flux-tui/loras/{name}.safetensors"));
    }
    home.run(&["queue", "pause"]).done();
    let added =
        home.run(&[&["queue", "add", "a cat", "--lora", "ink:0.5", "--json"][..], &QUICK].concat()).json();
    let id = added["job"]["id"].to_string();
    let edit = |arguments: &[&str]| {
        let edited = home.run(&[&["queue", "edit", &id, "--json"], arguments].concat()).json();
        edited["job"]["job"]["loras"].clone()
    };
    assert_eq!(edit(&["--steps", "3"]), serde_json::json!([{ "file": "ink", "strength": 0.5 }]));
    assert_eq!(edit(&["--lora", "soft"]), serde_json::json!([{ "file": "soft", "strength": 1.0 }]));
    assert_eq!(edit(&["--no-loras"]), serde_json::json!([]));
    home.run(&["queue", "edit", &id, "--lora", "none"]).refused_with(&["there is no LoRA \"none\""]);
}

#[test]
fn loras_are_listed_with_what_their_files_say() {
    let home = Home::new();
    assert!(!home.run(&["models", "list"]).done().contains("LoRAs"));
    let ink = keep(&home, "kohya", ".local/share/flux-tui/loras/styles/ink.safetensors");
    let broken = keep(&home, "kohya", ".local/share/flux-tui/loras/broken.safetensors");
    std::fs::write(&broken, "<html>").expect("it is ours");
    std::fs::write(ink.with_extension("preview.png"), "").expect("there is room");
    let listed = home.run(&["models", "list", "--json"]).json();
    let [broken, told] = &listed["loras"].as_array().expect("a list")[..] else { panic!("two of {listed}") };
    assert!(broken["unusable"].as_str().is_some_and(|reason| reason.contains("web page")), "{broken}");
    assert_eq!((&told["name"], &told["path"]), (&"styles/ink".into(), &ink.to_str().into()));
    assert_eq!((&told["form"], &told["kind"]), (&"kohya".into(), &"LoRA".into()));
    assert_eq!(told["bytes"], std::fs::metadata(&ink).expect("it is there").len());
    assert!(told["picture"].as_str().is_some_and(|path| path.ends_with("ink.preview.png")), "{told}");
    let page = home.run(&["models", "list"]);
    let page = page.done();
    assert!(page.contains("styles/ink") && page.contains("kohya LoRA of rank"), "{page}");
    assert!(page.contains("cannot be used: "), "{page}");
}
