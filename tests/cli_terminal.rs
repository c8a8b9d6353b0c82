//! What only a terminal shows: the picture in half-blocks, and that a terminal which answers no
//! question keeps nobody waiting.

mod home;

use std::io::Read as _;
use std::sync::mpsc;
use std::time::Duration;

use flux_tui::job::{Prompt, Recipe, Size, Times};
use flux_tui::library::png;
use flux_tui::model::ModelName;
use home::Home;
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const WITHIN: Duration = Duration::from_secs(60);

/// Runs the program in a terminal of 80x24 that never answers. Gives all it wrote and its code.
fn run_in_terminal(home: &Home, term: &str, arguments: &[&str]) -> (Vec<u8>, u32) {
    let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).expect("a terminal");
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_flux-tui"));
    command.env_clear();
    command.env("HOME", home.path());
    command.env("TERM", term);
    command.cwd(home.path());
    command.args(arguments);
    let mut child = pair.slave.spawn_command(command).expect("the program starts");
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().expect("the terminal can be read");
    let (sender, written) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // Linux ends a terminal that nobody holds with an error.
        let _ = reader.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    let Ok(bytes) = written.recv_timeout(WITHIN) else {
        child.kill().expect("it can be killed");
        panic!("{arguments:?} did not end within {WITHIN:?} in a terminal that answers nothing");
    };
    (bytes, child.wait().expect("it has ended").exit_code())
}

fn screen(bytes: &[u8]) -> String {
    let mut parser = vt100::Parser::new(60, 80, 0);
    parser.process(bytes);
    parser.screen().contents()
}

fn home_with_picture() -> Home {
    let home = Home::new();
    let recipe = Recipe {
        template: None,
        prompt: Prompt::new("a red apple").expect("text"),
        model: ModelName::new("nano"),
        size: Size::new(32, 32).expect("on the grid"),
        steps: 20,
        guidance: 3.0,
        seed: 7,
        precision: "fp32".to_owned(),
        cuts: Vec::new(),
        times: Times::default(),
        loras: Vec::new(),
    };
    let png = png::encode(&[200; 32 * 32 * 3], &recipe).expect("the pixels fit");
    std::fs::write(home.path().join("a.png"), png).expect("there is room");
    home
}

#[test]
fn show_draws_half_blocks_and_the_parameters_below() {
    let home = home_with_picture();
    let (bytes, code) = run_in_terminal(&home, "xterm-256color", &["show", "a.png"]);
    let screen = screen(&bytes);
    assert_eq!(code, 0, "{screen}");
    assert_eq!(screen.matches('▄').count(), 32 * 16, "{screen}");
    let (picture, below) = (screen.rfind('▄').expect("drawn"), screen.find("a red apple").expect("told"));
    assert!(picture < below, "{screen}");
}

#[test]
fn no_display_draws_nothing() {
    let home = home_with_picture();
    let (bytes, code) = run_in_terminal(&home, "xterm-256color", &["show", "a.png", "--no-display"]);
    assert_eq!((code, screen(&bytes).matches('▄').count()), (0, 0));
}

#[test]
fn a_terminal_that_says_it_is_kitty_and_answers_nothing_is_not_waited_for() {
    let home = home_with_picture();
    let (bytes, code) = run_in_terminal(&home, "xterm-kitty", &["show", "a.png"]);
    let text = String::from_utf8_lossy(&bytes);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("\u{1b}_Ga=T,f=100,q=2,"), "{text}");
}

#[test]
fn generate_draws_its_picture_and_names_its_file() {
    let home = Home::new();
    let (bytes, code) = run_in_terminal(&home, "xterm-256color", &["generate", "a red apple", "--seed", "7"]);
    let screen = screen(&bytes);
    assert_eq!(code, 0, "{screen}");
    assert!(screen.matches('▄').count() > 500, "{screen}");
    assert!(screen.contains("seed 7") && screen.contains("128×128") && screen.contains(".png"), "{screen}");
}
