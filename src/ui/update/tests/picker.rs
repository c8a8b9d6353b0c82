//! Journeys through the picker of models.

use super::*;
use crate::model::ModelName;
use crate::wire::message::{FetchState, ModelFetch, ModelState, Standing};

fn asked(effects: &[Effect]) -> Vec<Question> {
    let question = |effect: &Effect| match effect {
        Effect::Ask(
            question @ (Question::Models
            | Question::FetchModel(_)
            | Question::CancelFetch(_)
            | Question::ModelDetails(_)
            | Question::VerifyModel(_)
            | Question::CancelCheck(_)
            | Question::PlanRemoval(_)
            | Question::RemoveModel(_)),
        ) => Some(question.clone()),
        _ => None,
    };
    effects.iter().filter_map(question).collect()
}

fn list(desk: &mut Desk, models: Vec<ModelState>) -> Vec<Effect> {
    desk.event(Event::Answer(Answer::Models(Ok(models))))
}

/// The picker is open and its list has come.
fn opened() -> Desk {
    let mut desk = Desk::connected();
    assert_eq!(asked(&desk.key(KeyCode::F(2))), [Question::Models]);
    assert_eq!(asked(&list(&mut desk, fake::models())), []);
    desk
}

fn told(desk: &mut Desk, model: &str, state: FetchState) -> Vec<Effect> {
    let model = ModelName::new(model);
    desk.worker(message::Event::Fetch(ModelFetch { model, state }))
}

fn notice(desk: &Desk) -> String {
    desk.state.notices.current().map(|(notice, _)| notice.text.clone()).unwrap_or_default()
}

#[test]
fn what_is_here_is_chosen_and_drawn_with() {
    let mut desk = opened();
    let mut models = fake::models();
    models[1].standing = Standing::Ready;
    list(&mut desk, models);
    desk.key(KeyCode::Down);
    desk.key(KeyCode::Enter);
    assert!(!desk.state.models.is_open());
    desk.type_text("a red apple");
    assert_eq!(submitted(&desk.key(KeyCode::Enter)).model.as_str(), "flux1-dev");
}

#[test]
fn what_is_not_here_is_fetched_after_one_question_and_its_end_is_told() {
    let mut desk = opened();
    desk.key(KeyCode::Down);
    assert_eq!(asked(&desk.key(KeyCode::Enter)), [], "the question first");
    assert!(desk.state.models.is_asking());
    let fetch = Question::FetchModel(ModelName::new("flux1-dev"));
    assert_eq!(asked(&desk.key(KeyCode::Enter)), *std::slice::from_ref(&fetch));
    desk.worker(message::Event::Fetch(fake::fetching("flux1-dev", 1, 2)));
    assert_eq!(asked(&desk.key(KeyCode::Enter)), [], "it comes already");
    assert!(!desk.state.models.is_asking());
    let effects = told(&mut desk, "flux1-dev", FetchState::Failed { reason: "no room".into() });
    assert_eq!(asked(&effects), [Question::Models], "what there is may have changed");
    assert_eq!(notice(&desk), "flux1-dev was not fetched: no room");
    list(&mut desk, fake::models());
    desk.key(KeyCode::Enter);
    assert_eq!(asked(&desk.key(KeyCode::Enter)), [fetch], "it can be tried again");
    told(&mut desk, "flux1-dev", FetchState::Done);
    assert!(notice(&desk).contains("flux1-dev is here"), "{}", notice(&desk));
}

#[test]
fn esc_a_move_or_a_letter_takes_the_question_back() {
    for back in [KeyCode::Esc, KeyCode::Up, KeyCode::Char('f')] {
        let mut desk = opened();
        desk.key(KeyCode::Down);
        desk.key(KeyCode::Enter);
        desk.key(back);
        assert!(desk.state.models.is_open() && !desk.state.models.is_asking(), "{back:?}");
    }
    let mut desk = opened();
    desk.key(KeyCode::Esc);
    assert!(!desk.state.models.is_open());
}

#[test]
fn letters_filter_and_the_prompt_hears_nothing() {
    let mut desk = opened();
    desk.type_text("FINE dev");
    let rows = |desk: &Desk| {
        desk.state.models.rows().iter().map(|row| row.info.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(rows(&desk), ["majicflus_v1"]);
    desk.event(Event::Input(Input::Paste { text: "?".into(), dropped: 0 }));
    assert_eq!(rows(&desk), [] as [&str; 0]);
    assert_eq!(asked(&desk.key(KeyCode::Enter)), []);
    (0..4).for_each(|_| drop(desk.key(KeyCode::Backspace)));
    assert_eq!(rows(&desk), ["majicflus_v1"], "one word of it is left");
    assert_eq!(desk.state.prompt.editor.text(), "");
}

#[test]
fn only_what_is_fetched_can_be_cancelled() {
    let mut desk = opened();
    desk.key(KeyCode::Down);
    assert_eq!(asked(&desk.control('x')), []);
    told(&mut desk, "flux1-dev", FetchState::Waiting);
    assert_eq!(asked(&desk.control('x')), [Question::CancelFetch(ModelName::new("flux1-dev"))]);
    assert_eq!(asked(&told(&mut desk, "flux1-dev", FetchState::Cancelled)), [Question::Models]);
    assert_eq!(asked(&desk.control('x')), []);
    assert_eq!(notice(&desk), "");
}

#[test]
fn the_list_is_asked_for_once_at_a_time_and_again_when_the_worker_comes_back() {
    let mut desk = Desk::connected();
    assert_eq!(asked(&desk.key(KeyCode::F(2))), [Question::Models]);
    assert_eq!(asked(&desk.later(50)), []);
    let mut again = snapshot();
    again.fetches = vec![fake::fetching("flux1-dev", 1, 2)];
    assert_eq!(asked(&desk.event(Event::News(News::Connected(Box::new(again))))), [Question::Models]);
    assert_eq!(desk.state.models.running().map(|(model, _)| model.as_str()), Some("flux1-dev"));
    desk.event(Event::Answer(Answer::Models(Err("the worker is ending".into()))));
    assert!(notice(&desk).contains("the worker is ending"), "{}", notice(&desk));
}

#[test]
fn a_fetch_without_a_worker_says_so() {
    let mut desk = opened();
    desk.key(KeyCode::Down);
    let retry_at = desk.now + Duration::from_secs(1);
    desk.event(Event::News(News::Down { reason: "it ended".into(), retry_at }));
    desk.key(KeyCode::Enter);
    assert_eq!(asked(&desk.key(KeyCode::Enter)), []);
    assert!(notice(&desk).contains("there is no worker"), "{}", notice(&desk));
}

#[test]
fn a_click_chooses_a_row_and_one_beside_the_list_closes() {
    let mut desk = opened();
    let click = |row| MouseEvent {
        kind: MouseEventKind::Down(MouseButton::Left),
        column: 30,
        row,
        modifiers: KeyModifiers::NONE,
    };
    desk.event(Event::Input(Input::Mouse(click(4))));
    assert_eq!(desk.state.models.chosen().map(|model| model.info.name.as_str()), Some("flux1-schnell"));
    desk.event(Event::Input(Input::Mouse(click(0))));
    assert!(!desk.state.models.is_open());
}

#[test]
fn the_models_field_still_goes_through_those_that_are_here() {
    let mut desk = opened();
    let mut models = fake::models();
    models[2].standing = Standing::Ready;
    list(&mut desk, models);
    desk.key(KeyCode::Esc);
    desk.state.view.focus = Pane::Parameters;
    desk.state.parameters.choose(FieldName::Model);
    desk.key(KeyCode::Right);
    assert_eq!(desk.state.parameters.model().as_str(), "flux1-schnell");
    desk.key(KeyCode::Char('m'));
    assert!(desk.state.models.is_open());
    assert_eq!(desk.state.models.chosen().map(|model| model.info.name.as_str()), Some("flux1-schnell"));
}

fn dev() -> ModelName {
    ModelName::new("flux1-dev")
}

#[test]
fn a_check_is_asked_for_watched_cancelled_and_its_end_is_told() {
    let mut desk = opened();
    desk.key(KeyCode::Down);
    assert_eq!(asked(&desk.control('x')), [], "there is nothing to cancel");
    assert_eq!(asked(&desk.control('v')), [Question::VerifyModel(dev())]);
    desk.worker(message::Event::Check(fake::checking("flux1-dev", 1, 4)));
    assert_eq!(desk.state.models.checking().map(|(model, _)| model.as_str()), Some("flux1-dev"));
    assert_eq!(asked(&desk.control('x')), [Question::CancelCheck(dev())]);
    desk.worker(message::Event::Check(fake::checked("flux1-dev", 3, 0)));
    assert_eq!(notice(&desk), "flux1-dev: 3 files are right, of 1 no hash is known");
    desk.worker(message::Event::Check(fake::checked("flux1-dev", 2, 1)));
    assert!(notice(&desk).contains("one file is damaged"), "{}", notice(&desk));
    assert_eq!(asked(&desk.control('x')), [], "it is over");
    desk.event(Event::Answer(Answer::CheckChanged { model: dev(), result: Err("nothing is here".into()) }));
    assert!(notice(&desk).contains("flux1-dev is not checked: nothing is here"), "{}", notice(&desk));
}

#[test]
fn a_removal_is_planned_then_asked_then_done() {
    let mut desk = opened();
    desk.key(KeyCode::Down);
    assert_eq!(asked(&desk.control('d')), [Question::PlanRemoval(dev())]);
    let plan = || Box::new(fake::removal("flux1-dev"));
    let planned = |desk: &mut Desk| {
        desk.event(Event::Answer(Answer::RemovalPlanned { model: dev(), result: Ok(plan()) }));
    };
    planned(&mut desk);
    assert_eq!(desk.state.models.removal(), Some(&*plan()));
    desk.key(KeyCode::Esc);
    assert!(desk.state.models.is_open() && desk.state.models.removal().is_none());
    planned(&mut desk);
    desk.key(KeyCode::Up);
    assert_eq!(desk.state.models.removal(), None, "another model is chosen");
    planned(&mut desk);
    assert_eq!(desk.state.models.removal(), None, "it comes too late");
    desk.key(KeyCode::Down);
    planned(&mut desk);
    assert_eq!(asked(&desk.key(KeyCode::Enter)), [Question::RemoveModel(dev())]);
    assert_eq!(desk.state.models.removal(), None);
    let removed = Answer::ModelRemoved { model: dev(), result: Ok(23_802_932_552) };
    assert_eq!(asked(&desk.event(Event::Answer(removed))), [Question::Models], "what there is has changed");
    assert_eq!(notice(&desk), "flux1-dev was removed, 23.8 GB freed");
    let refused = Answer::RemovalPlanned { model: dev(), result: Err("job 3 waits".into()) };
    desk.event(Event::Answer(refused));
    assert_eq!(notice(&desk), "job 3 waits");
}

#[test]
fn pages_open_scroll_turn_and_close() {
    let mut desk = opened();
    desk.key(KeyCode::Down);
    assert_eq!(asked(&desk.control('o')), [Question::ModelDetails(dev())]);
    let told = |desk: &mut Desk, model: &str| {
        let (model, result) = (ModelName::new(model), Ok(Box::new(fake::details(model))));
        desk.event(Event::Answer(Answer::ModelDetails { model, result }));
    };
    told(&mut desk, "nano");
    assert!(desk.state.models.page().is_some_and(|page| page.details.is_none()), "it is another's");
    told(&mut desk, "flux1-dev");
    assert!(desk.state.models.page().is_some_and(|page| page.details.is_some()));
    desk.key(KeyCode::End);
    let last = desk.state.models.page().map(|page| page.first);
    desk.key(KeyCode::PageDown);
    assert_eq!(desk.state.models.page().map(|page| page.first), last, "not beyond its end");
    assert_eq!(desk.state.models.chosen().map(|model| &model.info.name), Some(&dev()), "the list stays");
    assert_eq!(asked(&desk.control('w')), [Question::ModelDetails(dev())], "another page");
    assert_eq!(asked(&desk.control('w')), [], "the same closes it");
    assert!(desk.state.models.page().is_none() && desk.state.models.is_open());
    desk.control('o');
    desk.key(KeyCode::Esc);
    assert!(desk.state.models.page().is_none() && desk.state.models.is_open());
}

#[test]
fn without_a_worker_each_says_so() {
    for key in ['v', 'd', 'o', 'w'] {
        let mut desk = opened();
        let retry_at = desk.now + Duration::from_secs(1);
        desk.event(Event::News(News::Down { reason: "it ended".into(), retry_at }));
        assert_eq!(asked(&desk.control(key)), [], "{key}");
        assert!(notice(&desk).contains("there is no worker"), "{key}: {}", notice(&desk));
    }
}
