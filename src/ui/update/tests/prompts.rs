//! Journeys through the prompts of the library, and what is taken from a picture.

use super::*;
use crate::job::{DrawnPrompt, LastDrawn, LoraHash, Picture, PromptQuery, Span, Unapplied, UsedLora};

fn asked(effects: &[Effect]) -> Vec<PromptQuery> {
    let query = |effect: &Effect| match effect {
        Effect::Ask(Question::Prompts { query, .. }) => Some(query.clone()),
        _ => None,
    };
    effects.iter().filter_map(query).collect()
}

/// A picture of another model, with a LoRA.
fn old_picture() -> Picture {
    let prompt = crate::job::Prompt::new("an owl <lora:ink:0.5> at night").expect("text");
    let size = crate::job::Size::new(256, 192).expect("a size");
    let model = crate::model::ModelName::new("nano");
    let job = Job::new(prompt, model, size, 9, 2.5, Seed::Fixed(77), 1).expect("a job");
    let mut picture = fake::picture(50, &status(9, &job, JobState::Done), 0, 77);
    picture.recipe.loras = vec![UsedLora {
        file: "ink".into(),
        hash: LoraHash::new([7; 32]),
        strength: 0.5,
        steps: Span::WHOLE,
        tagged: true,
        unapplied: Unapplied::default(),
    }];
    picture
}

/// The prompts are open over a history, and the worker has told one more of them.
fn opened() -> Desk {
    let mut desk = with_history();
    desk.state.view.focus = Pane::Prompt;
    let queries = asked(&desk.control('r'));
    assert_eq!(queries, [PromptQuery::default()]);
    let last = LastDrawn { at: -5, picture: PictureId(50) };
    let page = vec![DrawnPrompt { best: old_picture(), pictures: 3, last }];
    desk.event(Event::Answer(Answer::Prompts { query: queries[0].clone(), result: Ok(page) }));
    desk
}

fn parameters(desk: &Desk) -> (u32, u32, u32, f32, Seed) {
    let settings = desk.state.parameters.settings().expect("right");
    let size = settings.size;
    (size.width(), size.height(), settings.steps, settings.guidance, settings.seed)
}

#[test]
fn a_prompt_is_found_by_a_few_letters_and_enter_takes_all_of_it() {
    let mut desk = opened();
    desk.type_text("owlng");
    assert_eq!(desk.state.prompt.editor.text(), "another idea", "letters are not for the prompt");
    desk.key(KeyCode::Enter);
    assert!(!desk.state.overlay.is_open());
    assert_eq!(desk.state.prompt.editor.text(), "an owl <lora:ink:0.5> at night");
    assert_eq!(parameters(&desk), (256, 192, 9, 2.5, Seed::Fixed(77)));
    let job = submitted(&desk.key(KeyCode::Enter));
    assert_eq!(job.parent, Some(PictureId(50)));
    assert!(desk.state.preview.wanted().is_some());
}

#[test]
fn one_key_each_takes_the_prompt_the_seed_or_the_settings() {
    let kept = (128, 128, 20, 3.5, Seed::Random);
    let cases = [
        ('p', "an owl at night", kept),
        ('s', "another idea", (128, 128, 20, 3.5, Seed::Fixed(77))),
        ('o', "another idea <lora:ink:0.5>", (256, 192, 9, 2.5, Seed::Random)),
    ];
    for (key, prompt, settings) in cases {
        let mut desk = opened();
        desk.type_text("owl");
        desk.control(key);
        assert_eq!((desk.state.prompt.editor.text(), parameters(&desk)), (prompt, settings), "^{key}");
        assert_eq!((desk.state.view.focus, desk.state.overlay.is_open()), (Pane::Prompt, false));
    }
}

#[test]
fn the_history_has_the_same_four() {
    for (key, prompt, seed) in [
        (KeyCode::Enter, "pear", Seed::Fixed(22)),
        (KeyCode::Char('p'), "pear", Seed::Random),
        (KeyCode::Char('s'), "another idea", Seed::Fixed(22)),
        (KeyCode::Char('o'), "another idea", Seed::Random),
    ] {
        let mut desk = with_history();
        desk.key(KeyCode::Down);
        desk.key(key);
        assert_eq!((desk.state.prompt.editor.text(), parameters(&desk).4), (prompt, seed), "{key:?}");
    }
}

#[test]
fn the_settings_of_a_picture_without_loras_take_those_of_the_prompt_away_and_undo_brings_them_back() {
    let mut desk = with_history();
    desk.state.prompt.editor.set_text("an idea <lora:ink:1>");
    desk.key(KeyCode::Char('o'));
    assert_eq!(desk.state.prompt.editor.text(), "an idea");
    desk.press(KeyCode::Char('_'), KeyModifiers::CONTROL);
    assert_eq!(desk.state.prompt.editor.text(), "an idea <lora:ink:1>");
    desk.state.prompt.editor.set_text("a broken <lora:");
    desk.state.view.focus = Pane::History;
    desk.key(KeyCode::Char('o'));
    assert_eq!(desk.state.prompt.editor.text(), "a broken <lora:", "it is the person's to mend");
}

#[test]
fn the_list_is_moved_in_and_closed_and_says_why_older_ones_cannot_be_had() {
    let mut desk = opened();
    desk.control('r');
    assert_eq!(desk.state.overlay.rows(), (1, 2), "^R again goes on");
    desk.key(KeyCode::Up);
    desk.event(Event::Input(Input::Paste { text: "ow\nl".into(), dropped: 0 }));
    assert_eq!(desk.state.overlay.prompts().map(|list| list.filter().to_owned()).as_deref(), Some("owl"));
    desk.key(KeyCode::Backspace);
    let area = Event::Resized(Window { columns: 60, rows: 15, pixels: None });
    desk.event(area);
    desk.key(KeyCode::Esc);
    assert!(!desk.state.overlay.is_open() && desk.state.notices.current().is_none());
    let queries = asked(&desk.control('r'));
    let answer = Answer::Prompts { query: queries[0].clone(), result: Err("no library".into()) };
    assert_eq!(asked(&desk.event(Event::Answer(answer))), []);
    let notice = desk.state.notices.current().map(|(notice, _)| notice.text.clone());
    assert_eq!(notice.as_deref(), Some("older prompts could not be had: no library"));
}

#[test]
fn a_search_waits_for_a_pause_and_a_tick_comes_for_it() {
    let mut desk = Desk::connected();
    let first = asked(&desk.control('r')).remove(0);
    let last = |at| LastDrawn { at, picture: PictureId(at) };
    let page = (0..60).map(|number| DrawnPrompt {
        best: {
            let mut picture = old_picture();
            picture.recipe.prompt = crate::job::Prompt::new(format!("prompt {number}")).expect("text");
            picture
        },
        pictures: 1,
        last: last(100 - number),
    });
    let answer = Answer::Prompts { query: first, result: Ok(page.collect()) };
    assert_eq!(asked(&desk.event(Event::Answer(answer))), [], "the end is far");
    desk.type_text("owl");
    let due = desk.state.deadline().expect("a tick is wanted");
    assert!(due > desk.now);
    let queries = asked(&desk.later(200));
    assert_eq!(queries.iter().map(|query| query.text.as_str()).collect::<Vec<_>>(), ["owl"]);
}

#[test]
fn the_same_prompt_is_drawn_with_one_seed_after_the_other() {
    let mut desk = Desk::connected();
    desk.type_text("apple");
    assert!(desk.control('t').is_empty(), "there is no last seed yet");
    desk.key(KeyCode::Esc);
    let job = submitted(&desk.key(KeyCode::Enter));
    desk.event(Event::Answer(Answer::Submitted(Ok(Box::new(status(1, &job, JobState::Queued))))));
    assert_eq!(submitted(&desk.control('t')).seed, Seed::Fixed(8));
    // The worker begins an earlier one meanwhile.
    let stage = Stage::Drawing { step: 1, steps: 20, sigma: 0.8 };
    desk.worker(message::Event::Progress(progress(Device::Cpu, 1, 0, stage)));
    assert_eq!(submitted(&desk.control('t')).seed, Seed::Fixed(9));
    desk.state.parameters.choose(FieldName::Count);
    desk.state.view.focus = Pane::Parameters;
    desk.type_text("4");
    assert_eq!(submitted(&desk.control('t')).seed, Seed::Fixed(10));
    assert_eq!(submitted(&desk.control('t')).seed, Seed::Fixed(14), "four were asked for");
    desk.state.view.focus = Pane::Prompt;
    desk.type_text("s");
    assert_eq!(submitted(&desk.control('t')).seed, Seed::Fixed(6), "another prompt begins at the last seed");
}
