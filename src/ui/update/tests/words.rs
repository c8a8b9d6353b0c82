//! Journeys through prompts with choices.

use std::collections::BTreeMap;

use super::*;
use crate::job::Wildcards;
use crate::ui::effect::Gather;
use crate::ui::pane::prompt::Remark;

fn lines(name: &str, own: &[&str]) -> Wildcards {
    let own = own.iter().map(|line| (*line).to_owned()).collect();
    Wildcards::try_from(BTreeMap::from([(name.to_owned(), own)])).expect("they are few")
}

fn gathers(effects: &[Effect]) -> Vec<Gather> {
    let gather = |effect: &Effect| match effect {
        Effect::Gather(gather) => Some(gather.clone()),
        _ => None,
    };
    effects.iter().filter_map(gather).collect()
}

fn counted(effects: &[Effect]) -> Vec<String> {
    let text = |effect: &Effect| match effect {
        Effect::Ask(Question::Count { text, .. }) => Some(text.clone()),
        _ => None,
    };
    effects.iter().filter_map(text).collect()
}

#[test]
fn a_job_goes_out_with_the_lines_of_its_wildcards_and_the_prompt_as_it_was_written() {
    let mut desk = Desk::connected();
    desk.type_text("a {red|blue} __animal__");
    let wanted = gathers(&desk.key(KeyCode::Enter));
    desk.type_text(" and more");
    let draft = wanted.into_iter().find(|gather| gather.draft.is_some()).expect("they are read first");
    let job = submitted(&desk.event(Event::Gathered(draft, Ok(lines("animal", &["fox"])))));
    assert_eq!(job.prompt.as_str(), "a {red|blue} __animal__");
    assert_eq!(job.wildcards(), &lines("animal", &["fox"]));
}

#[test]
fn a_wildcard_that_is_not_there_is_told_and_nothing_is_asked_for() {
    let mut desk = Desk::connected();
    desk.type_text("a __fog__");
    let wanted = gathers(&desk.key(KeyCode::Enter)).remove(0);
    let reason = "there is no wildcard __fog__".to_owned();
    let effects = desk.event(Event::Gathered(wanted, Err(reason.clone())));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Ask(Question::Submit(_)))), "{effects:?}");
    assert_eq!(desk.state.notices.current().map(|(notice, _)| notice.text.clone()), Some(reason));
    desk.key(KeyCode::Esc);
    desk.control('u');
    desk.type_text("{a|}");
    assert!(gathers(&desk.key(KeyCode::Enter)).is_empty());
    let told = desk.state.notices.current().map(|(notice, _)| notice.text.clone());
    assert!(told.is_some_and(|text| text.contains("nothing to draw")));
}

#[test]
fn the_longest_words_are_counted_and_what_is_cut_is_marked_where_it_was_written() {
    let mut desk = Desk::connected();
    desk.event(Event::Answer(Answer::Counted { version: 0, result: Ok(fake::tokens("")) }));
    let prompt = format!("{{short|{}}} __animal__ end", "word ".repeat(29));
    desk.event(Event::Input(Input::Paste { text: prompt.clone(), dropped: 0 }));
    let effects = desk.later(60);
    let wanted = gathers(&effects);
    assert_eq!((wanted.len(), wanted[0].draft.is_none()), (1, true));
    assert_eq!(counted(&effects), [&*prompt], "its lines are not known yet");
    let version = desk.state.prompt.editor.version();
    desk.event(Event::Answer(Answer::Counted { version, result: Ok(fake::tokens(&prompt)) }));
    let effects = desk.event(Event::Gathered(wanted[0].clone(), Ok(lines("animal", &["fox", "a red fox"]))));
    let words = format!("{} a red fox end", "word ".repeat(29).trim_end());
    assert_eq!(counted(&effects), [&*words]);
    desk.event(Event::Answer(Answer::Counted { version, result: Ok(fake::tokens(&words)) }));
    let cut = desk.state.prompt.counts.cut_at(version).expect("T5 reads 30 words");
    assert!(prompt[cut..].starts_with("__animal__"), "{}", &prompt[cut..]);
    assert!(desk.state.prompt.words.has_choices());
    assert!(gathers(&desk.later(60)).is_empty(), "once is enough");
}

#[test]
fn a_wildcard_that_cannot_be_had_is_said_below_the_prompt() {
    let mut desk = Desk::connected();
    desk.event(Event::Answer(Answer::Counted { version: 0, result: Ok(fake::tokens("")) }));
    desk.type_text("a __fog__");
    let effects = desk.later(60);
    let wanted = gathers(&effects).remove(0);
    let version = desk.state.prompt.editor.version();
    desk.event(Event::Answer(Answer::Counted { version, result: Ok(fake::tokens("a b")) }));
    desk.event(Event::Gathered(wanted, Err("no fog".into())));
    assert_eq!(desk.state.prompt.remarks(), [Remark::Wildcard("no fog")]);
    desk.control('u');
    desk.type_text("a fox");
    desk.later(60);
    assert_eq!(desk.state.prompt.remarks(), []);
}

#[test]
fn a_waiting_job_is_changed_with_its_wildcards() {
    let mut desk = Desk::connected();
    desk.type_text("a __animal__");
    let wanted = gathers(&desk.key(KeyCode::Enter)).remove(0);
    let job = submitted(&desk.event(Event::Gathered(wanted, Ok(lines("animal", &["fox"])))));
    desk.worker(message::Event::Job(status(1, &job, JobState::Queued)));
    desk.state.view.focus = Pane::Queue;
    desk.key(KeyCode::Char('e'));
    let wanted = gathers(&desk.key(KeyCode::Enter)).into_iter().find(|gather| gather.draft.is_some());
    let effects = desk.event(Event::Gathered(wanted.expect("read again"), Ok(lines("animal", &["cat"]))));
    let to = effects.iter().find_map(|effect| match effect {
        Effect::Ask(Question::Queue(crate::wire::queue::QueueChange::Edit { to, .. })) => Some(to.clone()),
        _ => None,
    });
    assert_eq!(to.map(|job| job.wildcards().clone()), Some(lines("animal", &["cat"])));
}
