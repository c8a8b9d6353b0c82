//! Which of many texts a person means by a few letters: letters that are there in their order fit, and those that stand
//! together or begin a word fit better.

/// For a letter right behind the one before it.
const TOGETHER: u32 = 4;
/// For a letter that begins a word.
const BEGINS: u32 = 3;

/// How well a word fits a text, whatever the case of its letters: the more the better; `None` where its letters are not
/// there in their order.
#[must_use]
pub fn score(text: &str, word: &str) -> Option<u32> {
    let (text, word) = (letters(text), letters(word));
    let Some(first) = word.first() else { return Some(0) };
    let starts = text.iter().enumerate().filter(|(_, letter)| *letter == first);
    starts.filter_map(|(start, _)| from(&text, &word, start)).max()
}

fn letters(text: &str) -> Vec<char> {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// The score when the word's first letter is meant to be there.
fn from(text: &[char], word: &[char], start: usize) -> Option<u32> {
    let (mut score, mut at) = (0, start);
    for (index, letter) in word.iter().enumerate() {
        let found = at + text.get(at..)?.iter().position(|found| found == letter)?;
        let begins = found == 0 || !text[found - 1].is_alphanumeric();
        score += 1;
        score += if index > 0 && found == at { TOGETHER } else { 0 };
        score += if begins { BEGINS } else { 0 };
        at = found + 1;
    }
    Some(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_their_order_fit() {
        assert!(score("styles/ink-wash_v2", "inkv2").is_some());
        assert!(score("styles/ink-wash_v2", "SIW").is_some());
        assert_eq!(score("styles/ink-wash_v2", "v2ink"), None);
        assert_eq!(score("水墨 画", "水画"), score("AB c", "ac"));
        assert_eq!((score("x", ""), score("", "x")), (Some(0), None));
    }

    #[test]
    fn what_stands_together_or_begins_a_word_fits_better() {
        let better = |one: &str, other: &str, word: &str| {
            assert!(score(one, word) > score(other, word), "{word}: {one} and {other}");
        };
        better("ink", "i-n-k", "ink");
        better("old/ink", "drinking", "ink");
        better("pixel_art", "portrait", "pa");
        better("a sink, an ink", "a sink", "ink");
    }
}
