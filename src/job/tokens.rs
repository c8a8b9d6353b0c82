//! How a prompt fits the text encoders.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the two text encoders of FLUX.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Encoder {
    /// The sequence that the transformer attends to.
    T5,
    /// The pooled vector that modulates every block.
    Clip,
}

impl fmt::Display for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::T5 => "T5",
            Self::Clip => "CLIP",
        })
    }
}

/// How a prompt fits one encoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCount {
    /// Which encoder.
    pub encoder: Encoder,
    /// Tokens the whole prompt has, special tokens included.
    pub tokens: usize,
    /// Tokens the encoder reads, special tokens included.
    pub limit: usize,
    /// Where in the prompt the first unread token begins, in bytes; `None` when all of it is read.
    pub cut_at: Option<usize>,
    /// Tokens that the encoder's vocabulary does not know.
    pub unknown: usize,
}

impl TokenCount {
    /// The part of `prompt` that this encoder does not read, empty when it reads all.
    #[must_use]
    pub fn cut<'p>(&self, prompt: &'p str) -> &'p str {
        self.cut_at.and_then(|at| prompt.get(at..)).unwrap_or("")
    }
}
