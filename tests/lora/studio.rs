//! A person chooses a LoRA by keys alone, in a real terminal, with the real worker and the built-in model.

use flux_tui::job::UsedLora;

use crate::home::Home;
use crate::program::{keep, recipe};
use crate::terminal::Terminal;

const PICKER: &str = "\x1bOR"; // F3
const LEFT: &str = "\x1b[D";
const SWITCH: &str = "\x14"; // Ctrl-T

fn open(home: &Home) -> Terminal {
    Terminal::start(home.studio())
}

/// Waits until a text is gone.
fn gone(studio: &Terminal, text: &str) {
    studio
        .until(&format!("screen without {text}"), |screen| (!screen.contents().contains(text)).then_some(()));
}

/// The LoRAs of the pictures of a home, the newest first.
fn drawn(home: &Home) -> Vec<Vec<UsedLora>> {
    let told = home.run(&["library", "list", "--json"]).json();
    let pictures = told["pictures"].as_array().expect("a list");
    let path = |picture: &serde_json::Value| picture["path"].as_str().expect("a path").to_owned();
    pictures.iter().map(|picture| recipe(path(picture).as_ref()).loras).collect()
}

#[test]
fn find_add_weaken_draw_and_take_it_back_from_the_history() {
    let home = Home::new();
    keep(&home, "kohya", ".local/share/flux-tui/loras/风格/水墨.safetensors");
    keep(&home, "peft", ".local/share/flux-tui/loras/soft.safetensors");
    let mut studio = open(&home);
    studio.see("Nothing to set up");
    studio.see("ready");
    studio.type_keys("a red apple");
    studio.type_keys(PICKER);
    studio.see("风格/水墨");
    studio.see("soft");
    studio.type_keys("墨");
    studio.see("LoRAs: 墨");
    gone(&studio, "soft");
    studio.see("kohya LoRA of rank");
    studio.type_keys("\r");
    studio.see("水墨 1");
    studio.type_keys(&LEFT.repeat(3));
    studio.see("水墨 0.85");
    studio.type_keys(SWITCH);
    studio.see("水墨 0.85 off");
    studio.type_keys(SWITCH);
    gone(&studio, "0.85 off");
    studio.type_keys("\x1b");
    gone(&studio, "LoRAs: 墨");
    studio.see("LoRAs 水墨 0.85");
    studio.type_keys("\r");
    studio.see("History 1");
    let told = |loras: &[UsedLora]| -> Vec<_> {
        loras.iter().map(|lora| (lora.file.clone(), lora.strength, lora.tagged)).collect()
    };
    let expected = vec![("风格/水墨".to_owned(), 0.85, false)];
    assert_eq!(told(&drawn(&home)[0]), expected);

    // Without it; a file that has come meanwhile is there to be chosen.
    keep(&home, "lokr", ".local/share/flux-tui/loras/mist.safetensors");
    studio.type_keys(PICKER);
    studio.see("mist");
    studio.type_keys("\r");
    gone(&studio, "0.85");
    // The hints come last in a frame: before they are seen, Escape and what follows it could be taken for one key.
    studio.see("letters filter");
    studio.type_keys("\x1b");
    gone(&studio, "letters filter");
    studio.type_keys("\r");
    studio.see("History 2");
    assert_eq!(drawn(&home).iter().map(|loras| told(loras)).collect::<Vec<_>>(), [Vec::new(), expected]);

    // The older picture is taken back with its LoRA.
    studio.type_keys("\x1b[Z"); // Shift-Tab: from the prompt to the history
    studio.type_keys("j\r");
    studio.see("LoRAs 水墨 0.85");
    studio.type_keys("\x07"); // Ctrl-R
    studio.see("History 3");
    let pictures = drawn(&home);
    assert_eq!(pictures[0][0].hash, pictures[2][0].hash);
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
}

#[test]
fn an_open_picker_follows_the_folders_and_shows_pictures() {
    let home = Home::new();
    keep(&home, "kohya", ".local/share/flux-tui/loras/ink.safetensors");
    let mut studio = open(&home);
    studio.see("ready");
    studio.type_keys(PICKER);
    studio.see("kohya LoRA of rank");
    // One comes, in a folder that comes with it; a picture comes beside another; one changes; one goes.
    keep(&home, "peft", ".local/share/flux-tui/loras/风格/soft.safetensors");
    studio.see("风格/soft");
    gone(&studio, "▀");
    let picture = home.path().join(".local/share/flux-tui/loras/ink.preview.png");
    image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8 * 4, y as u8 * 4, 90]))
        .save(&picture)
        .expect("it can be written");
    studio.until("a picture of it", |screen| screen.contents().contains('▀').then_some(()));
    std::fs::write(home.path().join(".local/share/flux-tui/loras/ink.safetensors"), "<html>")
        .expect("it is ours");
    studio.see("cannot be used");
    std::fs::remove_dir_all(home.path().join(".local/share/flux-tui/loras/风格")).expect("it is ours");
    gone(&studio, "风格/soft");
    std::fs::remove_dir_all(home.path().join(".local/share/flux-tui/loras")).expect("it is ours");
    studio.see("there is no LoRA here");
    keep(&home, "lokr", ".local/share/flux-tui/loras/mist.safetensors");
    studio.see("mist");
}
