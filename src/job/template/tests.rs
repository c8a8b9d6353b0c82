//! Choices: what is one, what is drawn, and that nothing of it depends on anything else.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::job::{Job, JobError, PROMPT_BYTES, Prompt, Seed, Size, Wildcards};
use crate::model::ModelName;

fn wildcards(all: &[(&str, &[&str])]) -> Wildcards {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    let all: BTreeMap<String, Vec<String>> =
        all.iter().map(|(name, own)| ((*name).to_owned(), lines(own))).collect();
    Wildcards::try_from(all).expect("they are few")
}

fn draw(prompt: &str, seed: u64) -> String {
    draw_with(prompt, seed, &Wildcards::default())
}

fn draw_with(prompt: &str, seed: u64, wildcards: &Wildcards) -> String {
    let template = Template::parse(prompt).expect("it is not deep");
    template.draw(Pick::Seed(seed), wildcards).expect("it is short").text
}

/// All that a prompt becomes for some seeds.
fn all_of(prompt: &str, wildcards: &Wildcards) -> Vec<String> {
    let mut all: Vec<_> = (0..200).map(|seed| draw_with(prompt, seed, wildcards)).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn a_choice_gives_each_of_its_words() {
    let none = Wildcards::default();
    assert_eq!(all_of("a { red | blue|green } fox", &none), ["a blue fox", "a green fox", "a red fox"]);
    assert_eq!(all_of("{a {fox|cat}|an owl}", &none), ["a cat", "a fox", "an owl"]);
    assert_eq!(all_of("x{|y}", &none), ["x", "xy"]);
    assert_eq!(all_of("{狐狸|猫}在雪里", &none), ["狐狸在雪里", "猫在雪里"]);
    let hair = wildcards(&[("hair/colour", &["red", "{light|dark} brown"]), ("发色", &["金发"])]);
    assert_eq!(
        all_of("__hair/colour__ hair, __发色__", &hair),
        ["dark brown hair, 金发", "light brown hair, 金发", "red hair, 金发"]
    );
}

#[test]
fn what_is_no_choice_stays_as_it_is() {
    for plain in [
        "a fox",
        "{a} {} { b",
        "a | b } c {",
        "{\"a\": {\"b\": 1}}",
        "a {b | c",
        "<lora:my__best__ink:1>",
        "<lora:{a|b}:1>",
        "____ __ _a_ __a b__ __../up__ __/a__ __a/__ __.hidden__",
        "\\n \\( \\\\",
        "__a",
        "",
    ] {
        assert_eq!(draw(plain, 1), plain);
    }
    let escaped = "\\{a\\|b\\} \\__init__ {\\{|\\{}";
    assert_eq!(draw(escaped, 1), "{a|b} __init__ {");
}

#[test]
fn braces_that_are_text_may_hold_choices_and_choices_braces() {
    assert_eq!(all_of("{x {a|b}}", &Wildcards::default()), ["{x a}", "{x b}"]);
    assert_eq!(all_of("{{a}|b}", &Wildcards::default()), ["b", "{a}"]);
    assert_eq!(all_of("{ open {a|b}", &Wildcards::default()), ["{ open a", "{ open b"]);
    let tags = "{<lora:a|b:1>|<lora:c:{x|y}>}";
    assert_eq!(all_of(tags, &Wildcards::default()), ["<lora:a|b:1>", "<lora:c:{x|y}>"]);
}

#[test]
fn weights_say_how_often() {
    let often = |prompt: &str, word: &str| (0..2000).filter(|seed| draw(prompt, *seed) == word).count();
    assert!((1800..1990).contains(&often("{19::a|b}", "a")));
    assert!((900..1100).contains(&often("{a|b}", "b")));
    assert_eq!(often("{0::a|b}", "a"), 0);
    assert!((900..1100).contains(&often("{0::a|0::b}", "a")), "none has more than the other");
    assert_eq!(all_of("{x::a|2000::b|.5 :: c}", &Wildcards::default()), ["2000::b", "c", "x::a"]);
    let lines = wildcards(&[("w", &["9::a", "b"])]);
    let heavy = (0..1000).filter(|seed| draw_with("__w__", *seed, &lines) == "a").count();
    assert!((850..950).contains(&heavy), "{heavy}");
}

#[test]
fn the_same_seed_gives_these_words_for_ever() {
    let prompt = "{a|b|c|d} {a|b|c|d} {x {1|2|3}|y {1|2|3}}";
    let words = [0, 1, 7, u64::MAX].map(|seed| draw(prompt, seed));
    assert_eq!(words, ["d a y 2", "b a y 3", "b d y 1", "c d x 2"]);
}

#[test]
fn wildcards_that_are_missing_deep_or_endless_are_refused() {
    let template = Template::parse("a __fox__").expect("it is not deep");
    let error = template.draw(Pick::Seed(1), &Wildcards::default());
    assert_eq!(error, Err(JobError::NoWildcard("fox".into())));
    let ring = wildcards(&[("a", &["__b__"]), ("b", &["__a__"])]);
    let template = Template::parse("__a__").expect("it is not deep");
    assert_eq!(template.draw(Pick::Seed(1), &ring), Err(JobError::DeepTemplate));
    assert_eq!(template.draw(Pick::Longest, &ring), Err(JobError::DeepTemplate));
    let deep = "{".repeat(9) + "a" + &"|b}".repeat(9);
    assert_eq!(Template::parse(&deep), Err(JobError::DeepTemplate));
    let many = "{a|b}".repeat(CHOICES_MAX + 1);
    let template = Template::parse(&many).expect("it is not deep");
    assert_eq!(template.draw(Pick::Seed(1), &Wildcards::default()), Err(JobError::ManyChoices));
    let line = "x".repeat(200 << 10);
    let long = wildcards(&[("w", &[&line])]);
    let template = Template::parse("__w__ __w__ __w__ __w__ __w__ __w__").expect("it is not deep");
    assert!(matches!(template.draw(Pick::Seed(1), &long), Err(JobError::LongPrompt { .. })));
}

#[test]
fn a_megabyte_of_signs_is_read_at_once() {
    let begun = std::time::Instant::now();
    for piece in ["{", "}", "|", "{a|", "__", "<lora:", "\\{", "{2::", "__a", "{|}", "_"] {
        let text = piece.repeat(PROMPT_BYTES / piece.len());
        let _ = Template::parse(&text).and_then(|it| it.draw(Pick::Longest, &Wildcards::default()));
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn places_in_the_words_are_found_in_the_prompt() {
    let prompt = "a {red|blue} fox, __w__ and \\{more\\}";
    let lines = wildcards(&[("w", &["a long line"])]);
    let drawn = Template::parse(prompt).expect("flat").draw(Pick::Longest, &lines).expect("it is short");
    assert_eq!(drawn.text, "a blue fox, a long line and {more}");
    let at = |word: &str| drawn.in_template(drawn.text.find(word).expect("it is there"));
    for word in ["a ", "blue", "fox", " and"] {
        assert_eq!(at(word), prompt.find(word).expect("it is there"), "{word}");
    }
    assert_eq!(
        (at("long"), at("line")),
        (prompt.find("__w").expect("there"), prompt.find("__w").expect("there"))
    );
    assert_eq!(at("more"), prompt.find("more").expect("there"));
}

#[test]
fn the_longest_words_are_no_shorter_than_any() {
    let lines = wildcards(&[("w", &["a", "{b|bbb __v__}"]), ("v", &["x", "xx"])]);
    let template = Template::parse("{1|__w__ {22|333}} __v__").expect("flat");
    let longest = template.draw(Pick::Longest, &lines).expect("it is short").text;
    assert_eq!(longest, "bbb xx 333 xx");
}

fn job(prompt: &str) -> Job {
    let (prompt, size) = (Prompt::new(prompt).expect("text"), Size::new(64, 64).expect("a size"));
    Job::new(prompt, ModelName::new("nano"), size, 4, 3.5, Seed::Random, 2).expect("it is in range")
}

#[test]
fn a_job_has_the_words_of_each_seed_and_always_some() {
    let asked = job("{a fox <lora:ink:1>|a cat}");
    assert_eq!(asked.check_words(), Ok(()));
    let drawn: Vec<_> = (0..40).map(|seed| asked.at_seed(seed).expect("it has words")).collect();
    assert!(
        drawn.iter().all(|job| job.tagged().loras.len() == usize::from(job.prompt.as_str().contains("fox")))
    );
    assert!(drawn.iter().any(|job| job.prompt.as_str() == "a cat"));
    for blank in ["{a|}", "{|a} {|b}", "{a|<lora:ink:1>}", "{a|{|b}}"] {
        assert_eq!(job(blank).check_words(), Err(JobError::BlankTemplate), "{blank}");
    }
    let unknown = JobError::NoWildcard("w".into());
    assert_eq!(job("a __w__").check_words(), Err(unknown));
}

proptest! {
    #[test]
    fn any_text_is_read_and_drawn_within_bounds(
        text in "[a{}|\\\\_ :2<>lora狐/.-]{0,120}", seed: u64
    ) {
        if let Ok(template) = Template::parse(&text) {
            let words = template.draw(Pick::Seed(seed), &Wildcards::default());
            prop_assert_eq!(&words, &template.draw(Pick::Seed(seed), &Wildcards::default()));
            if let Ok(words) = words {
                prop_assert!(words.text.len() <= text.len(), "nothing is added");
                let longest = template.draw(Pick::Longest, &Wildcards::default());
                prop_assert!(longest.is_ok_and(|longest| longest.text.len() >= words.text.len()));
                for at in 0..=words.text.len() {
                    prop_assert!(words.in_template(at) <= text.len());
                }
            }
        }
    }

    /// What one choice gives does not depend on what stands in the others.
    #[test]
    fn a_change_within_one_choice_leaves_the_others(
        before in prop::collection::vec("[a-z]{1,6}", 2..6),
        after in prop::collection::vec("[a-z]{1,6}", 2..6),
        others in prop::collection::vec(prop::collection::vec("[a-z]{1,6}", 2..6), 1..4),
        seed: u64,
    ) {
        let of = |words: &[String]| format!("{{{}}}", words.join("|"));
        let rest: Vec<_> = others.iter().map(|words| of(words)).collect();
        let one = draw(&format!("{}, {}", of(&before), rest.join(" ")), seed);
        let other = draw(&format!("{}, {} more", of(&after), rest.join(" ")), seed);
        let behind = |text: &str| text.split_once(", ").map(|(_, rest)| rest.to_owned());
        prop_assert_eq!(behind(&one).map(|text| text + " more"), behind(&other));
    }

    #[test]
    fn what_is_written_as_text_is_drawn_as_text(text in "[a-z{}| 狐]{0,60}", seed: u64) {
        let escaped: String = text
            .chars()
            .flat_map(|letter| matches!(letter, '{' | '}' | '|').then_some('\\').into_iter().chain([letter]))
            .collect();
        prop_assert_eq!(draw(&escaped, seed), text);
    }
}
