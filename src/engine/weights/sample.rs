//! What tells one set of weights from another without reading all of it.

use super::Weights;

/// Samples of each file.
const SAMPLES: usize = 64;
/// Bytes of each: a page.
const BYTES: usize = 4096;
/// The most of a header that is looked at.
const HEADER: usize = 1 << 20;

impl Weights {
    /// Gives the length of each file, its first megabyte at most, in which its header is, and pages from all over it. A
    /// fine-tune changes all values of a matrix, so these differ where weights do.
    pub fn sample(&self, mut give: impl FnMut(&[u8])) {
        for file in self.files.bytes() {
            give(&(file.len() as u64).to_le_bytes());
            give(&file[..file.len().min(HEADER)]);
            for sample in 0..SAMPLES {
                let at = file.len().saturating_sub(BYTES) / SAMPLES * sample;
                give(&file[at..(at + BYTES).min(file.len())]);
            }
        }
    }
}
