//! Token ids as transformers makes them, and where in the prompt an encoder stops reading.
//!
//! Both encoders read a fixed number of tokens: what is longer is cut before the end token, what is
//! shorter is padded behind it (CLIP with its end token, T5 with id 0) and not masked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use crate::job::{Encoder, TokenCount};
use crate::model::{Source, TextLimits};

/// Why a prompt could not be tokenized.
#[derive(Debug, thiserror::Error)]
pub enum TokenizeError {
    /// The tokenizer could not be read.
    #[error("{from}: {reason}")]
    Load {
        /// The file.
        from: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer failed on a text.
    #[error("the {encoder} tokenizer failed: {reason}")]
    Encode {
        /// Whose tokenizer.
        encoder: Encoder,
        /// What it said.
        reason: String,
    },
}

/// Tokenizers that were read last, by their files' digests: FLUX.1's are those of every model of its kind, and to build
/// them takes a twelfth of a second each. They stay until [`let_go`].
static LAST: Last = Mutex::new(VecDeque::new());

type Last = Mutex<VecDeque<([u8; 32], Arc<Tokenizer>)>>;

/// Two models' may stay.
const KEPT: usize = 4;

/// Lets go of tokenizers that nobody uses any more.
pub fn let_go() {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// The tokenizer that these bytes say, with neither truncation nor padding.
fn built(last: &Last, bytes: &[u8]) -> tokenizers::Result<Arc<Tokenizer>> {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    // Nothing that can panic is done while it is held.
    let last = || last.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = last().iter().find(|(known, _)| *known == digest) {
        return Ok(Arc::clone(known));
    }
    let mut tokenizer = Tokenizer::from_bytes(bytes)?;
    tokenizer.with_truncation(None)?;
    tokenizer.with_padding(None);
    let tokenizer = Arc::new(tokenizer);
    let mut last = last();
    // Another thread may have built the same meanwhile.
    last.retain(|(known, _)| *known != digest);
    last.push_front((digest, Arc::clone(&tokenizer)));
    last.truncate(KEPT);
    Ok(tokenizer)
}

/// One encoder's tokenizer.
#[derive(Debug)]
pub struct TextTokenizer {
    encoder: Encoder,
    tokenizer: Arc<Tokenizer>,
    limit: usize,
    start: Option<u32>,
    end: u32,
    pad: u32,
    unknown: Option<u32>,
}

/// A prompt as one encoder reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Exactly as many ids as the encoder reads.
    pub ids: Vec<u32>,
    /// Where the first end token is: CLIP's pooled vector is taken there.
    pub end: usize,
    /// How the prompt fits.
    pub count: TokenCount,
}

impl TextTokenizer {
    /// # Errors
    /// [`TokenizeError::Load`] when the file is no tokenizer of this encoder.
    pub fn load(encoder: Encoder, source: &Source, limit: usize) -> Result<Self, TokenizeError> {
        let fail = |reason: String| TokenizeError::Load { from: source.to_string(), reason };
        let begun = Instant::now();
        let bytes = source.read().map_err(|error| fail(error.to_string()))?;
        let tokenizer = built(&LAST, &bytes).map_err(|error| fail(error.to_string()))?;
        let (start, end, pad) = match encoder {
            Encoder::Clip => (Some("<|startoftext|>"), "<|endoftext|>", "<|endoftext|>"),
            Encoder::T5 => (None, "</s>", "<pad>"),
        };
        let id = |token: &str| {
            tokenizer.token_to_id(token).ok_or_else(|| fail(format!("it has no {token} token")))
        };
        let special = 1 + usize::from(start.is_some());
        if limit <= special {
            return Err(fail(format!("a limit of {limit} tokens leaves no room for text")));
        }
        let (start, end, pad) = (start.map(&id).transpose()?, id(end)?, id(pad)?);
        let unknown = tokenizer.token_to_id("<unk>").filter(|_| encoder == Encoder::T5);
        tracing::debug!(%encoder, seconds = begun.elapsed().as_secs_f64(), "tokenizer read");
        Ok(Self { encoder, tokenizer, limit, start, end, pad, unknown })
    }

    /// Tokens of every text, padding included.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// # Errors
    /// [`TokenizeError::Encode`] when the tokenizer fails.
    pub fn tokenize(&self, text: &str) -> Result<Tokens, TokenizeError> {
        let fail = |reason: String| TokenizeError::Encode { encoder: self.encoder, reason };
        let encoding = self.tokenizer.encode(text, false).map_err(|error| fail(error.to_string()))?;
        let special = 1 + usize::from(self.start.is_some());
        let kept = encoding.get_ids().len().min(self.limit - special);
        let body = &encoding.get_ids()[..kept];
        let mut ids: Vec<u32> =
            self.start.into_iter().chain(body.iter().copied()).chain([self.end]).collect();
        let end = ids.iter().position(|&id| id == self.end).unwrap_or(ids.len() - 1);
        ids.resize(self.limit, self.pad);
        let count = TokenCount {
            encoder: self.encoder,
            tokens: encoding.get_ids().len() + special,
            limit: self.limit,
            cut_at: encoding.get_offsets().get(kept).map(|&(at, _)| char_start(text, at)),
            unknown: encoding.get_ids().iter().filter(|&&id| Some(id) == self.unknown).count(),
        };
        Ok(Tokens { ids, end, count })
    }
}

/// Where the character that byte `at` belongs to begins.
fn char_start(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&start| text.is_char_boundary(start)).unwrap_or(0)
}

/// Both tokenizers of a model: counts what a prompt takes without loading a weight.
#[derive(Debug)]
pub struct Counter {
    /// T5's.
    pub t5: TextTokenizer,
    /// CLIP's.
    pub clip: TextTokenizer,
}

impl Counter {
    /// T5's tokenizer and CLIP's, side by side: each takes a twelfth of a second.
    ///
    /// # Errors
    /// [`TokenizeError::Load`].
    pub fn load(t5: &Source, clip: &Source, limits: TextLimits) -> Result<Self, TokenizeError> {
        std::thread::scope(|scope| {
            let clip = scope.spawn(|| TextTokenizer::load(Encoder::Clip, clip, limits.clip));
            let t5 = TextTokenizer::load(Encoder::T5, t5, limits.t5);
            // A panic of the library's is one of whoever asked for both.
            let clip = clip.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok(Self { t5: t5?, clip: clip? })
        })
    }

    /// How `text` fits T5 and CLIP, in this order.
    ///
    /// # Errors
    /// [`TokenizeError::Encode`].
    pub fn count(&self, text: &str) -> Result<Vec<TokenCount>, TokenizeError> {
        Ok(vec![self.t5.tokenize(text)?.count, self.clip.tokenize(text)?.count])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Parts;

    #[test]
    fn the_last_that_were_read_are_shared() {
        let bytes = Parts::nano().t5_tokenizer.read().expect("nano's tokenizer");
        let last = Last::default();
        // A space behind it makes it another file.
        let files: Vec<_> = (0..=KEPT).map(|spaces| [&bytes[..], &b" ".repeat(spaces)].concat()).collect();
        let read = |file: usize| built(&last, &files[file]).expect("a tokenizer");
        let first = read(0);
        assert!(Arc::ptr_eq(&first, &read(0)));
        (1..KEPT).for_each(|file| drop(read(file)));
        assert!(Arc::ptr_eq(&first, &read(0)), "no more than were kept");
        read(KEPT);
        assert!(!Arc::ptr_eq(&first, &read(0)), "one more than are kept");
    }
}
