//! A person makes the studio theirs, by keys and files alone, in a real terminal: keys, the palette,
//! themes, layouts. The real program with its real worker.

mod home;
mod terminal;

use std::fs;
use std::path::PathBuf;

use home::Home;
use terminal::Terminal;

const ALT_X: &str = "\x1bx";
const ALT_Z: &str = "\x1bz";
const F6: &str = "\x1b[17~";
const F8: &str = "\x1b[19~";
const F9: &str = "\x1b[20~";
const F12: &str = "\x1b[24~";
const CTRL_C: &str = "\x03";

fn open(home: &Home) -> Terminal {
    Terminal::start(home.studio())
}

/// A file in the configuration's folder.
fn configured(home: &Home, name: &str, text: &str) -> PathBuf {
    let file = home.path().join(".config/flux-tui").join(name);
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(&file, text).expect("there is room");
    file
}

fn leave(mut studio: Terminal) {
    studio.type_keys(CTRL_C);
    assert_eq!(studio.ended(), 0);
}

/// The first row is there without the pane: what was alone has the screen.
fn gone(studio: &Terminal, text: &str) {
    studio
        .until(&format!("screen without {text}"), |screen| (!screen.contents().contains(text)).then_some(()));
}

/// The colour of the word that begins the screen's last row.
fn key_colour(screen: &vt100::Screen) -> Option<vt100::Color> {
    screen.cell(23, 1).map(vt100::Cell::fgcolor)
}

#[test]
fn a_persons_own_keys_and_what_is_wrong_with_them() {
    let home = Home::new();
    let text = "[everywhere]\nmodels = \"F12\"\n\n[queue]\ndrop-jobs = \"x\"\n";
    configured(&home, "keymap.toml", text);
    let mut studio = open(&home);
    studio.see("line 5: there is no");
    studio.see("\"drop-jobs\"; most like it are drop-job");
    studio.type_keys(F12);
    studio.see("Models");
    studio.see("Apache-2.0");
    studio.type_keys("\x1b");
    gone(&studio, "Apache-2.0");
    // Changed while it is open: the key moves, and the mistake is gone.
    configured(&home, "keymap.toml", "[everywhere]\nhelp = \"F12\"\n");
    studio.until("the help by its new key", |screen| screen.contents().contains("F12 help").then_some(()));
    leave(studio);
    let ran = home.run(&["keys"]);
    assert!(ran.done().contains("help = \"F12\""), "{ran:?}");
}

#[test]
fn everything_is_found_by_its_name() {
    let home = Home::new();
    let mut studio = open(&home);
    studio.see("finds anything by its name");
    studio.type_keys(ALT_X);
    studio.see("Find and do");
    studio.type_keys("size 64x96\r");
    studio.see("64 × 96");
    studio.type_keys(ALT_X);
    studio.type_keys("next pane\r");
    // Outside the prompt a colon opens it too.
    studio.type_keys(":");
    studio.see("Find and do");
    studio.type_keys("steps 3\r");
    studio.see("steps 3");
    studio.type_keys(":told session");
    studio.see("what was told in this session");
    studio.type_keys("\r");
    studio.see("connected to worker");
    studio.type_keys("\x1b");
    // Behind an escape that is on its way a key would be one with Alt.
    gone(&studio, "connected to worker");
    leave(studio);
    // The first lines are shown once.
    let again = open(&home);
    again.see("Nothing to set up");
    again.see("ready");
    gone(&again, "finds anything by its name");
    leave(again);
}

#[test]
fn a_theme_is_tried_kept_and_changed_on_disk() {
    let home = Home::new();
    let config = configured(&home, "config.toml", "# mine\n\n[defaults]\nsteps = 7 # few\n");
    let mut studio = open(&home);
    studio.see("ready");
    let dark = studio.until("a first colour", key_colour);
    studio.type_keys(F9);
    studio.see("high-contrast");
    studio.type_keys("\x1b[B\x1b[B");
    studio.until("another colour while it is tried", |screen| {
        key_colour(screen).filter(|colour| *colour != dark)
    });
    studio.type_keys("\r");
    gone(&studio, "high-contrast");
    studio.until("the theme in the file", |_| {
        let text = fs::read_to_string(&config).expect("it is there");
        (text == "theme = \"lagoon\"\n# mine\n\n[defaults]\nsteps = 7 # few\n").then_some(())
    });
    // A theme of one's own, by the file alone; then it is edited, and then broken.
    let dark = include_str!("../themes/dark.toml");
    let red = dark.replacen("text   = \"#d3d7de\"", "text   = \"#fe0102\"", 1);
    configured(&home, "themes/mine.toml", &red);
    configured(&home, "config.toml", "theme = \"mine\"\n");
    let is = |wanted| move |screen: &vt100::Screen| (key_colour(screen) == Some(wanted)).then_some(());
    studio.until("the theme of the file", is(vt100::Color::Rgb(0xfe, 1, 2)));
    configured(&home, "themes/mine.toml", &red.replace("#fe0102", "#03fe04"));
    studio.until("the edited theme", is(vt100::Color::Rgb(3, 0xfe, 4)));
    configured(&home, "themes/mine.toml", "[roles]\n");
    studio.see("mine.toml, line 1");
    studio.until("the theme as it was", is(vt100::Color::Rgb(3, 0xfe, 4)));
    leave(studio);
}

#[test]
fn a_box_alone_and_a_layout_that_is_remembered() {
    let home = Home::new();
    let mut studio = open(&home);
    studio.see("Nothing to set up");
    studio.type_keys("a red apple");
    studio.type_keys(ALT_Z);
    gone(&studio, "Preview");
    studio.see("a red apple");
    studio.type_keys("\x1b");
    studio.see("Preview");
    // Automatic, wide, tall (too high for this window), small: the lists share a box.
    studio.type_keys(F6);
    studio.type_keys(F6);
    studio.type_keys(F6);
    gone(&studio, "Queue 0");
    studio.type_keys(F8);
    studio.see("Log of this session");
    studio.type_keys("q");
    gone(&studio, "Log of this session");
    leave(studio);
    let again = open(&home);
    again.see("History 0");
    again.see("ready");
    gone(&again, "Queue 0");
    leave(again);
}

#[test]
fn whoever_looks_elsewhere_is_called_and_the_title_says_what_is_drawn() {
    const TITLE_KEPT: &str = "\x1b[22;2t";
    const TITLE_BACK: &str = "\x1b[23;2t";
    let home = Home::new();
    let text = "[terminal]\nnotify = \"osc9\"\nnotify_after = \"0s\"\nprogress = \"on\"\n";
    configured(&home, "config.toml", text);
    let mut studio = open(&home);
    studio.sent(&format!("{TITLE_KEPT}\x1b]2;flux-tui\x1b\\"));
    studio.see("Nothing to set up");
    // The window loses the focus.
    studio.type_keys("\x1b[O");
    studio.type_keys("a red apple, 3d\r");
    studio.sent("\x1b]2;\u{25b8} a red apple, 3d \u{2013} flux-tui\x1b\\");
    studio.sent("\x1b]9;1 picture drawn: a red apple, 3d\x1b\\");
    studio.see("History 1");
    studio.sent("\x1b]9;4;0\x1b\\");
    leave_heard(studio, TITLE_BACK);
}

/// Leaves, and hears these bytes on the way.
fn leave_heard(mut studio: Terminal, bytes: &str) {
    studio.type_keys(CTRL_C);
    studio.sent(bytes);
    assert_eq!(studio.ended(), 0);
}
