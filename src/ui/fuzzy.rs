//! How well a text fits what was typed of it: the letters of each word, in their order, the nearer the better.

/// For a letter that is there.
const LETTER: i32 = 2;
/// For one right behind the last.
const BEHIND: i32 = 6;
/// Letters between those of a word, at most: so many times its length.
const FAR: usize = 2;
/// For one that begins a word.
const BEGINS: i32 = 8;

/// How well a text fits; `None` when a word is not in it. Case does not count.
#[must_use]
pub fn score(words: &str, text: &str) -> Option<i32> {
    let text: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
    words.split_whitespace().map(|word| of_word(word, &text)).sum()
}

/// The best of every place at which the word may begin.
fn of_word(word: &str, text: &[char]) -> Option<i32> {
    let word: Vec<char> = word.chars().flat_map(char::to_lowercase).collect();
    let first = *word.first()?;
    let starts = (0..text.len()).filter(|at| text[*at] == first);
    starts.filter_map(|start| from(&word, text, start)).max()
}

fn from(word: &[char], text: &[char], start: usize) -> Option<i32> {
    let begins = |at: usize| at == 0 || !text[at - 1].is_alphanumeric();
    let (mut total, mut at) = (0, start);
    for (index, letter) in word.iter().enumerate() {
        let found = at + text[at..].iter().position(|found| found == letter)?;
        total += LETTER;
        if begins(found) {
            total += BEGINS;
        } else if index > 0 && found == at {
            total += BEHIND;
        }
        at = found + 1;
    }
    let between = at - start - word.len();
    // Letters that are far apart fit anything.
    let near = between <= FAR * word.len();
    near.then(|| total - i32::try_from(between).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best<'t>(words: &str, texts: &[&'t str]) -> &'t str {
        texts.iter().max_by_key(|text| score(words, text)).expect("there are texts")
    }

    #[test]
    fn all_letters_in_their_order_or_nothing() {
        assert!(score("dra", "draw again").is_some());
        assert!(score("dag", "draw again").is_some());
        assert_eq!(score("gd", "draw again"), None);
        assert_eq!(score("draw fox", "draw again"), None);
        assert_eq!(score("seed", "back to the shell; fg returns suspend"), None, "too far apart");
        assert!(score("again draw", "draw again").is_some(), "words in any order");
        assert!(score("", "anything").is_some());
        assert!(score("红", "一只红狐").is_some());
    }

    #[test]
    fn what_is_near_and_begins_words_comes_first() {
        let texts = ["draw again with a new seed", "take back a digit", "delete the word right"];
        assert_eq!(best("draw", &texts), texts[0]);
        assert_eq!(best("ns", &texts), texts[0]);
        assert_eq!(best("word", &texts), texts[2]);
        assert_eq!(best("theme", &["then here me", "choose a theme"]), "choose a theme");
    }
}
