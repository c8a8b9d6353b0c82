//! Files as people write them: what counts, what is passed over, and what is told of it.

use crossterm::event::{KeyEvent, KeyModifiers};

use super::*;
use crate::ui::action::ListMove;

fn parse(text: &str) -> (Keymap, Vec<String>) {
    let (keymap, problems) = Keymap::parse(text, Path::new("keymap.toml"));
    (keymap, problems.iter().map(ToString::to_string).collect())
}

fn means(keymap: &Keymap, context: Context, key: &str) -> Option<Action> {
    let chord = Chord::parse(key).expect("a key");
    keymap.lookup(&[context], &KeyEvent::new(chord.code, chord.modifiers))
}

#[test]
fn a_line_replaces_the_keys_of_an_action() {
    let (keymap, problems) = parse(
        "[everywhere]\ndraw-again = [\"F12\", \"Alt-r\"]\nsuspend = []\n[queue]\nmove-job-up = \"u\"\n\
         draw-again = \"R\"\n",
    );
    assert_eq!(problems, [] as [String; 0]);
    assert_eq!(means(&keymap, Context::Everywhere, "F12"), Some(Action::DrawAgain));
    assert_eq!(means(&keymap, Context::Everywhere, "Alt-r"), Some(Action::DrawAgain));
    assert_eq!(means(&keymap, Context::Everywhere, "Ctrl-g"), None);
    assert_eq!(means(&keymap, Context::Everywhere, "Ctrl-z"), None);
    assert_eq!(means(&keymap, Context::Queue, "u"), Some(Action::MoveJobUp));
    assert_eq!(means(&keymap, Context::Queue, "K"), None);
    assert_eq!(
        means(&keymap, Context::Queue, "R"),
        Some(Action::DrawAgain),
        "an action of everywhere, there too"
    );
    assert_eq!(keymap.key_name(&[Context::Everywhere], Action::DrawAgain).as_deref(), Some("F12"));
    assert_eq!(keymap.key_name(&[Context::Everywhere], Action::Suspend), None);
}

#[test]
fn a_key_is_taken_from_who_had_it_and_its_last_one_is_told_of() {
    let (keymap, problems) = parse("[queue]\nretry-job = \"d\"\n");
    assert_eq!(problems, [] as [String; 0], "Delete is left to cancel a job");
    assert_eq!(means(&keymap, Context::Queue, "d"), Some(Action::RetryJob));
    assert_eq!(means(&keymap, Context::Queue, "Delete"), Some(Action::DropJob));

    let (_, problems) = parse("\n[everywhere]\nhelp = \"Ctrl-g\"\n");
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert!(problem.starts_with("keymap.toml, line 3: help takes the last key of draw-again"), "{problem}");
    assert!(problem.contains("draw-again = []"), "{problem}");
    assert_eq!(parse("[everywhere]\nhelp = \"Ctrl-g\"\ndraw-again = []").1, [] as [String; 0]);
}

#[test]
fn the_vim_preset_adds_its_keys_and_the_file_goes_before_it() {
    let (keymap, problems) = parse("preset = \"vim\"\n[queue]\nretry-job = \"x\"\n");
    assert_eq!(problems, [] as [String; 0]);
    assert_eq!(keymap.preset(), Preset::Vim);
    assert_eq!(means(&keymap, Context::History, "G"), Some(Action::List(ListMove::Last)));
    assert_eq!(means(&keymap, Context::Queue, "x"), Some(Action::RetryJob));
    assert_eq!(means(&Keymap::default(), Context::History, "G"), None);
}

/// Each wrong line is passed over, told with its number and with what is allowed; the rest counts.
#[test]
fn what_is_wrong_is_told_by_line() {
    for (text, line, told) in [
        ("preset = \"emacs\"", 1, "preset \"emacs\" is not one of plain, vim"),
        ("preset = 3", 1, "there are preset = \"plain\" or \"vim\", [everywhere], [prompt]"),
        ("[qeue]\ndrop-job = \"x\"", 1, "\"qeue\" is not known here"),
        ("queue = 3", 1, "queue must be a section, [queue]"),
        ("[queue]\n\ndrop-jobs = \"x\"", 3, "most like it are drop-job"),
        ("[queue]\ndrop-job = \"Hyper-x\"", 2, "\"Hyper-x\" is not a key; a key is"),
        ("[queue]\ndrop-job = 3", 2, "drop-job is integer; it must be a key in quotes"),
        ("[queue]\ndrop-job = \"Ctrl-m\"", 2, "terminals send Enter"),
        ("[everywhere]\nhelp = \"h\"", 2, "\"h\" is text in [everywhere]"),
        ("[parameters]\nfield-random-seed = \"0\"", 2, "\"0\" is text in [parameters]"),
        ("[queue]\ntake-model = \"x\"", 2, "take-model means nothing in [queue]; it may be in [models]"),
        (
            "[queue]\ndrop-job = \"x\"\nretry-job = \"x\"",
            3,
            "\"x\" is drop-job in [queue] already, by line 2",
        ),
        ("[queue]\ndrop-job = \"x", 2, ""),
    ] {
        let (keymap, problems) = parse(&format!("{text}\n[history]\nfavourite = \"x\"\n"));
        let place = format!("keymap.toml, line {line}: ");
        let found = problems.iter().any(|problem| problem.starts_with(&place) && problem.contains(told));
        assert!(found, "{text:?} gave {problems:?}");
        assert_eq!(
            means(&keymap, Context::History, "x"),
            Some(Action::Favourite),
            "{text:?}: the rest counts"
        );
    }
}

#[test]
fn of_several_keys_those_that_are_right_count() {
    let (keymap, problems) = parse("[queue]\ndrop-job = [\"Foo\", \"x\", \"x\"]\n");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(means(&keymap, Context::Queue, "x"), Some(Action::DropJob));
    let (keymap, _) = parse("[queue]\ndrop-job = [\"Foo\"]\n");
    assert_eq!(means(&keymap, Context::Queue, "d"), Some(Action::DropJob), "the line is passed over");
}

#[test]
fn leaving_and_escaping_always_have_a_key() {
    let (keymap, problems) = parse("[everywhere]\nquit = []\nescape = []\n[prompt]\nedit-undo = \"Ctrl-q\"");
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("quit must have a key")), "{problems:?}");
    assert_eq!(means(&keymap, Context::Everywhere, "Ctrl-c"), Some(Action::Quit));
    assert_eq!(means(&keymap, Context::Everywhere, "Esc"), Some(Action::Escape));
    let (keymap, _) = parse("[everywhere]\nhelp = [\"Ctrl-c\", \"Ctrl-q\", \"F1\"]\n");
    assert_eq!(means(&keymap, Context::Everywhere, "Ctrl-c"), Some(Action::Quit), "given back");
    assert_eq!(means(&keymap, Context::Everywhere, "F1"), Some(Action::Help));
}

#[test]
fn a_missing_file_is_no_problem_and_one_that_is_no_text_is_told_of() {
    let root = tempfile::tempdir().expect("a temporary directory");
    assert_eq!(Keymap::load(root.path()), (Keymap::default(), Vec::new()));
    std::fs::write(root.path().join("keymap.toml"), [0xff, 0xfe]).expect("a file can be written");
    let (keymap, problems) = Keymap::load(root.path());
    assert_eq!((keymap, problems.len()), (Keymap::default(), 1));
}

#[test]
fn what_is_written_out_is_read_back_the_same() {
    for (_, preset) in Preset::ALL {
        let keymap = Keymap::new(preset);
        let text = keymap.written();
        let (read, problems) = parse(&text);
        assert_eq!(problems, [] as [String; 0], "{text}");
        for line in keymap.lines() {
            for chord in &line.keys {
                let key = KeyEvent::new(chord.code, chord.modifiers);
                assert_eq!(read.lookup(&[line.context], &key), Some(line.action), "{}", chord.name());
            }
        }
    }
    let taken = KeyEvent::new(crossterm::event::KeyCode::Char('g'), KeyModifiers::CONTROL);
    let (changed, _) = parse("[everywhere]\ndraw-again = []\n");
    let (read, problems) = parse(&changed.written());
    assert_eq!((read.lookup(&[Context::Everywhere], &taken), problems.len()), (None, 0));
}
