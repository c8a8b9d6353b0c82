//! Journeys through the history.

use super::*;
use crate::job::{LoraHash, Span, Unapplied, UsedLora};

#[test]
fn history_restores_all_or_only_the_seed_and_undo_brings_the_idea_back() {
    let mut desk = with_history();
    desk.key(KeyCode::Down);
    desk.key(KeyCode::Char('s'));
    assert_eq!(desk.state.prompt.editor.text(), "another idea");
    assert_eq!(desk.state.parameters.settings().expect("right").seed, Seed::Fixed(22));
    desk.state.view.focus = Pane::History;
    desk.key(KeyCode::End);
    desk.key(KeyCode::Enter);
    assert_eq!((desk.state.prompt.editor.text(), desk.state.view.focus), ("pear", Pane::Prompt));
    assert_eq!(desk.state.parameters.settings().expect("right").seed, Seed::Fixed(11));
    desk.press(KeyCode::Char('_'), KeyModifiers::CONTROL);
    assert_eq!(desk.state.prompt.editor.text(), "another idea");
}

#[test]
fn looking_at_the_history_is_not_disturbed_by_what_is_drawn() {
    let mut desk = with_history();
    desk.key(KeyCode::Down);
    assert_eq!(desk.state.preview.wanted(), Some(Subject::Picture(PictureId(2))));
    desk.worker(message::Event::Preview(preview(9, 1)));
    assert_eq!(desk.state.preview.wanted(), Some(Subject::Picture(PictureId(2))));
    desk.control('g');
    assert!(
        matches!(desk.state.preview.wanted(), Some(Subject::Preview { .. })),
        "drawing follows what is drawn"
    );
}

#[test]
fn what_of_a_lora_was_not_used_is_told_once_for_a_job() {
    let mut desk = Desk::connected();
    desk.type_text("apple");
    let job = submitted(&desk.key(KeyCode::Enter));
    for index in 0..2 {
        let mut picture = fake::picture(5, &status(1, &job, JobState::Running), index, 99);
        let examples = vec!["diffusion_model.double_blocks.99\u{1b}.lora_A.weight".to_owned()];
        picture.recipe.loras.push(UsedLora {
            file: "styles/ink.safetensors".into(),
            hash: LoraHash::new([7; 32]),
            strength: 1.0,
            steps: Span::WHOLE,
            tagged: false,
            unapplied: Unapplied { count: 2, of: 15, examples },
        });
        desk.worker(message::Event::Finished(Box::new(picture)));
    }
    let (notice, more) = desk.state.notices.current().expect("it is told");
    let text = "2 of the 15 tensors of the LoRA ink belong to no layer of this model, \
                diffusion_model.double_blocks.99\u{fffd}.lora_A.weight for one";
    assert_eq!((notice.text.as_str(), more), (text, 0));
}
