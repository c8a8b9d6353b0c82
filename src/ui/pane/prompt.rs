//! The prompt and how it fits both encoders.

use std::time::{Duration, Instant};

use super::words::Words;
use crate::job::{Encoder, PictureId, TokenCount, Wildcards};
use crate::model::ModelName;
use crate::ui::editor::Editor;
use crate::ui::effect::{Gather, Question};

/// Typing pauses this long before a prompt is counted.
const PAUSE: Duration = Duration::from_millis(40);
/// The same for a prompt that takes a while to send and to count.
const LONG_PAUSE: Duration = Duration::from_millis(300);
/// A prompt that does.
const LONG: usize = 16 * 1024;

/// The prompt pane.
#[derive(Debug, Clone, Default)]
pub struct PromptPane {
    /// The text.
    pub editor: Editor,
    /// How it fits.
    pub counts: Counts,
    /// The picture of the history that it was last taken from, or whose seed was, until it is emptied.
    pub parent: Option<PictureId>,
    /// That it is drawn with one seed after the other.
    pub tried: Option<Tried>,
    /// What becomes of its choices.
    pub words: Words,
}

/// A prompt that is drawn with one seed after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Its text.
    pub prompt: String,
    /// The seed that is next.
    pub next: u64,
}

/// How the prompt fits, as far as is known. One question at a time is on its way; the latest
/// text wins.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// The last answer: for which text, and what it was.
    answer: Option<(u64, Vec<TokenCount>)>,
    /// The text and model that were last asked about.
    asked: Option<(u64, ModelName)>,
    in_flight: bool,
    /// When the text of this version was first seen.
    seen: Option<(u64, Instant)>,
}

impl Counts {
    /// The last counts, and whether they are of the text as it is now.
    #[must_use]
    pub fn of(&self, version: u64) -> Option<(&[TokenCount], bool)> {
        self.answer.as_ref().map(|(counted, counts)| (&counts[..], *counted == version))
    }

    /// Where the text stops being read by T5, the encoder that sees its words one by one.
    #[must_use]
    pub fn cut_at(&self, version: u64) -> Option<usize> {
        let (counts, true) = self.of(version)? else { return None };
        counts.iter().find(|count| count.encoder == Encoder::T5)?.cut_at
    }

    /// The question to ask now, if any.
    pub fn question(&mut self, editor: &Editor, model: &ModelName, now: Instant) -> Option<Question> {
        let version = editor.version();
        if self.in_flight || !self.is_stale(version, model) {
            return None;
        }
        if self.seen.is_none_or(|(seen, _)| seen != version) {
            self.seen = Some((version, now));
        }
        if self.due(editor).is_some_and(|due| due > now) {
            return None;
        }
        self.in_flight = true;
        self.asked = Some((version, model.clone()));
        Some(Question::Count { version, model: model.clone(), text: editor.text().to_owned() })
    }

    /// When the next question is to be asked.
    #[must_use]
    pub fn deadline(&self, editor: &Editor, model: &ModelName) -> Option<Instant> {
        let waits = !self.in_flight && self.is_stale(editor.version(), model);
        waits.then(|| self.due(editor)).flatten()
    }

    fn due(&self, editor: &Editor) -> Option<Instant> {
        let pause = if editor.text().len() > LONG { LONG_PAUSE } else { PAUSE };
        // The first count of all comes at once.
        self.seen.map(|(_, seen)| if self.asked.is_none() { seen } else { seen + pause })
    }

    fn is_stale(&self, version: u64, model: &ModelName) -> bool {
        self.asked.as_ref().is_none_or(|(asked, of)| *asked != version || of != model)
    }

    /// Takes an answer.
    pub fn answered(&mut self, version: u64, counts: Option<Vec<TokenCount>>) {
        self.in_flight = false;
        if let Some(counts) = counts {
            self.answer = Some((version, counts));
        }
    }

    /// What was counted is not what it is now.
    pub fn again(&mut self) {
        self.asked = None;
    }

    /// The connection is another: what was asked will not be answered.
    pub fn forget(&mut self) {
        self.in_flight = false;
        self.asked = None;
    }
}

/// Tokens of T5 beyond which what a prompt says has little weight: a subject and words of quality take fewer. schnell
/// reads no more at all.
const HEEDED: usize = 256;

/// The first run of letters of a script that T5's vocabulary does not have: Chinese, Japanese or Korean.
fn foreign_word(text: &str) -> Option<&str> {
    let is_foreign = |letter: char| {
        matches!(letter, '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
            && letter.is_alphanumeric()
    };
    let begin = text.find(is_foreign)?;
    let rest = &text[begin..];
    Some(&rest[..rest.find(|letter| !is_foreign(letter)).unwrap_or(rest.len())])
}

/// Something to be said about the prompt, below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remark<'t> {
    /// An encoder does not read all of it.
    Cut {
        /// Which encoder.
        encoder: Encoder,
        /// Tokens there are.
        tokens: usize,
        /// Tokens it reads.
        limit: usize,
        /// What it does not read.
        text: &'t str,
    },
    /// A wildcard cannot be had.
    Wildcard(&'t str),
    /// T5, which reads the words one by one, does not know the script of some.
    Script {
        /// The first of them.
        word: &'t str,
        /// How many tokens it does not know.
        tokens: usize,
    },
    /// All of it is read, but there is more than is heeded.
    Long {
        /// Tokens of T5.
        tokens: usize,
    },
    /// An encoder does not know some of it.
    Unknown {
        /// Which encoder.
        encoder: Encoder,
        /// How many tokens.
        tokens: usize,
    },
}

impl PromptPane {
    /// What to have counted now, if anything: of a prompt with choices the longest words.
    pub fn question(&mut self, model: &ModelName, now: Instant) -> Option<Question> {
        let mut question = self.counts.question(&self.editor, model, now)?;
        if let Question::Count { text, .. } = &mut question {
            *text = self.words.longest(std::mem::take(text));
        }
        Some(question)
    }

    /// The wildcards to read now, if any.
    pub fn gather(&mut self) -> Option<Gather> {
        self.words.gather()
    }

    /// Wildcards were read, or cannot be: the prompt is counted with them.
    pub fn gathered(&mut self, prompt: &str, result: Result<Wildcards, String>) {
        if self.words.gathered(prompt, result) {
            self.counts.again();
        }
    }

    /// Takes an answer.
    pub fn counted(&mut self, version: u64, counts: Option<Vec<TokenCount>>) {
        let mut counts = counts;
        for count in counts.iter_mut().flatten() {
            count.cut_at = count.cut_at.map(|at| self.words.in_prompt(at));
        }
        self.counts.answered(version, counts);
    }

    /// What is to be said about the prompt as it was last counted.
    #[must_use]
    pub fn remarks(&self) -> Vec<Remark<'_>> {
        let Some((counts, _)) = self.counts.of(self.editor.version()) else { return Vec::new() };
        let text = self.editor.text();
        let cuts = counts.iter().filter(|count| count.cut_at.is_some()).map(|count| Remark::Cut {
            encoder: count.encoder,
            tokens: count.tokens,
            limit: count.limit,
            text: count.cut(text),
        });
        let foreign = foreign_word(text);
        let unknown = counts.iter().filter(|count| count.unknown > 0).map(|count| match foreign {
            Some(word) if count.encoder == Encoder::T5 => Remark::Script { word, tokens: count.unknown },
            _ => Remark::Unknown { encoder: count.encoder, tokens: count.unknown },
        });
        let is_long = |count: &&TokenCount| {
            count.encoder == Encoder::T5 && count.cut_at.is_none() && count.tokens > HEEDED
        };
        let long = counts.iter().find(is_long).map(|count| Remark::Long { tokens: count.tokens });
        self.words
            .problem()
            .map(Remark::Wildcard)
            .into_iter()
            .chain(cuts)
            .chain(unknown)
            .chain(long)
            .collect()
    }

    /// Lines below the text, in a pane with so many inside: the counts, and remarks as far as the
    /// text keeps two lines. Where there is no room, a remark takes the counts' place.
    #[must_use]
    pub fn foot_rows(&self, inside: u16) -> u16 {
        let wanted = 1 + self.remarks().len() as u16;
        wanted.min(inside.saturating_sub(2)).max(inside.min(2).saturating_sub(1))
    }
}
