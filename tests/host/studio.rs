//! The studio here, the worker there.

use crate::far::{HOST, Line};
use crate::terminal::Terminal;

/// The colours in the middle of the preview, once there are any.
fn drawn(screen: &vt100::Screen) -> Option<Vec<vt100::Color>> {
    let colours = Terminal::picture(screen);
    colours.iter().any(|colour| matches!(colour, vt100::Color::Rgb(..))).then_some(colours)
}

#[test]
fn a_picture_is_drawn_over_a_line_that_breaks_in_the_middle_of_it() {
    let line = Line::new();
    let mut studio = line.studio(&["--host", HOST]);
    studio.see("Nothing to set up");
    studio.see(HOST);
    studio.type_keys("a red apple, 3d\t200\r"); // the parameters open at the steps
    studio.see("drawing ");
    studio.until("a preview", drawn);

    line.write("cut", "");
    line.break_off();
    studio.see("next try in ");
    studio.see("the line to ann@server broke");
    // It counts down, tries, says why not, and waits longer.
    studio.see("No route to");
    studio.until("the last preview still", drawn);
    studio.see("next try in 2 s");
    studio.see("next try in 1 s");
    studio.see("next try in 4 s");

    // The worker there has gone on without us.
    line.far.status_when("the picture is finished", |status| status["pictures"] == 1);
    line.remove("cut");
    studio.type_keys("\x1b[15~"); // F5
    studio.see("ready");
    studio.see("History 1");
    studio.until("the picture", drawn);
    assert!(!studio.until("what is said", |screen| Some(screen.contents())).contains("broke"));
    let asked = line.asked();
    assert!(!asked[0].contains("BatchMode"), "the first may ask for a password: {}", asked[0]);
    assert!(asked[1..].iter().all(|asked| asked.contains("BatchMode=yes")), "{asked:?}");

    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
    line.nothing_here();
}

#[test]
fn a_line_that_comes_back_shows_the_picture_that_is_still_being_drawn() {
    let line = Line::new();
    let mut studio = line.studio(&["--host", HOST]);
    studio.see("Nothing to set up");
    studio.type_keys("a red apple, 3d\t200\r");
    studio.see("drawing ");
    for _ in 0..3 {
        line.break_off();
        studio.see("next try in ");
        studio.type_keys("\x1b[15~");
        studio.see("drawing ");
        studio.until("a preview", drawn);
    }
    studio.see("History 1");
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
    let status = line.far.run(&["worker", "status", "--json"]).json();
    assert_eq!((&status["pictures"], &status["queued"]), (&1.into(), &0.into()));
}
