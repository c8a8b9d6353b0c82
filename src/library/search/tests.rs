//! Pictures are found by parts of words in any script, by marks and time, page by page; seeds by their prompt.

use super::*;
use crate::job::{MarkChange, PictureChange, SearchText, Seed, Tag};
use crate::library::samples::{self, Place};

fn text(words: &str) -> PictureQuery {
    PictureQuery { text: SearchText::new(words).expect("it is short"), ..PictureQuery::default() }
}

fn found(library: &Library, query: &PictureQuery) -> Vec<i64> {
    let pictures = library.search(query, 100).expect("it can be read");
    pictures.iter().map(|picture| picture.id.0).collect()
}

#[test]
fn words_are_found_as_parts_of_prompts_in_any_script_and_case() {
    let mut place = Place::new();
    for prompt in ["A red Fox in the snow", "一只红苹果在桌子上", "100% cotton_shirt \"x\"", "ÉCLAIR AND fox"]
    {
        place.picture(prompt);
    }
    for (words, ids) in [
        ("fox", vec![4, 1]),
        ("FOX snow", vec![1]),
        ("ox", vec![4, 1]),
        ("o", vec![4, 3, 1]),
        ("红苹果", vec![2]),
        ("苹果", vec![2]),
        ("桌 红苹", vec![2]),
        ("éclair", vec![4]),
        ("0%", vec![3]),
        ("n_s", vec![3]),
        ("_", vec![3]),
        ("%", vec![3]),
        ("\"x\"", vec![3]),
        ("\"", vec![3]),
        ("nosuch", vec![]),
        ("fox OR apple", vec![]),
        ("fox* NEAR(", vec![]),
        ("", vec![4, 3, 2, 1]),
    ] {
        assert_eq!(found(&place.library, &text(words)), ids, "{words:?}");
    }
    for broken in ["\\", "a\0bc", "((((", "-fox", "prompt:fox", "^fox"] {
        found(&place.library, &text(broken));
    }
}

#[test]
fn the_index_follows_a_job_that_is_edited() {
    let mut place = Place::new();
    let id = place.library.accept(&samples::job("a red apple"), 1, 0).expect("there is room").id;
    place.library.edit(id, &samples::job("a green pear"), 1).expect("there is room").expect("it waits");
    let hits = |word: &str| {
        let count = "SELECT COUNT(*) FROM prompts WHERE prompts MATCH ?1";
        place.library.db.query_row(count, [word], |row| row.get::<_, i64>(0)).expect("it can be read")
    };
    assert_eq!((hits("apple"), hits("pear")), (0, 1));
    let whole = "INSERT INTO prompts (prompts, rank) VALUES ('integrity-check', 1)";
    place.library.db.execute(whole, []).expect("the index is what the jobs say");
}

#[test]
fn marks_model_and_time_choose() {
    let mut place = Place::new();
    let mut other = samples::job("a fox");
    other.model = ModelName::new("schnell");
    let first = place.picture("a fox");
    let second = samples::picture(&mut place.library, &other);
    let child = samples::picture(&mut place.library, &samples::job("a fox").iterated_from(Some(first.id)));
    assert_eq!(child.parent, Some(first.id));
    let tag = Tag::new("Wild").expect("it is one");
    let rating = |number: u8| Rating::try_from(number).expect("it is one");
    for (picture, mark) in [
        (first.id, MarkChange::Rate(rating(3))),
        (second.id, MarkChange::Rate(rating(5))),
        (second.id, MarkChange::Tag { add: vec![tag.clone()], remove: Vec::new() }),
        (child.id, MarkChange::Favourite(true)),
    ] {
        place.library.change(&PictureChange { picture, mark }, 0).expect("there is room");
    }
    let all = PictureQuery::default;
    for (query, ids) in [
        (PictureQuery { rating: rating(3), ..all() }, vec![2, 1]),
        (PictureQuery { rating: rating(4), ..all() }, vec![2]),
        (PictureQuery { favourite: true, ..all() }, vec![3]),
        (PictureQuery { tags: vec![tag.clone()], ..text("fox") }, vec![2]),
        (PictureQuery { tags: vec![tag, Tag::new("tame").expect("it is one")], ..all() }, vec![]),
        (PictureQuery { model: Some(ModelName::new("dev")), ..all() }, vec![3, 1]),
        (PictureQuery { parent: Some(first.id), ..all() }, vec![3]),
        (PictureQuery { since: Some(second.finished_at), ..all() }, vec![3, 2]),
        (PictureQuery { until: Some(second.finished_at), ..all() }, vec![1]),
    ] {
        // Pictures of the same millisecond are of the same time.
        if first.finished_at < second.finished_at || (query.since, query.until) == (None, None) {
            assert_eq!(found(&place.library, &query), ids, "{query:?}");
        }
    }
}

#[test]
fn pages_go_on_from_the_last_picture_newest_first_by_time() {
    let mut place = Place::new();
    (0..7).for_each(|_| drop(place.picture("a fox")));
    // The times of files that were imported are not in the order of their numbers; two are the same.
    for (id, at) in [(1, 50), (2, 70), (3, 10), (4, 70), (5, 20), (6, 60), (7, 40)] {
        let set = "UPDATE pictures SET finished_at = ?2 WHERE id = ?1";
        place.library.db.execute(set, (id, at)).expect("there is room");
    }
    for filter in [PictureQuery::default(), text("fox")] {
        let (mut query, mut all) = (filter, Vec::new());
        loop {
            let page = place.library.search(&query, 2).expect("it can be read");
            let Some(last) = page.last() else { break };
            query.before = Some(last.id);
            all.extend(page.iter().map(|picture| picture.id.0));
        }
        assert_eq!(all, [4, 2, 6, 1, 7, 5, 3]);
    }
}

#[test]
fn seeds_of_a_prompt_are_those_of_its_words_the_best_first() {
    let mut place = Place::new();
    for (prompt, seed) in [("a red  fox\n", 5), ("a red fox", 6), ("a red foxes", 7), (" a red fox", 8)] {
        let mut job = samples::job(prompt);
        job.seed = Seed::Fixed(seed);
        samples::picture(&mut place.library, &job);
    }
    let rate = MarkChange::Rate(Rating::try_from(2).expect("it is one"));
    place.library.change(&PictureChange { picture: PictureId(1), mark: rate }, 0).expect("there is room");
    let favourite = PictureChange { picture: PictureId(2), mark: MarkChange::Favourite(true) };
    place.library.change(&favourite, 0).expect("there is room");
    let seeds = place.library.seeds("a\nred fox").expect("it can be read");
    assert_eq!(seeds.iter().map(|tried| tried.seed).collect::<Vec<_>>(), [6, 5, 8]);
    assert!(seeds[0].favourite && seeds[1].rating.get() == 2 && !seeds[0].missing);
    std::fs::remove_file(&seeds[0].path).expect("it is there");
    assert!(place.library.seeds("a red fox").expect("it can be read")[0].missing);
    assert!(place.library.picture(PictureId(2)).expect("it can be read").expect("it is there").missing);
}

#[test]
fn what_choices_became_is_kept_and_found_beside_what_was_written() {
    let mut place = Place::new();
    let mut job = samples::job("a {red|blue} __animal__");
    job.seed = Seed::Fixed(3);
    let lines = [("animal".to_owned(), vec!["fox".to_owned(), "狐狸".to_owned()])];
    let job = job.with_wildcards(
        crate::job::Wildcards::try_from(std::collections::BTreeMap::from(lines)).expect("few"),
    );
    let id = place.library.accept(&job, 3, 0).expect("there is room").id;
    let mut recipe = samples::recipe(&job.at_seed(3).expect("it has words"), 3);
    recipe.prompt = crate::job::Prompt::new("a blue 狐狸").expect("text");
    recipe.template = Some(job.prompt.clone());
    let picture = samples::write(&mut place.library, id, 0, &recipe);
    assert_eq!((&picture.recipe.prompt, &picture.recipe.template), (&recipe.prompt, &recipe.template));
    place.picture("a blue owl");
    for (words, ids) in
        [("blue", vec![2, 1]), ("狐狸", vec![1]), ("狐", vec![1]), ("animal", vec![1]), ("blue owl", vec![2])]
    {
        assert_eq!(found(&place.library, &text(words)), ids, "{words}");
    }
    assert_eq!(place.library.seeds(job.prompt.as_str()).expect("it can be read").len(), 1);
    let open = place.reopen();
    assert_eq!(open.job(id).expect("it can be read").map(|status| status.job), Some(job));
}
