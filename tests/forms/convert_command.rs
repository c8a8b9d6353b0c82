//! `models convert` by the real program: kept where it is found again, shown, and removed with the model.

use std::path::Path;

use flux_tui::client::Client;
use flux_tui::model::ModelName;
use flux_tui::paths::Paths;
use flux_tui::wire::message::{GoingFile, Request, Response};

use crate::home::Home;
use crate::make::{self, tensors};
use crate::{TRANSFORMER, folder};

/// A model of a person's own with a transformer in bf16.
fn with_a_wide_model(home: &Home, folder: &Path) -> String {
    let path = make::write(&folder.join("wide.safetensors"), &make::wide(&tensors(TRANSFORMER)));
    let path = path.to_str().expect("text").to_owned();
    let directory = home.path().join(".config/flux-tui");
    std::fs::create_dir_all(&directory).expect("a directory can be made");
    let text = format!("[[model]]\nname = \"mine\"\nbase = \"nano\"\ntransformer = {path:?}\n");
    std::fs::write(directory.join("models.toml"), text).expect("it can be written");
    path
}

#[test]
fn a_model_is_converted_once_shown_and_removed() {
    let (home, folder) = (Home::new(), folder());
    let source = with_a_wide_model(&home, folder.path());
    let table = home.run(&["models", "where", "mine"]);
    assert!(!table.done().contains("in fp8"), "{table:?}");
    home.run(&["models", "remove", "mine", "--yes"]).ended_with(2, &["nothing of mine was fetched"]);

    let told = home.run(&["models", "convert", "mine", "--json"]).json();
    let file = told["file"].as_str().expect("a path").to_owned();
    assert!(Path::new(&file).starts_with(home.path().join(".cache/flux-tui/converted")), "{file}");
    let bytes = std::fs::metadata(&file).expect("it is there").len();
    let whole = std::fs::metadata(&source).expect("it is there").len();
    assert!(bytes * 10 < whole * 6, "{bytes} of {whole} bytes");
    assert_eq!(
        told,
        serde_json::json!({
            "model": "mine", "file": file, "bytes": bytes, "from": "bf16", "outcome": "converted"
        })
    );
    // By its path it is the same transformer.
    let again = home.run(&["models", "convert", &source]);
    assert!(again.done().contains("from bf16, was there already"), "{again:?}");

    let info = home.run(&["models", "info", &file]);
    assert!(info.done().contains("converted from bf16"), "{info:?}");
    let table = home.run(&["models", "where", "mine"]);
    assert!(table.done().contains(&file) && table.stdout.contains("in fp8"), "{table:?}");
    assert_eq!(home.run(&["models", "where", "mine", "--json"]).json()["converted"], file.as_str());

    home.run(&["models", "remove", "mine"]).ended_with(1, &["nobody agreed"]);
    assert!(Path::new(&file).exists());
    let removed = home.run(&["models", "remove", "mine", "--yes", "--json"]).json();
    assert_eq!((&removed["files"][0], &removed["freed"]), (&file.as_str().into(), &bytes.into()));
    assert!(!Path::new(&file).exists() && Path::new(&source).exists());
}

/// As the studio's picker asks for it: a person's own file stays, what was made of it goes.
#[tokio::test]
async fn the_worker_removes_what_a_model_was_converted_to() {
    let (home, folder) = (Home::new(), folder());
    let source = with_a_wide_model(&home, folder.path());
    let told = home.run(&["models", "convert", "mine", "--json"]).json();
    let (file, bytes) = (told["file"].as_str().expect("a path").to_owned(), told["bytes"].as_u64());
    home.run(&["generate", "a red apple", "--steps", "1", "--no-display"]).done();
    let paths = Paths {
        config: home.path().join(".config/flux-tui"),
        data: home.path().join(".local/share/flux-tui"),
        state: home.path().join(".local/state/flux-tui"),
        cache: home.path().join(".cache/flux-tui"),
    };
    let (client, _events) = Client::connect(&paths).await.expect("the worker waits for the next job");
    let mine = ModelName::new("mine");
    let plan = client.call(Request::PlanRemoval(mine.clone())).await;
    let Ok(Response::Removal(plan)) = plan else { panic!("it can be removed: {plan:?}") };
    assert_eq!(plan.goes, [GoingFile { file: file.clone(), bytes: plan.bytes }]);
    let removed = client.call(Request::RemoveModel(mine.clone())).await;
    let Ok(Response::Removed { bytes: freed }) = removed else { panic!("it is removed: {removed:?}") };
    assert_eq!(Some(freed), bytes);
    assert!(!Path::new(&file).exists() && Path::new(&source).exists());
    assert!(client.call(Request::PlanRemoval(mine)).await.is_err(), "nothing is left to remove");
}

#[test]
fn a_file_of_ones_own_is_a_model_and_what_cannot_be_converted_is_refused() {
    let (home, folder) = (Home::new(), folder());
    with_a_wide_model(&home, folder.path());
    let own = folder.path().join("own.safetensors");
    let own = own.to_str().expect("text");
    assert!(home.run(&["models", "convert", "mine", "--to", own]).done().contains(own));
    assert!(!home.path().join(".cache/flux-tui/converted").exists(), "it was named elsewhere");
    let output = home.path().join("out.png");
    let picture = ["generate", "an apple", "--steps", "1", "--width", "64", "--height", "64"];
    let rest = ["--device", "cpu", "--model", own, "--output", output.to_str().expect("text")];
    home.run(&[&picture[..], &rest].concat()).done();
    assert!(output.exists());

    home.run(&["models", "convert", "nano"]).refused_with(&["fp8 e4m3 already"]);
    home.run(&["models", "convert", "nothing"]).refused_with(&["no model \"nothing\""]);
    // A folder where the file is to be.
    let taken = folder.path().to_str().expect("text");
    home.run(&["models", "convert", "mine", "--to", taken]).ended_with(1, &[taken]);
    assert!(!Path::new(&format!("{taken}.part")).exists(), "a part is left");
}

#[test]
fn what_nothing_can_use_any_more_is_told_and_goes_when_a_person_agrees() {
    let (home, folder) = (Home::new(), folder());
    let none = home.run(&["models", "prune"]);
    assert!(none.done().contains("no converted transformer is of no use"), "{none:?}");
    let source = with_a_wide_model(&home, folder.path());
    let by_path = folder.path().join("by path.safetensors");
    let mut other = tensors(TRANSFORMER);
    let (_, first) = other.iter_mut().next().expect("it has tensors");
    first.bytes[0] ^= 1;
    make::write(&by_path, &make::wide(&other));
    let by_path = by_path.to_str().expect("text");
    let convert = |model: &str| {
        let told = home.run(&["models", "convert", model, "--json"]).json();
        told["file"].as_str().expect("a path").to_owned()
    };
    let (of_mine, of_path) = (convert("mine"), convert(by_path));
    assert_ne!(of_mine, of_path);
    let converted = home.path().join(".cache/flux-tui/converted");
    std::fs::write(converted.join("mine.txt"), "a note").expect("it can be written");
    // Both sources are there, one of them where only its path leads.
    let told = home.run(&["models", "prune", "--yes"]);
    assert!(told.done().contains(&format!("stays  {of_path}")), "{told:?}");
    assert!(Path::new(&of_mine).exists() && Path::new(&of_path).exists());
    assert!(!home.run(&["models", "list"]).done().contains("of no use"));

    std::fs::write(converted.join("half.safetensors.part"), "half").expect("it can be written");
    std::fs::write(converted.join("broken.safetensors"), "<html>").expect("it can be written");
    std::fs::remove_file(by_path).expect("it is ours");
    other.values_mut().next().expect("it has tensors").bytes[0] ^= 2;
    make::write(Path::new(&source), &make::wide(&other));
    let list = home.run(&["models", "list"]);
    assert!(list.done().contains("4 converted transformers of no use"), "{list:?}");
    let told = home.run(&["models", "prune", "--dry-run"]);
    let why =
        |file: &str| told.done().lines().find(|line| line.contains(file)).unwrap_or_default().to_owned();
    assert!(why(&of_path).ends_with("what it was made from is gone") && why(&of_path).contains(by_path));
    assert!(why(&of_mine).ends_with("what it was made from is another file now"), "{told:?}");
    assert!(why("half.safetensors").ends_with("it was never finished"), "{told:?}");
    assert!(why("broken.safetensors").ends_with("it cannot be read"), "{told:?}");
    home.run(&["models", "prune"]).ended_with(1, &["nobody agreed"]);
    assert!(Path::new(&of_path).exists());
    let bytes = |file: &str| std::fs::metadata(file).expect("it is there").len();
    let all = bytes(&of_mine) + bytes(&of_path) + 4 + 6;
    let told = home.run(&["models", "prune", "--yes", "--json"]).json();
    assert_eq!((told["files"].as_array().map(Vec::len), told["freed"].as_u64()), (Some(4), Some(all)));
    let left: Vec<_> = std::fs::read_dir(&converted).expect("the folder stays").flatten().collect();
    assert_eq!(left.len(), 1, "what is not ours stays: {left:?}");
}
