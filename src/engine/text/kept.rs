//! What the encoders made of prompts, kept on disk: a prompt that was read once is not read again, so T5's gigabytes need
//! not be touched for it, today or after a restart.
//!
//! A file is safetensors with T5's sequence and CLIP's pooled vector, called by a hash of everything that they depend on:
//! the prompt, how much of it is read, in which numbers, both tokenizers, and both encoders' weights by their headers
//! and samples of their values. Only what took long to read is kept, and the least used goes when there are too many.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use super::tokenize::Counter;
use crate::engine::weights::Weights;
use crate::job::TokenCount;
use crate::model::{Parts, Source};

/// What is read faster than this is read again: it costs less than to look.
const WORTH_KEEPING: Duration = Duration::from_millis(250);
/// Prompts that are kept, 4 to 8 MB each for FLUX.1.
const PROMPTS: usize = 256;
/// Longer files are none of ours.
const LONGEST: u64 = 64 << 20;
/// The form of the files and what the hash is made of.
const VERSION: &str = "flux-tui prompt 1";
/// In the file's header.
const CUTS: &str = "cuts";

/// What was made of a prompt; values are little-endian, of the type that the engine computes with.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// T5's, `[tokens, channels]`.
    pub text: Vec<u8>,
    /// CLIP's, `[1, channels]`.
    pub pooled: Vec<u8>,
    /// What either did not read.
    pub cuts: Vec<TokenCount>,
}

/// What a prompt is kept as where LoRAs change the encoders, as `changed` says: behind a byte that no text has.
#[must_use]
pub fn kept_as<'p>(prompt: &'p str, changed: &str) -> Cow<'p, str> {
    if changed.is_empty() { prompt.into() } else { format!("{prompt}\0{changed}").into() }
}

/// The prompts of one model on one engine.
#[derive(Debug)]
pub struct KeptPrompts {
    folder: PathBuf,
    /// Of all but the prompt.
    model: [u8; 32],
    dtype: Dtype,
    tokens: usize,
}

impl KeptPrompts {
    /// In the folder that the parts name; `None` where they name none. `reading` says how the encoders compute.
    #[must_use]
    pub fn new(
        parts: &Parts,
        (t5, clip): (&Weights, &Weights),
        counter: &Counter,
        (reading, dtype): (&str, Dtype),
    ) -> Option<Self> {
        let folder = parts.encoded.clone()?;
        let mut hash = Sha256::new_with_prefix(VERSION);
        hash.update(reading);
        for limit in [counter.t5.limit(), counter.clip.limit()] {
            hash.update((limit as u64).to_le_bytes());
        }
        for source in [&parts.t5_tokenizer, &parts.clip_tokenizer, &parts.t5_config, &parts.clip_config] {
            hash.update(Sha256::digest(Source::read(source).ok()?));
        }
        for weights in [t5, clip] {
            weights.sample(|bytes| hash.update(bytes));
        }
        Some(Self { folder, model: hash.finalize().into(), dtype, tokens: counter.t5.limit() })
    }

    /// Where encoders are changed, `prompt` is what [`kept_as`] gives.
    fn path(&self, prompt: &str) -> PathBuf {
        let hash = Sha256::new_with_prefix(self.model).chain_update(prompt).finalize();
        let name: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(name + ".safetensors")
    }

    /// What was made of a prompt, as many columns by T5 and CLIP as `widths` says; `None` where it is not kept, or not
    /// whole.
    #[must_use]
    pub fn read(&self, prompt: &str, widths: [usize; 2]) -> Option<Kept> {
        let path = self.path(prompt);
        if fs::metadata(&path).ok()?.len() > LONGEST {
            return None;
        }
        let bytes = fs::read(&path).ok()?;
        let kept = self.parse(&bytes, widths);
        match &kept {
            // So that it is not the next to go.
            Some(_) => drop(fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()))),
            None => tracing::warn!(path = %path.display(), "a kept prompt is not whole; it is read again"),
        }
        kept
    }

    fn parse(&self, bytes: &[u8], [text, pooled]: [usize; 2]) -> Option<Kept> {
        let file = SafeTensors::deserialize(bytes).ok()?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
        let cuts = metadata.metadata().as_ref()?.get(CUTS)?;
        let values = |name: &str, shape: [usize; 2]| {
            let tensor = file.tensor(name).ok()?;
            ((tensor.dtype(), tensor.shape()) == (self.dtype, &shape[..])).then(|| tensor.data().to_vec())
        };
        Some(Kept {
            text: values("text", [self.tokens, text])?,
            pooled: values("pooled", [1, pooled])?,
            cuts: serde_json::from_str(cuts).ok()?,
        })
    }

    /// Keeps what was made of a prompt, if that took long enough. That it cannot be kept stops nothing.
    pub fn write(&self, prompt: &str, kept: &Kept, took: Duration) {
        if took < WORTH_KEEPING {
            return;
        }
        if let Err(error) = self.try_write(&self.path(prompt), kept) {
            tracing::warn!(%error, folder = %self.folder.display(), "a prompt could not be kept");
        }
        if let Err(error) = thin(&self.folder, PROMPTS) {
            tracing::warn!(%error, folder = %self.folder.display(), "old prompts could not be removed");
        }
    }

    fn try_write(&self, path: &Path, kept: &Kept) -> Result<(), Box<dyn std::error::Error>> {
        let view = |rows: usize, bytes| {
            let columns = <[u8]>::len(bytes) * 8 / self.dtype.bitsize() / rows;
            TensorView::new(self.dtype, vec![rows, columns], bytes)
        };
        let tensors = [("text", view(self.tokens, &kept.text)?), ("pooled", view(1, &kept.pooled)?)];
        let cuts = [(CUTS.to_owned(), serde_json::to_string(&kept.cuts)?)];
        fs::create_dir_all(&self.folder)?;
        // Under another name until it is whole; each process has its own.
        let part = path.with_extension(format!("{}.part", std::process::id()));
        safetensors::serialize_to_file(tensors, Some(cuts.into()), &part)?;
        Ok(fs::rename(&part, path)?)
    }
}

/// Removes the files that were used longest ago until so many are left.
fn thin(folder: &Path, most: usize) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort();
    let surplus = files.len().saturating_sub(most);
    files[..surplus].iter().try_for_each(|(_, path)| fs::remove_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::weights::Part;
    use crate::job::Encoder;
    use crate::model::TextLimits;

    const WIDTHS: [usize; 2] = [3, 2];
    const LONG: Duration = Duration::from_secs(1);

    fn parts(folder: &Path) -> Parts {
        Parts { encoded: Some(folder.to_owned()), ..Parts::nano() }
    }

    fn of(parts: &Parts, t5_tokens: usize, reading: &str) -> KeptPrompts {
        let open = |source, part| Weights::open_part(source, part).expect("it is whole");
        let (t5, clip) = (open(&parts.t5, Part::T5), open(&parts.clip, Part::Clip));
        let limits = TextLimits { t5: t5_tokens, clip: 77 };
        let counter =
            Counter::load(&parts.t5_tokenizer, &parts.clip_tokenizer, limits).expect("nano's tokenizers");
        KeptPrompts::new(parts, (&t5, &clip), &counter, (reading, Dtype::BF16)).expect("a folder")
    }

    fn kept(tokens: usize) -> Kept {
        let cut = TokenCount { encoder: Encoder::T5, tokens: 99, limit: 4, cut_at: Some(7), unknown: 1 };
        Kept { text: (0..tokens as u8 * 6).collect(), pooled: vec![1, 2, 3, 4], cuts: vec![cut] }
    }

    #[test]
    fn what_took_long_is_kept_for_this_prompt_and_this_model_alone() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let folder = root.path().join("提示 词");
        let prompts = of(&parts(&folder), 4, "bf16");
        prompts.write("a fox", &kept(4), Duration::from_millis(10));
        assert_eq!(prompts.read("a fox", WIDTHS), None, "it is read again in no time");
        prompts.write("a fox", &kept(4), LONG);
        assert_eq!(prompts.read("a fox", WIDTHS), Some(kept(4)));
        assert_eq!(prompts.read("a fox ", WIDTHS), None);
        assert_eq!(
            of(&parts(&folder), 4, "bf16").read("a fox", WIDTHS),
            Some(kept(4)),
            "by another process too"
        );
        assert_eq!(of(&parts(&folder), 4, "fp32").read("a fox", WIDTHS), None);
        assert_eq!(of(&parts(&folder), 5, "bf16").read("a fox", WIDTHS), None);
        let names: Vec<_> = fs::read_dir(&folder).expect("it is there").collect();
        assert_eq!(names.len(), 1, "and nothing else is left there");
    }

    #[test]
    fn an_encoder_whose_values_differ_makes_another_prompt_of_it() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let theirs = parts(root.path());
        of(&theirs, 4, "bf16").write("a fox", &kept(4), LONG);
        let Source::File(path) = &theirs.t5 else { unreachable!("nano's parts here are files") };
        let mut bytes = fs::read(path).expect("nano is there");
        let middle = bytes.len() / 2;
        // A fine-tune changes all of a file.
        bytes[middle..].iter_mut().for_each(|byte| *byte ^= 1);
        let tuned = root.path().join("tuned");
        fs::write(&tuned, bytes).expect("there is room");
        let tuned = Parts { t5: Source::File(tuned), ..theirs };
        assert_eq!(of(&tuned, 4, "bf16").read("a fox", WIDTHS), None);
    }

    #[test]
    fn a_file_that_is_not_whole_is_as_if_it_were_not_there() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let prompts = of(&parts(root.path()), 4, "bf16");
        prompts.write("a fox", &kept(4), LONG);
        let path = prompts.path("a fox");
        let whole = fs::read(&path).expect("it was written");
        for length in [0, 7, 60, whole.len() - 1] {
            fs::write(&path, &whole[..length]).expect("there is room");
            assert_eq!(prompts.read("a fox", WIDTHS), None, "{length} bytes");
        }
        fs::write(&path, &whole).expect("there is room");
        assert_eq!(prompts.read("a fox", WIDTHS), Some(kept(4)));
    }

    #[test]
    fn the_least_used_goes_first() {
        let root = tempfile::tempdir().expect("a temporary directory");
        for (age, name) in [(30, "b"), (10, "a"), (20, "c")] {
            let file = fs::File::create(root.path().join(name)).expect("there is room");
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("it is ours");
        }
        thin(root.path(), 2).expect("it can be read");
        let mut left: Vec<_> = fs::read_dir(root.path())
            .expect("it is there")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        left.sort();
        assert_eq!(left, ["a", "c"]);
    }
}
