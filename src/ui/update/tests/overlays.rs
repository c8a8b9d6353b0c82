//! Journeys through seeds, snippets and the person's own editor.

use super::*;
use crate::config::snippets::Snippet;
use crate::job::{Prompt, Rating, Size, TriedSeed};
use crate::model::ModelName;
use crate::ui::terminal::editor::{Edited, EditorError};

fn notice(desk: &Desk) -> String {
    desk.state.notices.current().map(|(notice, _)| notice.text.clone()).unwrap_or_default()
}

fn tried(seed: u64, rating: u8) -> TriedSeed {
    TriedSeed {
        seed,
        rating: Rating::try_from(rating).expect("it is one"),
        favourite: false,
        picture: PictureId(seed as i64),
        path: "/pictures/a.png".into(),
        missing: false,
        trashed: false,
        model: ModelName::new("nano"),
        size: Size::new(128, 128).expect("a size"),
        finished_at: 0,
    }
}

/// The parameters have the keys, and the seed is chosen.
fn at_seed() -> Desk {
    let mut desk = Desk::connected();
    desk.type_text("apple");
    desk.key(KeyCode::Tab);
    desk.state.parameters.choose(FieldName::Seed);
    desk
}

#[test]
fn a_seed_goes_up_by_the_pictures_of_each_job_until_it_is_set_otherwise() {
    let mut desk = at_seed();
    desk.type_text("41");
    desk.key(KeyCode::Char('i'));
    assert_eq!(submitted(&desk.key(KeyCode::Enter)).seed, Seed::Fixed(41));
    assert_eq!(submitted(&desk.key(KeyCode::Enter)).seed, Seed::Fixed(42));
    desk.state.parameters.choose(FieldName::Count);
    desk.type_text("4");
    assert_eq!(submitted(&desk.key(KeyCode::Enter)).seed, Seed::Fixed(43));
    assert_eq!(submitted(&desk.key(KeyCode::Enter)).seed, Seed::Fixed(47));
    assert_eq!(submitted(&desk.control('g')).seed, Seed::Random);
    assert_eq!(submitted(&desk.key(KeyCode::Enter)).seed, Seed::Fixed(51), "another wish takes none");
    desk.key(KeyCode::Char('i'));
    for _ in 0..2 {
        assert_eq!(submitted(&desk.key(KeyCode::Enter)).seed, Seed::Fixed(55), "it stays now");
    }
    desk.key(KeyCode::Char('i'));
    desk.key(KeyCode::Char('r'));
    assert_eq!(submitted(&desk.key(KeyCode::Enter)).seed, Seed::Random);
    assert!(!desk.state.parameters.counts_up());
}

#[test]
fn a_random_seed_goes_up_from_the_one_after_the_last() {
    let mut desk = at_seed();
    desk.state.parameters.last_seed = Some(7);
    desk.key(KeyCode::Char('i'));
    assert_eq!(submitted(&desk.key(KeyCode::Enter)).seed, Seed::Fixed(8));
    let mut desk = Desk::new();
    desk.type_text("apple");
    desk.state.view.focus = Pane::Parameters;
    desk.key(KeyCode::Char('i'));
    desk.key(KeyCode::Enter);
    desk.key(KeyCode::Enter);
    let effects = desk.event(Event::News(News::Connected(Box::new(snapshot()))));
    let seed = |effect: &Effect| match effect {
        Effect::Ask(Question::Submit(job)) => Some(job.seed),
        _ => None,
    };
    let seeds: Vec<_> = effects.iter().filter_map(seed).collect();
    assert_eq!(seeds, [Seed::Fixed(0), Seed::Fixed(1)], "also before there is a worker");
}

#[test]
fn a_seed_that_was_tried_is_chosen_from_a_list() {
    let mut desk = at_seed();
    let prompt = Prompt::new("apple").expect("text");
    let effects = desk.key(KeyCode::Char('s'));
    assert!(effects.contains(&Effect::Ask(Question::Seeds(prompt.clone()))), "{effects:?}");
    let seeds = vec![tried(5, 5), tried(77, 3), tried(78, 0)];
    desk.event(Event::Answer(Answer::Seeds { prompt: prompt.clone(), result: Ok(seeds) }));
    desk.type_text("77");
    assert_eq!(desk.state.overlay.rows(), (0, 1));
    desk.key(KeyCode::Backspace);
    assert_eq!(desk.state.overlay.rows(), (0, 2));
    desk.key(KeyCode::Down);
    desk.key(KeyCode::Enter);
    assert!(!desk.state.overlay.is_open());
    let job = submitted(&desk.key(KeyCode::Enter));
    assert_eq!((job.seed, job.parent), (Seed::Fixed(78), Some(PictureId(78))));

    desk.key(KeyCode::Char('s'));
    desk.event(Event::Answer(Answer::Seeds { prompt, result: Err("no library".into()) }));
    assert_eq!(
        (desk.state.overlay.is_open(), notice(&desk)),
        (false, "the seeds could not be had: no library".into())
    );
    desk.key(KeyCode::Esc);
    desk.key(KeyCode::Char('s'));
    desk.event(Event::News(News::Down { reason: "it ended".into(), retry_at: desk.now }));
    assert!(!desk.state.overlay.is_open(), "nobody would say that there are none");
    assert_eq!(desk.key(KeyCode::Char('s')), []);
    assert!(notice(&desk).contains("there is none just now"), "{}", notice(&desk));
}

#[test]
fn a_snippet_is_found_and_put_at_the_cursor() {
    let alt_s = |desk: &mut Desk| desk.press(KeyCode::Char('s'), KeyModifiers::ALT);
    let mut desk = Desk::connected();
    desk.type_text("a fox");
    assert!(alt_s(&mut desk).contains(&Effect::ReadSnippets));
    let own = Snippet { name: "sig".into(), text: "in the style of ink".into(), own: true };
    let problem = "snippets.toml, line 3: b is integer".to_owned();
    desk.event(Event::Snippets(vec![own], vec![problem.clone()]));
    desk.type_text("sig");
    desk.key(KeyCode::Enter);
    assert_eq!(desk.state.prompt.editor.text(), "a fox, in the style of ink");
    assert_eq!(notice(&desk), problem);
    desk.control('a');
    alt_s(&mut desk);
    desk.type_text("quality ink");
    desk.key(KeyCode::Enter);
    let text = desk.state.prompt.editor.text().to_owned();
    assert!(
        text.starts_with("ink wash painting")
            && text.ends_with("paper texture, generous empty spacea fox, in the style of ink"),
        "{text}"
    );
    desk.press(KeyCode::Char('_'), KeyModifiers::CONTROL);
    assert_eq!(desk.state.prompt.editor.text(), "a fox, in the style of ink");
}

#[test]
fn the_editor_gets_the_prompt_and_what_it_leaves_takes_its_place() {
    let mut desk = Desk::connected();
    desk.type_text("a fox");
    desk.key(KeyCode::Tab);
    let effects = desk.key(KeyCode::F(4));
    assert!(effects.contains(&Effect::EditElsewhere("a fox".into())), "{effects:?}");
    desk.event(Event::Edited(Ok(Edited { text: "a cat\r\n\tin\u{1b} snow".into(), dropped: 9 })));
    assert_eq!(desk.state.prompt.editor.text(), "a cat\n in snow");
    assert_eq!(desk.state.view.focus, Pane::Prompt);
    assert!(notice(&desk).contains("9 bytes were left out"), "{}", notice(&desk));
    desk.press(KeyCode::Char('_'), KeyModifiers::CONTROL);
    assert_eq!(desk.state.prompt.editor.text(), "a fox");
    desk.event(Event::Edited(Err(EditorError::Failed {
        name: "vi".into(),
        status: "exit status: 1".into(),
    })));
    assert_eq!(notice(&desk), "the editor vi failed (exit status: 1); the prompt stays as it is");
    assert_eq!(desk.state.prompt.editor.text(), "a fox");
}

#[test]
fn what_t5_cannot_read_and_what_is_long_is_said_with_what_to_do() {
    use crate::job::{Encoder, TokenCount};
    use crate::ui::pane::prompt::Remark;
    let mut desk = Desk::connected();
    let mut remarks = |text: &str, tokens: usize, unknown: usize| {
        desk.state.prompt.editor.set_text(text);
        let version = desk.state.prompt.editor.version();
        let t5 = TokenCount { encoder: Encoder::T5, tokens, limit: 512, cut_at: None, unknown };
        desk.state.prompt.counted(version, Some(vec![t5]));
        desk.state.prompt.remarks().iter().map(|remark| format!("{remark:?}")).collect::<Vec<_>>()
    };
    let script = Remark::Script { word: "红色的狐狸", tokens: 6 };
    assert_eq!(remarks("a 红色的狐狸, 雪", 9, 6), [format!("{script:?}")]);
    let unknown = Remark::Unknown { encoder: Encoder::T5, tokens: 1 };
    assert_eq!(remarks("a ☃", 4, 1), [format!("{unknown:?}")]);
    assert_eq!(remarks("short", 256, 0), [] as [String; 0]);
    assert_eq!(remarks("long", 257, 0), [format!("{:?}", Remark::Long { tokens: 257 })]);
}
