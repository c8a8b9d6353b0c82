//! What is said of a terminal by `flux-tui doctor terminal`, in terminals that answer, that do not, and that are none; and
//! the studio in a kitty behind a slow line.

mod home;
#[path = "terminal/slow.rs"]
mod slow;

use std::io::{Read as _, Write as _};
use std::sync::mpsc;
use std::time::Duration;

use home::Home;
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const WITHIN: Duration = Duration::from_secs(60);
/// ICANON and ECHO, as Linux numbers them.
const COOKED: u32 = 0o12;

/// What was written, its exit code, and whether the line is cooked again.
struct Ran {
    text: String,
    code: u32,
    cooked: bool,
}

/// Runs the program in a terminal of 80x24 that says `answers` when it is asked the last question, if there are any.
fn run(home: &Home, environment: &[(&str, &str)], arguments: &[&str], answers: Option<&str>) -> Ran {
    let size = PtySize { rows: 24, cols: 80, pixel_width: 800, pixel_height: 480 };
    let pair = native_pty_system().openpty(size).expect("a terminal");
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_flux-tui"));
    command.env_clear();
    command.env("HOME", home.path());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    environment.iter().for_each(|(name, value)| command.env(name, value));
    command.cwd(home.path());
    command.args(arguments);
    let mut child = pair.slave.spawn_command(command).expect("the program starts");
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().expect("the terminal can be read");
    let mut keys = pair.master.take_writer().expect("the terminal can be written");
    let answers = answers.map(str::to_owned);
    let (sender, written) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut bytes, mut piece, mut answers) = (Vec::new(), [0; 4096], answers);
        // Linux ends a terminal that nobody holds with an error.
        while let Ok(count @ 1..) = reader.read(&mut piece) {
            bytes.extend_from_slice(&piece[..count]);
            if bytes.windows(3).any(|asked| asked == b"\x1b[c")
                && let Some(answers) = answers.take()
            {
                keys.write_all(answers.as_bytes()).expect("the program reads");
            }
        }
        let _ = sender.send(bytes);
    });
    let Ok(bytes) = written.recv_timeout(WITHIN) else {
        child.kill().expect("it can be killed");
        panic!("{arguments:?} did not end within {WITHIN:?}");
    };
    let code = child.wait().expect("it has ended").exit_code();
    let modes = pair.master.get_termios().expect("the terminal's modes");
    let cooked = modes.local_flags.bits() & COOKED == COOKED;
    Ran { text: String::from_utf8_lossy(&bytes).into_owned(), code, cooked }
}

fn asked(environment: &[(&str, &str)], arguments: &[&str], answers: Option<&str>) -> Ran {
    let ran = run(&Home::new(), environment, &[&["doctor", "terminal"], arguments].concat(), answers);
    assert!(ran.code == 0 && ran.cooked, "{} {} {}", ran.code, ran.cooked, ran.text);
    ran
}

const XTERM: (&str, &str) = ("TERM", "xterm-256color");
const KITTY: &str =
    "\x1bP>|kitty(0.35.2)\x1b\\\x1b_Gi=31;OK\x1b\\\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\\x1b[?2026;2$y\x1b[?62;c";

#[test]
fn a_terminal_that_answers_is_told_of_and_the_card_is_drawn_by_its_protocol() {
    let kitty = asked(&[XTERM], &[], Some(KITTY));
    for line in [
        "kitty(0.35.2); TERM=xterm-256color",
        "10x20 pixels",
        "#1e1e2e, dark",
        "kitty's, by placeholders: it answers",
    ] {
        assert!(kitty.text.contains(line), "no {line:?} in {}", kitty.text);
    }
    assert!(kitty.text.contains("\x1b_Ga=T,U=1,") && kitty.text.contains("an orange circle"));
    let sixel = asked(&[XTERM], &[], Some("\x1b[?64;1;4c"));
    assert!(sixel.text.contains("sixel: it says so") && sixel.text.contains("\x1bP"), "{}", sixel.text);
    let blocks = asked(&[XTERM], &["--graphics", "halfblocks"], Some(KITTY));
    assert!(
        blocks.text.contains("half-blocks: as asked for") && blocks.text.contains('▀'),
        "{}",
        blocks.text
    );
}

#[test]
fn a_terminal_that_answers_nothing_is_given_up_and_a_dumb_one_is_not_asked() {
    let silent = asked(&[XTERM], &[], None);
    assert!(silent.text.contains("did not answer") && silent.text.contains('▀'), "{}", silent.text);
    let dumb = asked(&[("TERM", "dumb")], &[], None);
    assert!(dumb.text.contains("No card is shown"), "{}", dumb.text);
    assert!(!dumb.text.contains('\x1b') && !dumb.text.contains('▀'), "{:?}", dumb.text);
}

#[test]
fn ctrl_c_ends_it_and_the_terminal_is_as_it_was() {
    let ran = run(&Home::new(), &[XTERM], &["doctor", "terminal"], Some("\x03"));
    assert!(ran.code == 130 && ran.cooked, "{} {}", ran.code, ran.text);
}

#[test]
fn without_a_terminal_it_says_so() {
    Home::new().run(&["doctor", "terminal"]).ended_with(1, &["no terminal to ask", "without a pipe"]);
}

/// So many keys are seen between the pieces of pictures, or none will be.
const KEYS_MAX: usize = 2000;

#[test]
fn on_a_slow_line_keys_are_seen_between_the_pieces_of_a_picture_and_none_is_left_open() {
    let home = Home::new();
    let mut kitty = slow::Kitty::start(home.studio(), KITTY);
    kitty.see("ready");
    kitty.type_keys("fox\t200\r");
    // A word may come in two pieces, and so may it stand on the screen.
    kitty.until("a preview", slow::Sent::has_pictures);
    kitty.type_keys("\x1b[Z");
    // One key at a time, until one was seen while a picture was half there.
    for typed in 1.. {
        assert!(typed <= KEYS_MAX, "no key was seen while a picture was half there");
        kitty.type_keys("Q");
        kitty.until("the key's echo", |sent| sent.echoes('Q') >= typed);
        if kitty.sent(|sent| sent.has_echo_within_a_transmission('Q')) {
            break;
        }
    }
    // Left in the middle of one.
    kitty.until("a transmission that is under way", slow::Sent::is_open);
    kitty.type_keys("\x03");
    let sent = kitty.ended();
    assert!(!sent.is_open(), "the last transmission was not ended");
    assert_eq!(sent.misplaced(), None, "no other graphics command may stand within a transmission");
}
