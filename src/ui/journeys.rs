//! Whole journeys: the loop in a real PTY with a worker that pretends, keys in, screen out. What is
//! tested here is what only a terminal shows: modes, signals, late replies, leaving.

#[path = "../../tests/terminal/mod.rs"]
mod terminal;

use portable_pty::{CommandBuilder, PtySize};

use terminal::Terminal;

const BY_HAND: &str = "ui::fake::studio_by_hand";

/// Runs one of the ignored tests of `ui::fake` in a terminal.
fn start(test: &str) -> Terminal {
    let mut command = CommandBuilder::new(std::env::current_exe().expect("this test's program"));
    command.args([test, "--exact", "--ignored", "--nocapture"]);
    Terminal::start(command)
}

#[test]
fn type_draw_watch_leave() {
    let mut journey = start(BY_HAND);
    journey.see("Nothing to set up");
    // A reply that comes while someone types is no keystroke, and takes none.
    journey.type_keys("a red\x1bP>|XTerm(379)\x1b\\ apple\x1b[?64;1;2c");
    journey.see("a red apple");
    journey.see("T5 5/32");
    journey.type_keys("\r");
    journey.see("drawing ");
    let first = journey.until("first preview", |screen| {
        let colours = Terminal::picture(screen);
        colours.iter().any(|colour| matches!(colour, vt100::Color::Rgb(..))).then_some(colours)
    });
    journey.until("another preview", |screen| (Terminal::picture(screen) != first).then_some(()));
    journey.see("History 1");
    journey.see("20 steps ·");
    journey.type_keys("\x03");
    assert_eq!(journey.ended(), 0);
}

#[test]
fn cancel_and_help_and_history() {
    let mut journey = start(BY_HAND);
    journey.see("Nothing to set up");
    journey.type_keys("\x1b[200~pasted\nin two lines\x1b[201~\r");
    journey.see("in two lines");
    journey.see("drawing ");
    journey.type_keys("\x1b");
    journey.see("ready");
    journey.see("History 0");
    journey.type_keys("\x1bOP");
    journey.see("next pane");
    journey.type_keys("q\t\tq");
    assert_eq!(journey.ended(), 0);
}

/// The time that a process has had on the CPU, in the system's ticks (10 ms).
fn ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // What is in parentheses may have spaces; user and system time are the 12th and 13th behind it.
    let fields = text.rsplit_once(')').expect("a name").1.split_whitespace();
    fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum()
}

#[test]
fn idle_it_writes_nothing_and_uses_no_cpu() {
    let mut journey = start(BY_HAND);
    journey.see("Nothing to set up");
    journey.type_keys("a red apple");
    journey.see("T5 5/32");
    // What was on its way when that was seen may still come; then nothing does.
    let second = std::time::Duration::from_secs(1);
    while journey.written_within(second) > 0 {}
    let pid = journey.child.process_id().expect("a process");
    let before = ticks(pid);
    assert_eq!(journey.written_within(3 * second), 0);
    let used = ticks(pid) - before;
    assert!(used <= 2, "{used} ticks of 10 ms in three seconds");
    journey.type_keys("\x03");
    assert_eq!(journey.ended(), 0);
}

#[test]
fn a_signal_and_a_resize() {
    let journey = start(BY_HAND);
    journey.see("Nothing to set up");
    let small = PtySize { rows: 10, cols: 40, pixel_width: 0, pixel_height: 0 };
    journey.master.resize(small).expect("it is resized");
    journey.see("needs 60x15");
    let pid = journey.child.process_id().and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(rustix::process::Pid::from_raw).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is told to end");
    assert_eq!(journey.ended(), 0);
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_read_there() {
    let journey = start("ui::fake::studio_that_panics");
    journey.see("broken on purpose");
    assert_ne!(journey.ended(), 0);
}
