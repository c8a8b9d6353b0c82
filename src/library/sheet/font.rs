//! The letters of labels: bitmaps of 16 rows from GNU Unifont (`fonts/README.md` says which letters there are).

use std::io::Read as _;
use std::sync::LazyLock;

use flate2::read::GzDecoder;

/// Rows of a line of text.
pub const HEIGHT: u32 = 16;

/// Glyphs by code point, in order: the code point, the width in pixels, and where its rows are.
struct Font {
    index: Vec<(u16, u8, usize)>,
    rows: Vec<u8>,
}

static FONT: LazyLock<Font> = LazyLock::new(|| Font::unpack(include_bytes!("../../../fonts/labels.bin.gz")));

impl Font {
    fn unpack(packed: &[u8]) -> Self {
        let mut rows = Vec::new();
        // It is part of the program, and a test reads it.
        let _ = GzDecoder::new(packed).read_to_end(&mut rows);
        let (mut index, mut at) = (Vec::new(), 0);
        while let Some([high, low, width]) = rows.get(at..at + 3) {
            index.push((u16::from_be_bytes([*high, *low]), *width, at + 3));
            at += 3 + 2 * usize::from(*width);
        }
        Self { index, rows }
    }

    fn glyph(&self, letter: char) -> Option<(u8, &[u8])> {
        let code = u16::try_from(u32::from(letter)).ok()?;
        let place = self.index.binary_search_by_key(&code, |(code, ..)| *code).ok()?;
        let (_, width, at) = self.index[place];
        Some((width, self.rows.get(at..at + 2 * usize::from(width))?))
    }
}

/// Pixels that a letter takes across.
#[must_use]
pub fn width(letter: char) -> u32 {
    FONT.glyph(letter).map_or(16, |(width, _)| u32::from(width))
}

/// Pixels that a text takes across.
#[must_use]
pub fn text_width(text: &str) -> u32 {
    text.chars().map(width).sum()
}

/// Calls `set` for each pixel of a letter, from its upper left corner. A letter that there is none of is a box.
pub fn draw(letter: char, mut set: impl FnMut(u32, u32)) {
    match FONT.glyph(letter) {
        Some((width, rows)) => {
            let bytes = usize::from(width) / 8;
            for (y, row) in rows.chunks_exact(bytes).enumerate() {
                for x in 0..u32::from(width) {
                    if row[x as usize / 8] & (0x80 >> (x % 8)) != 0 {
                        set(x, y as u32);
                    }
                }
            }
        }
        None if letter.is_control() => {}
        None => (2..14).for_each(|at| {
            [(at, 2), (at, 13), (2, at), (13, at)].into_iter().for_each(|(x, y)| set(x, y));
        }),
    }
}

/// A text in lines of at most `width` pixels, at most so many; what has no room is left out with an ellipsis.
#[must_use]
pub fn wrap(text: &str, width: u32, most: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for letter in text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }) {
        if text_width(&line) + self::width(letter) <= width || line.is_empty() {
            line.push(letter);
            continue;
        }
        if lines.len() + 1 == most {
            while text_width(&line) + self::width('…') > width && line.pop().is_some() {}
            line.push('…');
            lines.push(line);
            return lines;
        }
        // Between words where there are any; Chinese has none.
        let rest = match line.rfind(' ').filter(|at| *at > 0 && letter != ' ') {
            Some(at) => line.split_off(at),
            None => String::new(),
        };
        lines.push(line.trim_end().to_owned());
        line = rest.trim_start().to_owned();
        line.extend(Some(letter).filter(|letter| *letter != ' ' || !line.is_empty()));
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_latin_and_of_chinese_japanese_and_korean_are_there() {
        assert_eq!(FONT.index.len(), 33_756);
        assert!(FONT.index.is_sorted_by_key(|(code, ..)| *code), "they are looked up by halves");
        for letter in "aZ~é×–…Жλ雪狐龥あア한。，".chars() {
            assert!(FONT.glyph(letter).is_some(), "{letter}");
            let mut set = 0;
            draw(letter, |x, y| {
                assert!(x < width(letter) && y < HEIGHT);
                set += 1;
            });
            assert!(set > 0, "{letter} has no pixel");
        }
        assert_eq!((width('a'), width('雪')), (8, 16));
        let mut of_a_box = 0;
        draw('🦊', |_, _| of_a_box += 1);
        assert_eq!(of_a_box, 48);
    }

    #[test]
    fn a_text_is_wrapped_between_words_and_ends_in_an_ellipsis() {
        assert_eq!(wrap("a red fox", 48, 3), ["a red", "fox"]);
        assert_eq!(wrap("雪中的狐狸", 48, 2), ["雪中的", "狐狸"]);
        assert_eq!(wrap("a red fox in snow", 48, 1), ["a red…"]);
        assert_eq!(wrap("", 48, 1), Vec::<String>::new());
        assert_eq!(wrap("雪", 4, 1), ["雪"], "it ends, whatever the width");
    }
}
