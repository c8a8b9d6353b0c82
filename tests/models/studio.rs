//! A person chooses, fetches and draws with a model by keys alone, in a real terminal.

use flux_tui::engine::dit::config::Config;
use portable_pty::CommandBuilder;

use crate::home::Home;
use crate::place::Place;
use crate::server::{Manner, Server};
use crate::sparse;
use crate::terminal::Terminal;
use crate::tiny::{fast, slow};

const PICKER: &str = "\x1bOQ"; // F2

/// The studio in a home, with a hub on this machine and the variables that a person would set.
fn open(home: &Home, server: &Server, token: Option<&str>) -> Terminal {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_flux-tui"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        let other = ["HF_", "HUGGING", "MODELSCOPE_", "XDG_", "COLORTERM"]
            .iter()
            .any(|start| text.starts_with(start));
        if other || text.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    command.env("HOME", home.path());
    command.env("HF_ENDPOINT", server.endpoint());
    command.env("MODELSCOPE_ENDPOINT", server.endpoint());
    token.into_iter().for_each(|token| command.env("HF_TOKEN", token));
    command.cwd(home.path());
    Terminal::start(command)
}

/// The words of the screen, however they are broken into lines; borders are left out.
fn words(screen: &vt100::Screen) -> String {
    let text = screen.contents().replace(['│', '╭', '╮', '╰', '╯', '─', '├', '┤'], " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn read(studio: &Terminal, text: &str) {
    studio.until(text, |screen| words(screen).contains(text).then_some(()));
}

#[test]
fn open_pick_fetch_watch_and_draw() {
    let mut place = Place::new(&slow());
    place.start();
    let mut studio = open(&place.home, &place.server, None);
    studio.see("Nothing to set up");
    studio.see("ready");
    studio.type_keys(PICKER);
    studio.see("tiny, for tests");
    studio.type_keys("tin");
    studio.see("Models: tin");
    studio.type_keys("\r");
    read(&studio, "tiny: over 12.6 MB to fetch, 61.0 GB free. ⏎ fetches it, Esc does not.");
    studio.type_keys("\r");
    // In the list, and, once that is closed, in the first line.
    studio.until("percent in the list", |screen| {
        screen.rows(0, 80).any(|row| row.contains("tiny") && row.contains(" % · ")).then_some(())
    });
    read(&studio, "of 2 files");
    studio.type_keys("\x1b");
    studio.until("progress in the first line", |screen| {
        let first = screen.rows(0, 80).next().unwrap_or_default();
        (first.contains("fetching tiny") && !screen.contents().contains("Models")).then_some(())
    });
    studio.see("tiny is here and can be drawn with");
    studio.type_keys("\x1b");
    studio.type_keys(PICKER);
    studio.type_keys("tiny");
    studio.until("a model that is ready", |screen| {
        screen.rows(0, 80).any(|row| row.contains("tiny, for tests") && row.contains("ready")).then_some(())
    });
    studio.type_keys("\r");
    studio.until("the model among the parameters", |screen| {
        screen.rows(0, 37).any(|row| row.starts_with("│ tiny ")).then_some(())
    });
    studio.type_keys("a red apple, 3d\r");
    studio.see("History 1");
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
    let pictures = place.files(".png");
    let [picture] = &pictures[..] else { panic!("one picture, not {pictures:?}") };
    let shown = place.home.run(&["show", picture.to_str().expect("it is text"), "--json"]);
    assert!(shown.done().contains("\"tiny\""), "{shown:?}");
}

#[test]
fn a_gate_is_told_before_and_after() {
    let (home, server) = (Home::new(), Server::start());
    let gated =
        Manner { refuse_head: Some((403, "X-Error-Code: GatedRepo\r\n".to_owned())), ..Manner::default() };
    server.publish("black-forest-labs/FLUX.1-dev/flux1-dev.safetensors", vec![1; 10], gated);
    let mut studio = open(&home, &server, Some("hf_somebody"));
    studio.see("Nothing to set up");
    studio.type_keys(PICKER);
    studio.see("34.2 GB to fetch, gated");
    studio.type_keys("flux1-dev\r");
    read(&studio, "flux1-dev: 34.2 GB to fetch, ");
    read(&studio, "its terms must be accepted first at https://huggingface.co/black-forest-labs/FLUX.1-dev");
    studio.type_keys("\r");
    studio.see("not fetched");
    let page = format!("{}/black-forest-labs/FLUX.1-dev", server.endpoint());
    read(&studio, &format!("is gated: open {page}, accept its terms as somebody"));
    studio.type_keys("\x1b");
    studio.until("closed picker", |screen| (!screen.contents().contains("Models")).then_some(()));
    read(
        &studio,
        "flux1-dev was not fetched: hf:black-forest-labs/FLUX.1-dev/flux1-dev.safetensors is gated",
    );
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
}

/// Where the catalogue has the transformer of flux1-dev-q4.
const Q4: &str = "city96/FLUX.1-dev-gguf/flux1-dev-Q4_K_S.gguf";

fn all_but_the_transformer(home: &Home) {
    for id in ["t5-xxl-fp16", "clip-l", "flux1-vae"] {
        sparse::published(id, &home.path().join("ComfyUI/models").join(id));
    }
}

/// A transformer that takes what FLUX.1's encoders give, with one block of each kind.
fn small_transformer(home: &Home) -> Vec<u8> {
    let few = Config {
        hidden: 256,
        heads: 2,
        mlp: 1024,
        double_blocks: 1,
        single_blocks: 1,
        ..Config::flux1_dev()
    };
    let shapes = few.tensors().into_iter().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect();
    std::fs::read(sparse::gguf(&home.path().join("small.gguf"), &shapes)).expect("it is there")
}

/// The program's own catalogue and worker: encoders and VAE are here, the transformer is fetched.
#[test]
fn a_model_of_the_catalogue_is_ready_once_its_last_file_has_come() {
    let (home, server) = (Home::new(), Server::start());
    all_but_the_transformer(&home);
    server.publish(Q4, small_transformer(&home), fast());
    let mut studio = open(&home, &server, None);
    studio.see("Nothing to set up");
    studio.type_keys(PICKER);
    studio.type_keys("dev-q4");
    read(&studio, "size not known, to fetch");
    studio.type_keys("\r");
    read(&studio, "⏎ fetches it");
    studio.type_keys("\r");
    studio.see("flux1-dev-q4 is here and can be drawn with");
    studio.until("ready in the list", |screen| {
        screen.rows(0, 80).any(|row| row.contains("flux1-dev-q4") && row.contains("ready ·")).then_some(())
    });
    studio.type_keys("\r");
    studio.until("its name among the parameters", |screen| {
        screen.rows(0, 37).any(|row| row.starts_with("│ flux1-dev-q4 ")).then_some(())
    });
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
    let told = home.run(&["models", "list", "--json"]).json();
    let model =
        told["models"].as_array().and_then(|models| models.iter().find(|one| one["name"] == "flux1-dev-q4"));
    assert_eq!(model.map(|model| &model["here"]), Some(&true.into()), "{told}");
}

/// Checked, found damaged, removed, fetched again: by keys alone.
#[test]
fn a_damaged_file_is_found_removed_and_fetched_again() {
    let mut place = Place::new(&fast());
    place.start();
    let mut studio = open(&place.home, &place.server, None);
    studio.see("Nothing to set up");
    studio.type_keys(PICKER);
    studio.see("tiny, for tests");
    studio.type_keys("tiny");
    studio.see("Models: tiny");
    studio.type_keys("\r");
    read(&studio, "⏎ fetches it");
    studio.type_keys("\r");
    studio.see("tiny is here and can be drawn with");
    studio.until("ready in the list", |screen| {
        screen.rows(0, 80).any(|row| row.contains("tiny") && row.contains("ready ·")).then_some(())
    });
    studio.type_keys("\x16"); // Ctrl-V
    read(&studio, "checked: 2 files are right");
    let path = place.models.path("me/tiny/ae.safetensors");
    let mut content = std::fs::read(&path).expect("it is there");
    content[5000] ^= 1;
    std::fs::write(&path, content).expect("it can be written");
    studio.type_keys("\x16");
    studio.see("damaged");
    read(&studio, "remove the model and fetch it again");
    studio.type_keys("\x04"); // Ctrl-D
    read(&studio, "tiny: removing frees");
    read(&studio, "in 2 files. ⏎ removes it, Esc does not.");
    studio.type_keys("\r");
    studio.see("tiny was removed");
    assert!(!path.exists());
    read(&studio, "over 12.6 MB to fetch");
    studio.type_keys("\r");
    read(&studio, "⏎ fetches it");
    studio.type_keys("\r");
    studio.until("ready again", |screen| {
        screen.rows(0, 80).any(|row| row.contains("tiny") && row.contains("ready ·")).then_some(())
    });
    assert!(place.models.has("tiny"));
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
}

/// The program's own worker: what a model is and where, a check of 10 GB that is cancelled, and a removal that leaves a
/// person's own files.
#[test]
fn what_a_model_is_and_where_and_its_removal() {
    let (home, server) = (Home::new(), Server::start());
    all_but_the_transformer(&home);
    server.publish(Q4, small_transformer(&home), fast());
    let mut studio = open(&home, &server, None);
    studio.see("Nothing to set up");
    studio.type_keys(PICKER);
    studio.type_keys("dev-q4");
    read(&studio, "size not known, to fetch");
    studio.type_keys("\x04");
    read(&studio, "nothing of it was fetched by flux-tui, which removes only what it fetched");
    studio.type_keys("\x0f"); // Ctrl-O
    read(&studio, "flux1-dev-q4: what it is");
    read(&studio, "no: the transformer is missing");
    studio.type_keys("\x1b");
    studio.see("Models: dev-q4");
    studio.type_keys("\r");
    read(&studio, "⏎ fetches it");
    studio.type_keys("\r");
    studio.see("flux1-dev-q4 is here and can be drawn with");
    studio.until("ready in the list", |screen| {
        screen.rows(0, 80).any(|row| row.contains("flux1-dev-q4") && row.contains("ready ·")).then_some(())
    });
    studio.type_keys("\x0f");
    read(&studio, "its weights take");
    read(&studio, "FLUX.1 dev, or a fine-tune of it");
    studio.type_keys("\x17"); // Ctrl-W
    read(&studio, "flux1-dev-q4: where it is");
    read(&studio, "ComfyUI/models/clip-l");
    studio.type_keys("\x1b");
    studio.see("Models: dev-q4");
    studio.type_keys("\x16");
    studio.until("progress in the first line", |screen| {
        screen.rows(0, 80).next().unwrap_or_default().contains("checking flux1-dev-q4").then_some(())
    });
    studio.type_keys("\x04");
    read(&studio, "its files are being checked; cancel that first");
    studio.type_keys("\x18"); // Ctrl-X
    studio.until("no check", |screen| (!screen.contents().contains("checking")).then_some(()));
    studio.type_keys("\x04");
    read(&studio, "flux1-dev-q4: removing frees");
    studio.type_keys("\r");
    studio.see("flux1-dev-q4 was removed");
    read(&studio, "size not known, to fetch");
    assert!(home.path().join("ComfyUI/models/t5-xxl-fp16").exists(), "it is the person's own");
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
    let told = home.run(&["models", "list", "--json"]).json();
    let q4 = told["models"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "flux1-dev-q4"));
    assert_eq!(q4.map(|model| &model["here"]), Some(&false.into()), "{told}");
}

/// A person's own model, by an address: fetched in the studio like those of the catalogue.
#[test]
fn a_persons_own_model_is_fetched_by_its_address() {
    let (home, server) = (Home::new(), Server::start());
    all_but_the_transformer(&home);
    server.publish("me/own/测试 x.gguf", small_transformer(&home), fast());
    let config = home.path().join(".config/flux-tui");
    std::fs::create_dir_all(&config).expect("room");
    let text = "[[model]]\nname = \"mine\"\nbase = \"flux1-dev\"\ntransformer = \"hf:me/own/测试 x.gguf\"\n";
    std::fs::write(config.join("models.toml"), text).expect("room");
    let mut studio = open(&home, &server, None);
    studio.see("Nothing to set up");
    studio.type_keys(PICKER);
    studio.type_keys("mine");
    read(&studio, "size not known, to fetch");
    studio.type_keys("\r");
    read(&studio, "⏎ fetches it");
    studio.type_keys("\r");
    studio.see("mine is here and can be drawn with");
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
    let told = home.run(&["models", "where", "mine", "--json"]).json();
    let at = told["parts"][0]["at"].as_str().unwrap_or_default();
    assert!(at.ends_with("测试 x.gguf") && at.contains("models--me--own"), "{told}");
    let checked = home.run(&["models", "verify", "hf:me/own/测试 x.gguf", "--json"]).json();
    assert_eq!(checked["files"][0]["verdict"], "right", "{checked}");
}

/// Nothing that was taken on is lost: the next worker goes on by itself, and the studio that is open sees it.
#[test]
fn a_killed_worker_is_followed_by_one_that_fetches_the_rest() {
    let (home, server) = (Home::new(), Server::start());
    all_but_the_transformer(&home);
    let content = small_transformer(&home);
    let drip = Manner { pace: Some((16 * 1024, std::time::Duration::from_millis(200))), ..fast() };
    server.publish(Q4, content.clone(), drip);
    let mut studio = open(&home, &server, None);
    studio.see("Nothing to set up");
    studio.type_keys(PICKER);
    studio.type_keys("dev-q4");
    read(&studio, "size not known, to fetch");
    studio.type_keys("\r");
    read(&studio, "⏎ fetches it");
    studio.type_keys("\r");
    studio.see("fetching flux1-dev-q4");
    let status = home.run(&["worker", "status", "--json"]).json();
    let pid = status["worker"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(rustix::process::Pid::from_raw).expect("a process");
    server.publish(Q4, content, fast());
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it can be killed");
    studio.until("ready in the list", |screen| {
        screen.rows(0, 80).any(|row| row.contains("flux1-dev-q4") && row.contains("ready ·")).then_some(())
    });
    let next = home.run(&["worker", "status", "--json"]).json();
    assert_ne!(next["worker"]["pid"], status["worker"]["pid"]);
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
}
