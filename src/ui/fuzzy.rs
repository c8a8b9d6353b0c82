//! Fuzzy search: letters that a text has in that order find it, the more together the better; blanks separate words that
//! it must all have. Small letters find capital ones too.

use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

/// As much of a text as is looked at: a prompt may have a megabyte.
const LOOKED_AT: usize = 4096;

/// Which of these texts a filter finds, the best first and of equal ones in their order; without a filter all of them.
#[must_use]
pub fn find<'t>(filter: &str, texts: impl Iterator<Item = &'t str>) -> Vec<usize> {
    if filter.trim().is_empty() {
        return (0..texts.count()).collect();
    }
    let pattern = Pattern::parse(&escaped(filter), CaseMatching::Smart, Normalization::Smart);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut letters = Vec::new();
    let mut found: Vec<_> = texts
        .enumerate()
        .filter_map(|(index, text)| {
            let score = pattern.score(Utf32Str::new(beginning(text), &mut letters), &mut matcher)?;
            Some((score, index))
        })
        .collect();
    // It is stable: of equal ones the first stays the first.
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().map(|(_, index)| index).collect()
}

/// As much of a text as is looked at.
fn beginning(text: &str) -> &str {
    let end = (0..=LOOKED_AT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// The signs by which the library means more than letters (`!`, `^`, `'`, `$`) mean themselves here: prompts have them.
fn escaped(filter: &str) -> String {
    let mut escaped = String::with_capacity(filter.len());
    for word in filter.split_whitespace() {
        if word.starts_with(['!', '^', '\'']) {
            escaped.push('\\');
        }
        match word.strip_suffix('$') {
            Some(before) => {
                escaped.push_str(before);
                escaped.push_str("\\$");
            }
            None => escaped.push_str(word),
        }
        escaped.push(' ');
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const TEXTS: [&str; 6] = [
        "a red fox in the snow",
        "refined box",
        "一只红苹果在桌子上",
        "RED FOX!",
        "costs 5$",
        "!not ^this 'one",
    ];

    fn found(filter: &str) -> Vec<&'static str> {
        find(filter, TEXTS.into_iter()).into_iter().map(|index| TEXTS[index]).collect()
    }

    #[test]
    fn letters_in_order_find_and_letters_together_find_first() {
        assert_eq!(found("fox"), ["a red fox in the snow", "RED FOX!", "refined box"]);
        assert_eq!(found("snow red"), ["a red fox in the snow"], "words in any order");
        assert_eq!(found("rdfx"), ["a red fox in the snow", "RED FOX!"]);
        assert_eq!(found("FOX"), ["RED FOX!"], "a capital letter means one");
        assert_eq!(found("苹果 红"), ["一只红苹果在桌子上"]);
        assert_eq!(found(" ").len(), TEXTS.len());
        assert_eq!(found("zebra"), [] as [&str; 0]);
    }

    #[test]
    fn signs_mean_themselves() {
        for (filter, text) in [
            ("!not", "!not ^this 'one"),
            ("^t", "!not ^this 'one"),
            ("'o", "!not ^this 'one"),
            ("5$", "costs 5$"),
        ] {
            assert_eq!(found(filter), [text], "{filter}");
        }
        for odd in ["\\", "$", "!", "^", "'", "\\ \\", "a\\", "!^'$"] {
            found(odd);
        }
    }

    #[test]
    fn ten_thousand_prompts_are_searched_between_two_keys() {
        let prompts: Vec<String> = (0..10_000)
            .map(|number| {
                format!("a portrait of person {number} in soft light, film grain, 85 mm, {}", number * 7)
            })
            .collect();
        let begun = Instant::now();
        let found = find("prt 777", prompts.iter().map(String::as_str));
        assert!(!found.is_empty());
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(250), "{took:?}");
    }
}
