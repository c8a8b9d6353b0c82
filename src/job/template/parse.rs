//! From a prompt to its pieces. One pass finds which braces are choices, so what has no end costs nothing more.

use super::{DEPTH_MAX, NAME_BYTES, WEIGHT_MAX};
use crate::job::JobError;

/// A prompt in pieces.
#[derive(Debug, Clone, PartialEq)]
pub struct Template<'t> {
    /// In order.
    pub pieces: Vec<Piece<'t>>,
}

/// A piece of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece<'t> {
    /// Text as it stands there.
    Text {
        /// Where, in bytes.
        at: usize,
        /// The text.
        text: &'t str,
    },
    /// One of these is chosen.
    Choice {
        /// Where, in bytes.
        at: usize,
        /// What can be chosen: two at least.
        branches: Vec<Branch<'t>>,
    },
    /// A line of a wildcard is chosen.
    Wildcard {
        /// Where, in bytes.
        at: usize,
        /// Its name.
        name: &'t str,
    },
}

/// What can be chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch<'t> {
    /// How often, beside the others: 1 where it does not say.
    pub weight: f64,
    /// What it is.
    pub pieces: Vec<Piece<'t>>,
}

impl<'t> Template<'t> {
    /// # Errors
    /// [`JobError::DeepTemplate`].
    pub fn parse(text: &'t str) -> Result<Self, JobError> {
        let mut parser = Parser { text, marks: signs(text).into_iter() };
        let (pieces, _) = parser.pieces(0, 0)?;
        Ok(Self { pieces })
    }

    /// A line of a wildcard: its weight, and what it is.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn line(text: &'t str) -> Result<(f64, Self), JobError> {
        let (weight, rest) = weight(text);
        Ok((weight, Self::parse(rest)?))
    }

    /// Whether all of it is text that stands for itself.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        matches!(self.pieces[..], [] | [Piece::Text { .. }])
    }

    /// The names of the wildcards in it, as often as they are there.
    #[must_use]
    pub fn wildcards(&self) -> Vec<&'t str> {
        let mut names = Vec::new();
        collect(&self.pieces, &mut names);
        names
    }
}

fn collect<'t>(pieces: &[Piece<'t>], names: &mut Vec<&'t str>) {
    for piece in pieces {
        match piece {
            Piece::Text { .. } => {}
            Piece::Wildcard { name, .. } => names.push(name),
            Piece::Choice { branches, .. } => {
                branches.iter().for_each(|branch| collect(&branch.pieces, names));
            }
        }
    }
}

/// The longest number before `::`, with blanks.
const WEIGHT_BYTES: usize = 24;

/// The weight at the beginning of what can be chosen, and what is behind it.
pub(in crate::job) fn weight(text: &str) -> (f64, &str) {
    let read = || {
        // No further than a number is long: there may be a megabyte without one.
        let end =
            text.bytes().take(WEIGHT_BYTES).collect::<Vec<_>>().windows(2).position(|two| two == b"::")?;
        let (number, rest) = (text[..end].trim(), &text[end + 2..]);
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let weight = number.parse::<f64>().ok().filter(|weight| digits && *weight <= WEIGHT_MAX)?;
        Some((weight, rest))
    };
    read().unwrap_or((1.0, text))
}

/// A sign that may mean something.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Sign {
    /// A backslash that is left out, before so many bytes that are text.
    Escape(usize),
    /// The beginning of a choice.
    Begin,
    /// Between what can be chosen.
    Or,
    /// Its end.
    End,
    /// A wildcard, with underscores so many bytes.
    Wildcard(usize),
}

/// A sign, where it is, and whether it means something there.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: usize,
    sign: Sign,
    real: bool,
}

/// A brace whose end is looked for: itself and each `|` right in it, by their places among the marks.
struct Open {
    begin: usize,
    ors: Vec<usize>,
}

/// The signs of a text that mean something, in order.
fn signs(text: &str) -> Vec<Mark> {
    let (mut marks, mut open): (Vec<Mark>, Vec<Open>) = (Vec::new(), Vec::new());
    let mut tag_ends = text.match_indices('>').peekable();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let next = marks.len();
        let mut mark = |sign, real| marks.push(Mark { at, sign, real });
        if let Some(escaped) = escaped(rest) {
            mark(Sign::Escape(escaped), true);
            at += 1 + escaped;
            continue;
        }
        while tag_ends.next_if(|(end, _)| *end < at).is_some() {}
        if let Some((end, _)) = tag_ends.peek().filter(|_| rest.starts_with("<lora:")) {
            at = end + 1;
            continue;
        }
        if let Some(name) = wildcard(rest) {
            mark(Sign::Wildcard(name.len() + 4), true);
            at += name.len() + 4;
            continue;
        }
        match rest.as_bytes()[0] {
            b'{' => {
                open.push(Open { begin: next, ors: Vec::new() });
                mark(Sign::Begin, false);
            }
            b'|' => {
                if let Some(within) = open.last_mut() {
                    within.ors.push(next);
                    mark(Sign::Or, false);
                }
            }
            b'}' => {
                if let Some(Open { begin, ors }) = open.pop().filter(|of| !of.ors.is_empty()) {
                    mark(Sign::End, true);
                    ors.into_iter().chain([begin]).for_each(|of| marks[of].real = true);
                }
            }
            _ => {}
        }
        // Of underscores that begin no name none begins one.
        let underscores = rest.len() - rest.trim_start_matches('_').len();
        at += rest.chars().next().map_or(1, char::len_utf8).max(underscores);
    }
    marks.retain(|mark| mark.real);
    marks
}

/// How many bytes a backslash makes text.
fn escaped(rest: &str) -> Option<usize> {
    let behind = rest.strip_prefix('\\')?;
    if behind.starts_with("__") {
        return Some(2);
    }
    behind.starts_with(['{', '}', '|']).then_some(1)
}

/// The name of the wildcard that a text begins with: `__name__`, in letters of any script, digits, `-`, single `_` and
/// dots, in folders by `/`.
fn wildcard(rest: &str) -> Option<&str> {
    let behind = rest.strip_prefix("__")?;
    let looked_at = behind.char_indices().take_while(|(at, _)| *at <= NAME_BYTES);
    let mut end = None;
    let mut last = '/';
    for (at, letter) in looked_at {
        if behind[at..].starts_with("__") {
            end = Some(at);
            break;
        }
        if !(letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | '/')) {
            return None;
        }
        // No part is empty, hidden, or leads elsewhere.
        if last == '/' && matches!(letter, '/' | '.' | '_') {
            return None;
        }
        last = letter;
    }
    let name = &behind[..end?];
    (!name.is_empty() && !name.ends_with('/')).then_some(name)
}

/// Walks through the signs.
struct Parser<'t> {
    text: &'t str,
    marks: std::vec::IntoIter<Mark>,
}

/// What ends pieces: the end of the text, of what can be chosen, or of the choice; and where it begins.
type Ending = (Option<Sign>, usize);

impl<'t> Parser<'t> {
    /// The pieces from `from` on.
    fn pieces(&mut self, from: usize, depth: usize) -> Result<(Vec<Piece<'t>>, Ending), JobError> {
        let (mut pieces, mut from) = (Vec::new(), from);
        loop {
            let mark = self.marks.next();
            let at = mark.map_or(self.text.len(), |mark| mark.at);
            if from < at {
                pieces.push(Piece::Text { at: from, text: &self.text[from..at] });
            }
            match mark.map(|mark| mark.sign) {
                Some(Sign::Escape(bytes)) => {
                    let text = &self.text[at + 1..at + 1 + bytes];
                    pieces.push(Piece::Text { at: at + 1, text });
                    from = at + 1 + bytes;
                }
                Some(Sign::Wildcard(bytes)) => {
                    pieces.push(Piece::Wildcard { at, name: &self.text[at + 2..at + bytes - 2] });
                    from = at + bytes;
                }
                Some(Sign::Begin) => {
                    let (branches, end) = self.branches(at, depth + 1)?;
                    pieces.push(Piece::Choice { at, branches });
                    from = end;
                }
                ending => return Ok((pieces, (ending, at))),
            }
        }
    }

    /// What can be chosen in the braces at `at`, and where the text goes on.
    fn branches(&mut self, at: usize, depth: usize) -> Result<(Vec<Branch<'t>>, usize), JobError> {
        if depth > DEPTH_MAX {
            return Err(JobError::DeepTemplate);
        }
        let (mut branches, mut from) = (Vec::new(), at + 1);
        loop {
            let (weight, rest) = weight(&self.text[from..]);
            // A weight is not beyond the next sign: its letters are digits, dots, blanks and colons.
            let begin = self.text.len() - rest.len();
            let (pieces, (ending, end)) = self.pieces(begin, depth)?;
            branches.push(Branch { weight, pieces: trimmed(pieces) });
            from = end + 1;
            if ending != Some(Sign::Or) {
                return Ok((branches, from));
            }
        }
    }
}

/// The same without blanks at the ends.
fn trimmed(mut pieces: Vec<Piece<'_>>) -> Vec<Piece<'_>> {
    if let Some(Piece::Text { at, text }) = pieces.first_mut() {
        let kept = text.trim_start();
        *at += text.len() - kept.len();
        *text = kept;
    }
    if let Some(Piece::Text { text, .. }) = pieces.last_mut() {
        *text = text.trim_end();
    }
    pieces
}
