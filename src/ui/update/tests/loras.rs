//! Journeys through the picker of LoRAs, and what the draft has of them.

use super::*;
use crate::job::{LORAS_MAX, LoraChoice, LoraHash, Span, Unapplied, UsedLora};
use crate::ui::language::Language;
use crate::ui::pane::drafted::Drafted;
use crate::wire::loras::LoraList;

fn asks(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Ask(Question::Loras(_))))
}

fn list(desk: &mut Desk, list: LoraList) {
    desk.event(Event::Answer(Answer::Loras(Ok(Some(list)))));
}

/// The picker is open and its list has come.
fn opened() -> Desk {
    let mut desk = Desk::connected();
    assert!(asks(&desk.key(KeyCode::F(3))));
    list(&mut desk, fake::loras());
    desk
}

fn rows(desk: &Desk) -> Vec<String> {
    desk.state.loras.rows(0).map(|row| row.name().to_owned()).collect()
}

/// `ink:0.8`, and `off` behind those that are switched off.
fn drafted(desk: &Desk) -> Vec<String> {
    let all = desk.state.loras.drafted().all().iter();
    all.map(|drafted| format!("{} {}", drafted.lora.file(), drafted.amount(Language::English))).collect()
}

fn carried(job: &Job) -> Vec<String> {
    job.loras().iter().map(ToString::to_string).collect()
}

pub(super) fn notice(desk: &Desk) -> String {
    desk.state.notices.current().map(|(notice, _)| notice.text.clone()).unwrap_or_default()
}

fn lora(file: &str, strength: f32) -> LoraChoice {
    LoraChoice::new(file, strength).expect("it is one")
}

#[test]
fn a_lora_is_found_added_changed_switched_off_and_drawn_with() {
    let mut desk = opened();
    desk.type_text("inkw");
    assert_eq!(rows(&desk), ["ink"], "by its title and its words too");
    desk.key(KeyCode::Enter);
    for _ in 0..4 {
        desk.key(KeyCode::Left);
    }
    (0..4).for_each(|_| drop(desk.key(KeyCode::Backspace)));
    desk.type_text("水");
    desk.key(KeyCode::Enter);
    desk.press(KeyCode::Left, KeyModifiers::SHIFT);
    desk.control('t');
    assert_eq!(drafted(&desk), ["ink 0.8", "风格/水墨 画 0.5 off"]);
    desk.key(KeyCode::Esc);
    assert!(!desk.state.loras.is_open());
    desk.type_text("a fox <lora:soft:0.3>");
    let job = submitted(&desk.key(KeyCode::Enter));
    assert_eq!((carried(&job), job.prompt.as_str()), (vec!["ink:0.8".to_owned()], "a fox <lora:soft:0.3>"));
    desk.key(KeyCode::F(3));
    desk.key(KeyCode::Down);
    desk.control('t');
    assert_eq!(carried(&submitted(&desk.control('g'))), ["ink:0.8", "水墨 画:0.5"], "its strength was kept");
    desk.key(KeyCode::Enter);
    assert_eq!(drafted(&desk), ["ink 0.8"], "taken out again");
    assert!(desk.state.loras.is_open(), "several may be chosen");
}

#[test]
fn the_list_is_asked_for_whenever_the_picker_opens_and_what_came_is_seen() {
    let mut desk = opened();
    assert!(!asks(&desk.key(KeyCode::Down)));
    desk.key(KeyCode::Esc);
    assert!(asks(&desk.key(KeyCode::F(3))));
    assert_eq!(rows(&desk).len(), 5, "what is known is shown meanwhile");
    let mut longer = fake::loras();
    longer.loras[0].name = "new".into();
    list(&mut desk, longer);
    assert_eq!(rows(&desk)[0], "new");
    desk.event(Event::Answer(Answer::Loras(Err("the search broke down".into()))));
    assert!(notice(&desk).contains("could not be listed: the search broke down"), "{}", notice(&desk));
    assert_eq!(rows(&desk).len(), 5);
    let effects = desk.event(Event::News(News::Connected(Box::new(snapshot()))));
    assert!(desk.state.loras.is_open() && asks(&effects), "another worker may have other folders");
}

#[test]
fn l_is_text_in_the_prompt_and_opens_the_picker_elsewhere() {
    let mut desk = Desk::connected();
    desk.key(KeyCode::Char('l'));
    assert_eq!((desk.state.prompt.editor.text(), desk.state.loras.is_open()), ("l", false));
    for pane in [Pane::Parameters, Pane::Queue, Pane::History] {
        desk.state.view.focus = pane;
        desk.key(KeyCode::Char('l'));
        assert!(desk.state.loras.is_open(), "{pane:?}");
        desk.key(KeyCode::F(2));
        assert!(desk.state.models.is_open() && !desk.state.loras.is_open(), "one at a time");
        desk.key(KeyCode::F(3));
        assert!(desk.state.loras.is_open() && !desk.state.models.is_open());
        desk.key(KeyCode::F(3));
        assert!(!desk.state.loras.is_open());
    }
}

#[test]
fn letters_and_pastes_filter_and_the_best_is_first() {
    let mut desk = opened();
    desk.type_text("so");
    assert_eq!(rows(&desk), ["soft", "soft"]);
    desk.event(Event::Input(Input::Paste { text: " fox".into(), dropped: 0 }));
    assert_eq!(rows(&desk), [] as [&str; 0]);
    assert_eq!((desk.key(KeyCode::Enter).len(), desk.state.prompt.editor.text()), (0, ""));
    (0..6).for_each(|_| drop(desk.key(KeyCode::Backspace)));
    desk.type_text("BOAT");
    assert_eq!(rows(&desk), ["ink"], "one of its tags");
    (0..4).for_each(|_| drop(desk.key(KeyCode::Backspace)));
    desk.type_text("i");
    assert_eq!(rows(&desk)[0], "ink", "it begins so");
    assert!(rows(&desk).contains(&"old/anime_xl".to_owned()));
}

#[test]
fn two_files_of_one_name_are_asked_for_by_their_paths() {
    let mut desk = opened();
    desk.type_text("soft");
    desk.key(KeyCode::Down);
    desk.key(KeyCode::Enter);
    assert_eq!(drafted(&desk), ["/home/someone/ComfyUI/models/loras/soft.safetensors 1"]);
    let at = |desk: &Desk| desk.state.loras.rows(0).map(|row| row.drafted.is_some()).collect::<Vec<_>>();
    assert_eq!(at(&desk), [false, true]);
}

#[test]
fn what_cannot_be_used_is_not_added_and_no_more_than_a_job_may_have() {
    let mut desk = opened();
    desk.type_text("anime");
    desk.key(KeyCode::Enter);
    assert_eq!(
        notice(&desk),
        "old/anime_xl cannot be used: it is a LoRA of Stable Diffusion XL, not of FLUX.1"
    );
    desk.state.loras.draft(Drafted::of((0..LORAS_MAX).map(|number| lora(&number.to_string(), 1.0))));
    (0..5).for_each(|_| drop(desk.key(KeyCode::Backspace)));
    desk.type_text("ink");
    desk.key(KeyCode::Enter);
    assert!(notice(&desk).contains("64"), "{}", notice(&desk));
    assert_eq!(desk.state.loras.drafted().all().len(), LORAS_MAX);
}

#[test]
fn too_many_with_those_of_the_prompt_are_refused_before_they_are_sent() {
    let mut desk = Desk::connected();
    desk.state.loras.draft(Drafted::of((0..LORAS_MAX).map(|number| lora(&number.to_string(), 1.0))));
    desk.type_text("a fox <lora:ink>");
    assert_eq!(desk.key(KeyCode::Enter), []);
    assert!(notice(&desk).contains("65"), "{}", notice(&desk));
    assert_eq!(desk.state.view.focus, Pane::Prompt);
}

#[test]
fn words_come_into_the_prompt_one_by_one_and_undo_takes_them_back() {
    let mut desk = Desk::connected();
    desk.type_text("a boat");
    desk.key(KeyCode::F(3));
    list(&mut desk, fake::loras());
    desk.control('w');
    assert_eq!(desk.state.prompt.editor.text(), "a boat, inkwash style");
    desk.control('w');
    desk.control('w');
    assert_eq!(
        desk.state.prompt.editor.text(),
        "a boat, inkwash style, mountains, 水墨",
        "one is there already"
    );
    desk.control('w');
    assert_eq!(notice(&desk), "ink: the prompt has all its words");
    desk.type_text("soft");
    desk.control('w');
    assert_eq!(notice(&desk), "soft: its file names no words for a prompt");
    desk.key(KeyCode::Esc);
    desk.control('_');
    assert!(!desk.state.prompt.editor.text().contains("水墨"));
    let mut desk = opened();
    desk.control('w');
    assert_eq!(desk.state.prompt.editor.text(), "inkwash style");
}

/// A picture drawn with a LoRA of its own and one of a tag.
fn drawn(desk: &mut Desk) {
    desk.type_text("a fox <lora:ink:0.3>");
    let job = submitted(&desk.key(KeyCode::Enter));
    let mut picture = fake::picture(5, &status(1, &job, JobState::Running), 0, 99);
    let used = |file: &str, strength, tagged| UsedLora {
        file: file.into(),
        hash: LoraHash::new([7; 32]),
        strength,
        steps: "0-50%".parse::<Span>().expect("a span"),
        tagged,
        unapplied: Unapplied::default(),
    };
    picture.recipe.loras = vec![used("水墨 画", 0.8, false), used("ink", 0.3, true)];
    desk.worker(message::Event::Finished(Box::new(picture)));
}

#[test]
fn a_picture_that_is_restored_brings_the_loras_that_no_tag_asks_for() {
    let mut desk = Desk::connected();
    drawn(&mut desk);
    desk.state.loras.draft(Drafted::of([lora("soft", 0.5)]));
    desk.state.view.focus = Pane::History;
    desk.key(KeyCode::Char('s'));
    assert_eq!(drafted(&desk), ["soft 0.5"], "its seed alone brings none");
    desk.state.view.focus = Pane::History;
    desk.key(KeyCode::Enter);
    assert_eq!(desk.state.prompt.editor.text(), "a fox <lora:ink:0.3>");
    assert_eq!(drafted(&desk), ["水墨 画 0.8@0-50%"]);
    desk.key(KeyCode::F(3));
    list(&mut desk, fake::loras());
    assert_eq!(rows(&desk)[0], "风格/水墨 画", "what is drawn with is first");
    desk.key(KeyCode::Right);
    let job = submitted(&desk.control('g'));
    assert_eq!(carried(&job), ["水墨 画:0.85@0-50%"]);
    assert_eq!(job.loras()[0].hash, Some(LoraHash::new([7; 32])), "that content and no other");
}

#[test]
fn what_is_in_no_folder_is_still_changed_and_taken_out() {
    let mut desk = Desk::connected();
    desk.state.loras.draft(Drafted::of([lora("/gone/mist.safetensors", 0.5), lora("ink", 1.0)]));
    desk.key(KeyCode::F(3));
    assert_eq!(rows(&desk), ["mist", "ink"], "before the list has come");
    list(&mut desk, fake::loras());
    assert_eq!(rows(&desk)[..2], ["mist", "ink"]);
    desk.key(KeyCode::Right);
    assert_eq!(drafted(&desk)[0], "/gone/mist.safetensors 0.55");
    desk.key(KeyCode::Enter);
    assert_eq!((drafted(&desk), rows(&desk)[0].as_str()), (vec!["ink 1".to_owned()], "ink"));
}

#[test]
fn a_click_chooses_and_one_beside_closes() {
    let mut desk = opened();
    let click = |row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        Event::Input(Input::Mouse(MouseEvent { kind, column: 20, row, modifiers: KeyModifiers::NONE }))
    };
    desk.event(click(4));
    assert_eq!(desk.state.loras.chosen_row(), 2);
    desk.key(KeyCode::End);
    assert_eq!(desk.state.loras.chosen().map(|row| row.name().to_owned()), Some("风格/水墨 画".to_owned()));
    desk.event(click(0));
    assert!(!desk.state.loras.is_open());
}
