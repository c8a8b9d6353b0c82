//! A waiting job is changed: it comes into the prompt and the parameters, Enter asks for it to be as they are then, and
//! Escape leaves it. Either way what stood there before comes back.

use super::focus;
use crate::job::Job;
use crate::ui::draft::Draft;
use crate::ui::effect::{Effect, Question};
use crate::ui::pane::Pane;
use crate::ui::pane::drafted::Drafted;
use crate::ui::pane::editing::Editing;
use crate::ui::state::State;
use crate::wire::message::JobState;
use crate::wire::queue::QueueChange;

/// Takes the chosen job, if nothing of it is drawn yet.
pub(super) fn begin(state: &mut State) {
    let Some(chosen) = state.queue.chosen_job() else { return };
    let (id, job) = (chosen.id, chosen.job.clone());
    if chosen.state != JobState::Queued || chosen.done > 0 {
        return state.notices.warn(state.language.job_begun(id));
    }
    leave(state);
    state.parameters.commit();
    let editing = Editing {
        id,
        asked: false,
        prompt: state.prompt.editor.text().to_owned(),
        parameters: state.parameters.clone(),
        loras: state.loras.draft(Drafted::of(job.loras().iter().cloned())),
        parent: state.prompt.parent,
        job,
    };
    state.prompt.editor.set_text(editing.job.prompt.as_str());
    state.parameters.take(&editing.job);
    state.editing = Some(Box::new(editing));
    focus(state, Pane::Prompt);
}

/// What Enter asks for: the job as it is now.
pub(super) fn finish(state: &mut State, draft: &Draft) -> Vec<Effect> {
    let Some(editing) = state.editing.as_mut().filter(|editing| !editing.asked) else { return Vec::new() };
    let of = &editing.job;
    let as_it_was = |job: Job| job.placed(of.device, of.load).iterated_from(of.parent);
    match draft.job(state.language).map(as_it_was) {
        Ok(job) => {
            editing.asked = true;
            let change = QueueChange::Edit { job: editing.id, to: Box::new(job) };
            vec![Effect::Ask(Question::Queue(change))]
        }
        Err(wrong) => {
            state.notices.error(wrong.message);
            Vec::new()
        }
    }
}

/// The worker has answered: a job that it did not change stays in the prompt.
pub(super) fn answered(state: &mut State, changed: bool) {
    let Some(editing) = state.editing.as_mut().filter(|editing| editing.asked) else { return };
    editing.asked = false;
    if changed {
        leave(state);
    }
}

/// Puts back what stood in the prompt and the parameters; whether a job stood there.
pub(super) fn leave(state: &mut State) -> bool {
    let Some(editing) = state.editing.take() else { return false };
    let Editing { prompt, mut parameters, loras, parent, .. } = *editing;
    // The models that there are may have changed meanwhile.
    parameters.offer_as(&state.parameters);
    state.parameters = parameters;
    state.loras.draft(loras);
    state.prompt.editor.set_text(&prompt);
    state.prompt.parent = parent;
    true
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;
    use crate::job::{JobId, LoraChoice, Prompt, Seed, Size};
    use crate::model::ModelName;
    use crate::ui::event::{Answer, Event};
    use crate::ui::input::Input;
    use crate::ui::pane::parameters::FieldName;
    use crate::ui::update::queue::tests::{status, studio, take};

    fn key(state: &mut State, code: KeyCode) -> Vec<Effect> {
        take(state, Event::Input(Input::Key(KeyEvent::new(code, KeyModifiers::NONE))))
    }

    fn asked(effects: &[Effect]) -> Option<(JobId, Job)> {
        effects.iter().find_map(|effect| match effect {
            Effect::Ask(Question::Queue(QueueChange::Edit { job, to })) => Some((*job, (**to).clone())),
            _ => None,
        })
    }

    /// A studio with its own prompt, whose second job has a LoRA, and is taken.
    fn editing() -> State {
        let mut second = status(2, JobState::Queued);
        let prompt = Prompt::new("a cat").expect("text");
        let size = Size::new(96, 64).expect("a size");
        let job = Job::new(prompt, ModelName::new("nano"), size, 6, 2.5, Seed::Fixed(9), 3);
        let lora = LoraChoice::new("ink", 0.5).expect("a name");
        second.job = job.expect("it is in range").with_loras(vec![lora]).expect("one");
        let mut state = studio([status(1, JobState::Queued), second].into_iter());
        state.prompt.editor.set_text("my own words");
        state.parameters.fix_seed(77);
        key(&mut state, KeyCode::Down);
        key(&mut state, KeyCode::Char('e'));
        state
    }

    #[test]
    fn a_waiting_job_comes_into_the_prompt_and_goes_back_changed() {
        let mut state = editing();
        assert_eq!((state.prompt.editor.text(), state.view.focus), ("a cat", Pane::Prompt));
        key(&mut state, KeyCode::Char('!'));
        let (id, job) = asked(&key(&mut state, KeyCode::Enter)).expect("a change is asked for");
        assert_eq!((id, job.prompt.as_str(), job.size.width()), (JobId(2), "a cat!", 96));
        assert_eq!((job.steps(), job.seed, job.count()), (6, Seed::Fixed(9), 3));
        assert_eq!(job.loras()[0].strength(), 0.5, "what no field shows stays");
        assert_eq!(asked(&key(&mut state, KeyCode::Enter)), None, "once is enough");
        take(&mut state, Event::Answer(Answer::QueueChanged(Ok(()))));
        assert_eq!(state.prompt.editor.text(), "my own words");
        assert!(state.editing.is_none());
        assert_eq!(state.parameters.text(FieldName::Seed), "77");
    }

    #[test]
    fn escape_leaves_the_job_and_a_refusal_leaves_what_was_typed() {
        let mut state = editing();
        key(&mut state, KeyCode::Char('!'));
        key(&mut state, KeyCode::Enter);
        let refused = Answer::QueueChanged(Err("job 2 is being drawn".into()));
        take(&mut state, Event::Answer(refused));
        assert_eq!(state.prompt.editor.text(), "a cat!", "nothing that was typed is lost");
        // The first takes the notice away.
        assert!(asked(&key(&mut state, KeyCode::Esc)).is_none());
        key(&mut state, KeyCode::Esc);
        assert_eq!(state.prompt.editor.text(), "my own words");
    }

    #[test]
    fn a_job_that_is_begun_is_not_taken_and_another_one_takes_its_place() {
        let mut running = status(1, JobState::Running);
        running.done = 0;
        let mut state =
            studio([running, status(2, JobState::Queued), status(3, JobState::Queued)].into_iter());
        state.prompt.editor.set_text("mine");
        key(&mut state, KeyCode::Char('e'));
        assert!(state.editing.is_none());
        assert_eq!(state.prompt.editor.text(), "mine");
        for at in ["fox 2", "fox 3"] {
            state.view.focus = Pane::Queue;
            key(&mut state, KeyCode::Down);
            key(&mut state, KeyCode::Char('e'));
            assert_eq!(state.prompt.editor.text(), at);
        }
        assert_eq!(state.editing.as_ref().map(|editing| editing.prompt.as_str()), Some("mine"));
    }
}
