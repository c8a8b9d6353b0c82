//! The whole program in a real terminal, with the real worker and the real model: what a person does
//! in their first minute, by keys alone.

mod home;
mod terminal;

use home::Home;
use portable_pty::CommandBuilder;
use terminal::Terminal;

fn open(home: &Home) -> Terminal {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_flux-tui"));
    for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "COLORTERM"] {
        command.env_remove(name);
    }
    command.env("HOME", home.path());
    command.cwd(home.path());
    Terminal::start(command)
}

/// The colours in the middle of the preview, once there are any.
fn drawn(screen: &vt100::Screen) -> Option<Vec<vt100::Color>> {
    let colours = Terminal::picture(screen);
    colours.iter().any(|colour| matches!(colour, vt100::Color::Rgb(..))).then_some(colours)
}

#[test]
fn type_draw_watch_cancel_leave_and_come_back() {
    let home = Home::new();
    let mut studio = open(&home);
    studio.see("Nothing to set up");
    studio.type_keys("a red apple, 3d");
    studio.see("T5 7/32");
    studio.type_keys("\r");
    let first = studio.until("a first preview", drawn);
    studio.until("another preview", |screen| drawn(screen).filter(|colours| *colours != first));
    studio.see("History 1");

    // A long one, cancelled: nothing of it is kept.
    studio.type_keys("\t200\r"); // the parameters open at the steps
    studio.see("steps 200");
    studio.see("drawing ");
    studio.type_keys("\x1b");
    studio.see("ready");
    studio.see("History 1");
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);

    // The worker went on meanwhile; the picture is still there to be seen.
    let mut again = open(&home);
    again.see("History 1");
    again.see("a red apple, 3d");
    again.type_keys("\x03");
    assert_eq!(again.ended(), 0);
}

/// Leaving does not stop work: the picture is finished by the worker and found by the next studio.
#[test]
fn a_picture_is_finished_after_its_studio_was_killed() {
    let home = Home::new();
    let mut studio = open(&home);
    studio.see("Nothing to set up");
    studio.type_keys("a tree, flat\r");
    studio.see("drawing ");
    studio.child.kill().expect("it can be killed");
    home.status_when("the picture is finished", |status| {
        status["queued"] == 0 && status["pictures"] == 1 && status["running"].is_null()
    });
    let mut again = open(&home);
    again.see("a tree, flat");
    again.see("History 1");
    again.type_keys("\x03");
    assert_eq!(again.ended(), 0);
}
