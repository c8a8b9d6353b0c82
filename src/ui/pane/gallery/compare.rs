//! Two pictures, and in which words and parameters they differ.

use similar::{Algorithm, DiffOp, capture_diff_slices};
use unicode_segmentation::UnicodeSegmentation;

use crate::job::{Picture, Recipe, UsedLora};

/// Words of a prompt that are compared, white space included: more than the encoders read, and few enough that two quite
/// different prompts take a few milliseconds. What is behind is the same or not, as a whole.
const WORDS_MAX: usize = 1200;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

/// Two pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The first.
    pub a: Picture,
    /// The second.
    pub b: Picture,
    /// The one that is seen alone; both where it is none.
    pub alone: Option<Side>,
    /// How the words of the prompts differ.
    pub words: Vec<Piece>,
    /// What else differs.
    pub parameters: Vec<Difference>,
}

/// Words that are in both prompts, or in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// In which.
    pub kind: Kind,
    /// The words, with what is between them.
    pub text: String,
}

/// In which prompt a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In both.
    Same,
    /// Only in the first.
    Gone,
    /// Only in the second.
    New,
}

/// A parameter that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub of: Parameter,
    /// The first's value; `None` for no LoRA.
    pub a: Option<String>,
    /// The second's.
    pub b: Option<String>,
}

/// What two pictures can differ in besides their prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// The model.
    Model,
    /// Pixels across and down.
    Size,
    /// Evaluations of the transformer.
    Steps,
    /// The embedded guidance.
    Guidance,
    /// The noise it began with.
    Seed,
    /// LoRAs with their strengths.
    Loras,
    /// What it was computed in.
    Precision,
}

impl Pair {
    /// Of two pictures, both seen.
    #[must_use]
    pub fn new(a: Picture, b: Picture) -> Self {
        let words = words(a.recipe.prompt.as_str(), b.recipe.prompt.as_str());
        let parameters = parameters(&a.recipe, &b.recipe);
        Self { a, b, alone: None, words, parameters }
    }

    /// The one of a side.
    #[must_use]
    pub fn of(&self, side: Side) -> &Picture {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// The one that keys are about: the one that is seen alone, or else the second.
    #[must_use]
    pub fn target(&self) -> &Picture {
        self.of(self.alone.unwrap_or(Side::B))
    }

    /// The other one in the same place. From both it goes to the first.
    pub fn flip(&mut self) {
        self.alone = match self.alone {
            None | Some(Side::B) => Some(Side::A),
            Some(Side::A) => Some(Side::B),
        };
    }

    /// A picture is changed.
    pub fn changed(&mut self, picture: &Picture) {
        for known in [&mut self.a, &mut self.b] {
            if known.id == picture.id {
                *known = picture.clone();
            }
        }
    }
}

/// The words of two prompts, merged: what is in both once, and what is only in one where it stands. Neighbours of a kind
/// are one piece.
#[must_use]
pub fn words(a: &str, b: &str) -> Vec<Piece> {
    let (a, b) = (split(a), split(b));
    let mut pieces: Vec<Piece> = Vec::new();
    let mut push = |kind, words: &[&str]| {
        let text = words.concat();
        match pieces.last_mut() {
            _ if text.is_empty() => {}
            Some(last) if last.kind == kind => last.text.push_str(&text),
            _ => pieces.push(Piece { kind, text }),
        }
    };
    for change in capture_diff_slices(Algorithm::Myers, &a, &b) {
        match change {
            DiffOp::Equal { old_index, len, .. } => push(Kind::Same, &a[old_index..old_index + len]),
            DiffOp::Delete { old_index, old_len, .. } => {
                push(Kind::Gone, &a[old_index..old_index + old_len]);
            }
            DiffOp::Insert { new_index, new_len, .. } => push(Kind::New, &b[new_index..new_index + new_len]),
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                push(Kind::Gone, &a[old_index..old_index + old_len]);
                push(Kind::New, &b[new_index..new_index + new_len]);
            }
        }
    }
    pieces
}

/// Words and what is between them; a Chinese character is a word.
fn split(prompt: &str) -> Vec<&str> {
    let mut words: Vec<&str> = Vec::new();
    let mut at = 0;
    for word in prompt.split_word_bounds() {
        if words.len() == WORDS_MAX {
            words.push(&prompt[at..]);
            break;
        }
        at += word.len();
        words.push(word);
    }
    words
}

/// The parameters that differ, in the order in which the studio shows them.
#[must_use]
pub fn parameters(a: &Recipe, b: &Recipe) -> Vec<Difference> {
    let size = |recipe: &Recipe| Some(format!("{}x{}", recipe.size.width(), recipe.size.height()));
    let loras = |recipe: &Recipe| {
        let one = |lora: &UsedLora| match lora.again() {
            Ok(choice) => choice.to_string(),
            Err(_) => lora.name().to_owned(),
        };
        let all: Vec<_> = recipe.loras.iter().map(one).collect();
        (!all.is_empty()).then(|| all.join(", "))
    };
    let both =
        |parameter, of: &dyn Fn(&Recipe) -> Option<String>| Difference { of: parameter, a: of(a), b: of(b) };
    let all = [
        both(Parameter::Model, &|recipe| Some(recipe.model.to_string())),
        both(Parameter::Size, &size),
        both(Parameter::Steps, &|recipe| Some(recipe.steps.to_string())),
        both(Parameter::Guidance, &|recipe| Some(recipe.guidance.to_string())),
        both(Parameter::Seed, &|recipe| Some(recipe.seed.to_string())),
        both(Parameter::Loras, &loras),
        both(Parameter::Precision, &|recipe| Some(recipe.precision.clone())),
    ];
    all.into_iter().filter(|difference| difference.a != difference.b).collect()
}
