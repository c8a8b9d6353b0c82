//! The whole program in a real terminal, with the real worker and the real model: what a person does
//! in their first minute, by keys alone.

mod home;
mod terminal;

use home::Home;
use portable_pty::CommandBuilder;
use terminal::Terminal;

const PROGRAM: &str = env!("CARGO_BIN_EXE_flux-tui");

fn open(home: &Home) -> Terminal {
    Terminal::start(home.studio())
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

#[test]
fn what_is_wrong_in_models_toml_is_told_with_its_line() {
    let home = Home::new();
    let folder = home.path().join(".config/flux-tui");
    std::fs::create_dir_all(&folder).expect("a folder");
    let text = "[[model]]\nname = \"mine\"\nbase = \"nano\"\nsteps = 0\n";
    std::fs::write(folder.join("models.toml"), text).expect("there is room");
    let mut studio = open(&home);
    studio.see("line 4");
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
}

#[test]
fn a_job_that_waits_is_changed_by_keys() {
    let home = Home::new();
    home.run(&["queue", "pause"]).done();
    home.run(&["queue", "add", "a red fox", "--steps", "3", "--seed", "5"]).done();
    let mut studio = open(&home);
    studio.see("a red fox");
    studio.type_keys("mine\t\t");
    studio.type_keys("e");
    studio.see("Prompt of job 1");
    studio.see("steps 3");
    studio.type_keys(" in snow\r");
    // What stood in the prompt is back, and the queue has the job as it is now.
    studio.until("the changed job", |screen| {
        let rows: Vec<String> = screen.rows(0, 80).collect();
        let has = |text: &str| rows.iter().any(|row| row.contains(text));
        (has("a red fox in snow") && has("mine") && !has("Prompt of job")).then_some(())
    });
    home.run(&["queue", "resume"]).done();
    studio.see("History 1");
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
    let told = home.run(&["library", "list", "--json"]).stdout;
    assert!(told.contains("a red fox in snow") && told.contains("\"steps\":3"), "{told}");
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
        status["queued"] == 0 && status["pictures"] == 1 && status["running"] == serde_json::json!([])
    });
    let mut again = open(&home);
    again.see("a tree, flat");
    again.see("History 1");
    again.type_keys("\x03");
    assert_eq!(again.ended(), 0);
}

/// The rows of the screen, without those of the memory: they change by themselves. Whether a row's
/// end was written as blanks or never written is not to be seen.
fn rows(screen: &vt100::Screen) -> Vec<String> {
    let rows: Vec<String> = screen.rows(0, 80).map(|row| row.trim_end().to_owned()).collect();
    let begins = |title: &str| rows.iter().position(|row| row.starts_with(title)).unwrap_or(rows.len());
    let (memory, queue) = (begins("├ Memory"), begins("├ Queue"));
    rows.iter().take(memory).chain(rows.iter().skip(queue)).cloned().collect()
}

/// Whether the picture is finished and all that goes with it is on the screen. A frame comes in
/// pieces, from the top: what is asked for here is the last of each that may be on its way.
fn is_settled(screen: &vt100::Screen) -> bool {
    let rows: Vec<String> = screen.rows(0, 80).collect();
    let caption = rows.iter().any(|row| row.contains("20 steps ·") && row.ends_with("… ╯"));
    caption && rows[0].contains("ready") && rows.last().is_some_and(|hints| !hints.contains("Esc cancel"))
}

/// The letter by which the system tells whether a process runs (`R`, `S`) or is stopped (`T`).
fn process_state(process: rustix::process::Pid) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Only a shell with job control can stop a program and go on with it, so there is one here.
#[test]
fn control_z_gives_the_terminal_back_and_fg_brings_the_same_screen() {
    let home = Home::new();
    let mut shell = home.inside(CommandBuilder::new("sh"));
    shell.arg("-i");
    shell.env_remove("ENV");
    shell.env("PS1", "shell> ");
    shell.env("STUDIO", PROGRAM);
    let mut terminal = Terminal::start(shell);
    let prompts = |screen: &vt100::Screen| {
        let last = screen.contents().trim_end().lines().last().map(|line| line.trim_end() == "shell>");
        (Terminal::is_restored(screen) && last == Some(true)).then_some(())
    };
    terminal.until("shell", prompts);

    terminal.type_keys("\"$STUDIO\"\r");
    terminal.see("Nothing to set up");
    terminal.type_keys("a red apple, 3d");
    terminal.see("T5 7/32");
    terminal.type_keys("\r");
    let screen = |screen: &vt100::Screen| (rows(screen), Terminal::picture(screen));
    let before =
        terminal.until("screen that is drawn to its end", |now| is_settled(now).then(|| screen(now)));
    let studio = terminal.foreground();

    terminal.type_keys("\x1a");
    terminal.until("shell with the terminal as it was", prompts);
    assert_eq!(process_state(studio), Some('T'), "it is stopped");
    // What the shell's commands find, whatever the shell itself makes of the line.
    terminal.type_keys("stty -a\r");
    terminal.until("line that is cooked again", |screen| {
        let said = screen.contents();
        (said.contains(" icanon") && said.contains(" echo ")).then_some(())
    });

    terminal.type_keys("fg\r");
    terminal.until(&format!("same screen as {before:#?}"), |now| {
        (now.alternate_screen() && screen(now) == before).then_some(())
    });
    assert_eq!(terminal.foreground(), studio);
    terminal.type_keys(" again");
    terminal.see("a red apple, 3d again");
    terminal.type_keys("\x03");
    terminal.until("shell after the studio has left", prompts);
    terminal.type_keys("exit 0\r");
    assert_eq!(terminal.ended(), 0);
}
