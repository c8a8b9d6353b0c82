//! Which prompts are shown, and what the worker is asked for.

use super::*;
use crate::job::{Job, JobId, JobState, JobStatus, PictureId, Prompt, Rating, Seed, Size};
use crate::model::ModelName;
use crate::ui::fake;

fn picture(id: i64, prompt: &str) -> Picture {
    let size = Size::new(128, 128).expect("a size");
    let prompt = Prompt::new(prompt).expect("text");
    let job = Job::new(prompt, ModelName::new("nano"), size, 4, 3.5, Seed::Random, 1).expect("a job");
    let (state, id_of_job) = (JobState::Done, JobId(id));
    let status = JobStatus { id: id_of_job, job, first_seed: 7, state, done: 1, accepted_at: 0 };
    Picture { finished_at: id, ..fake::picture(id, &status, 0, id as u64) }
}

fn drawn(id: i64, prompt: &str) -> DrawnPrompt {
    let last = LastDrawn { at: id, picture: PictureId(id) };
    DrawnPrompt { best: picture(id, prompt), pictures: 1, last }
}

fn shown(list: &PromptList) -> Vec<(String, i64)> {
    let row = |row: &&DrawnPrompt| (row.best.recipe.prompt.as_str().to_owned(), row.best.id.0);
    list.rows().iter().map(row).collect()
}

fn prompts(list: &PromptList) -> Vec<String> {
    shown(list).into_iter().map(|(prompt, _)| prompt).collect()
}

fn type_text(list: &mut PromptList, text: &str, now: Instant) {
    text.chars().for_each(|typed| list.type_character(typed, now));
}

#[test]
fn what_is_known_is_shown_at_once_each_prompt_with_its_best_picture() {
    let mut pictures = [(5, "cat"), (4, "a  fox"), (3, "cat"), (2, "a fox"), (1, "cat")]
        .map(|(id, prompt)| picture(id, prompt));
    pictures[2].marks.rating = Rating::try_from(4).expect("it is one");
    let list = PromptList::new(&pictures);
    assert_eq!(shown(&list), [("cat".to_owned(), 3), ("a  fox".to_owned(), 4)]);
    assert_eq!(list.rows()[0].pictures, 3);
}

#[test]
fn pages_are_asked_for_near_the_end_until_there_are_no_more() {
    let now = Instant::now();
    let mut list = PromptList::new(&[picture(900, "newest")]);
    let first = list.wants(now).expect("the first page");
    assert_eq!(first, PromptQuery::default());
    assert_eq!(list.wants(now), None, "one at a time");
    let page = (0..100).map(|number| drawn(800 - number, &format!("prompt {number}")));
    list.answered(&first, Some(page.collect()));
    assert_eq!((list.known(), list.wants(now)), (101, None), "the end is far");
    list.choose(ListMove::Last, 10);
    let second = list.wants(now).expect("the end is near");
    assert_eq!(second.before, Some(LastDrawn { at: 701, picture: PictureId(701) }));
    list.answered(&first, Some(vec![drawn(1, "not asked for")]));
    assert_eq!(list.known(), 101, "another question's answer is none");
    list.answered(&second, Some(Vec::new()));
    assert!(list.is_complete() && list.wants(now).is_none());
}

#[test]
fn letters_search_what_is_known_and_the_library() {
    let now = Instant::now();
    let mut list = PromptList::new(&[picture(9, "a red fox"), picture(8, "a cat")]);
    let first = list.wants(now).expect("a page");
    list.answered(&first, Some(vec![drawn(7, "a blue fox")]));
    type_text(&mut list, "fox", now);
    assert_eq!(prompts(&list), ["a red fox", "a blue fox"]);
    assert_eq!(list.wants(now), None, "typing goes on");
    let later = list.due().expect("a moment");
    let search = list.wants(later).expect("it is searched for");
    assert_eq!((search.text.as_str(), search.before), ("fox", None));
    list.answered(&search, Some(vec![drawn(3, "an old fox")]));
    assert_eq!(prompts(&list).len(), 3);
    let more = list.wants(later).expect("there may be more");
    assert_eq!(more.before, Some(LastDrawn { at: 3, picture: PictureId(3) }));
    list.answered(&more, Some(Vec::new()));
    // What letters alone find is looked for among all that come.
    let rest = list.wants(later).expect("the other pages");
    assert_eq!((rest.text.as_str(), rest.before.map(|last| last.at)), ("", Some(7)));
    list.answered(&rest, Some(vec![drawn(2, "fixed box")]));
    type_text(&mut list, "\u{8}", later);
    list.backspace(later);
    list.backspace(later);
    type_text(&mut list, "xdbx", later);
    assert_eq!(prompts(&list), ["fixed box"]);
}

#[test]
fn the_choice_stays_with_its_prompt_and_a_letter_takes_it_to_the_best() {
    let now = Instant::now();
    let mut list = PromptList::new(&[picture(9, "a"), picture(8, "b")]);
    list.choose(ListMove::Down, 10);
    let first = list.wants(now).expect("a page");
    list.answered(&first, Some(vec![drawn(20, "new"), drawn(8, "b")]));
    assert_eq!((list.chosen_row(), list.chosen().map(|it| it.best.id.0)), (2, Some(8)));
    list.type_character('n', now);
    assert_eq!(list.chosen().map(|it| it.best.id.0), Some(20));
    list.type_character('z', now);
    assert!(list.chosen().is_none());
}

#[test]
fn what_cannot_be_had_is_not_asked_for_for_ever() {
    let now = Instant::now();
    let mut list = PromptList::new(&[]);
    let first = list.wants(now).expect("a page");
    list.unanswered();
    assert_eq!(list.wants(now), Some(first.clone()), "another connection is asked again");
    list.answered(&first, None);
    assert_eq!(list.wants(now), None);
}
