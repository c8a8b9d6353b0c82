//! Who holds how much of a card's memory now: each [`Buffer`](super::memory::Buffer) is counted to the owner that its
//! purpose belongs to, as plans divide the memory ([`Owner`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::device::{Owner, Share};

/// What buffers are taken for, by owner. What is not here is the activations': of a step, a prompt or a trial.
const PURPOSES: [(Owner, &[&str]); 6] = [
    (
        Owner::Transformer,
        &[
            "a double block",
            "a single block",
            "the first and last layers",
            "the embedders",
            "the modulation layers",
        ],
    ),
    (Owner::Streamed, &["a slot for streamed weights"]),
    (Owner::Encoders, &["the T5 encoder", "the CLIP encoder", "reading the prompt"]),
    (Owner::Vae, &["the VAE's decoder"]),
    (Owner::Loras, &["LoRAs", "LoRAs on their way into weights"]),
    (Owner::Context, &["a piece of a weight"]),
];

/// Whose memory of this purpose is.
pub(super) fn owner(purpose: &str) -> Owner {
    let found = PURPOSES.iter().find(|(_, purposes)| purposes.contains(&purpose));
    found.map_or(Owner::Activations, |(owner, _)| *owner)
}

/// Bytes of one card that this process holds by itself.
#[derive(Debug, Default)]
pub(super) struct Tally {
    held: AtomicU64,
    peak: AtomicU64,
    /// In the order of [`Owner::ALL`].
    owners: [AtomicU64; Owner::ALL.len()],
}

impl Tally {
    /// Counts memory that products work in, and what else belongs to the context.
    pub fn took(&self, bytes: usize) {
        self.took_for(Owner::Context, bytes);
    }

    pub fn took_for(&self, owner: Owner, bytes: usize) {
        self.of(owner).fetch_add(bytes as u64, Ordering::Relaxed);
        let held = self.held.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        self.peak.fetch_max(held, Ordering::Relaxed);
    }

    pub fn gave(&self, owner: Owner, bytes: usize) {
        self.of(owner).fetch_sub(bytes as u64, Ordering::Relaxed);
        self.held.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Starts the peak again from what is held now.
    pub fn forget_peak(&self) {
        self.peak.store(self.held(), Ordering::Relaxed);
    }

    fn of(&self, owner: Owner) -> &AtomicU64 {
        // Every owner is among all of them.
        &self.owners[Owner::ALL.iter().position(|known| *known == owner).unwrap_or_default()]
    }
}

/// The tallies of the cards that are open, by their ordinals.
static TALLIES: Mutex<Vec<(u32, Weak<Tally>)>> = Mutex::new(Vec::new());

/// A card is opened: [`held`] counts it from now on, for as long as it is.
pub(super) fn begin(ordinal: u32) -> Arc<Tally> {
    let tally = Arc::new(Tally::default());
    let mut all = TALLIES.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|(_, known)| known.strong_count() > 0);
    all.push((ordinal, Arc::downgrade(&tally)));
    tally
}

/// Who holds how much of a card now; nothing of who holds nothing, and nothing of a card that is not open.
#[must_use]
pub fn held(ordinal: u32) -> Vec<Share> {
    let all = TALLIES.lock().unwrap_or_else(PoisonError::into_inner);
    let of_card = all.iter().filter(|(known, _)| *known == ordinal).filter_map(|(_, tally)| tally.upgrade());
    shares(&of_card.collect::<Vec<_>>())
}

/// What is counted in all of these.
pub(super) fn shares(tallies: &[Arc<Tally>]) -> Vec<Share> {
    let bytes = |owner| tallies.iter().map(|tally| tally.of(owner).load(Ordering::Relaxed)).sum();
    let shares = Owner::ALL.map(|owner| Share { owner, bytes: bytes(owner) });
    shares.into_iter().filter(|share| share.bytes > 0).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_owner_is_counted_until_it_has_given_all_back() {
        let (one, other) = (begin(1_000), begin(1_000));
        one.took_for(owner("a double block"), 300);
        other.took_for(owner("a single block"), 30);
        one.took_for(owner("the activations of a step"), 7);
        one.took(5);
        let share = |owner, bytes| Share { owner, bytes };
        let all = [share(Owner::Transformer, 330), share(Owner::Activations, 7), share(Owner::Context, 5)];
        assert_eq!(held(1_000), all);
        assert_eq!((one.held(), one.peak(), held(1_001)), (312, 312, Vec::new()));
        one.gave(Owner::Transformer, 300);
        assert_eq!((one.held(), one.peak()), (12, 312));
        one.forget_peak();
        assert_eq!(one.peak(), 12);
        drop(one);
        assert_eq!(held(1_000), [share(Owner::Transformer, 30)]);
        drop(other);
        assert_eq!(held(1_000), []);
    }

    /// Purposes that are named here and nowhere taken would count nothing.
    #[test]
    fn every_purpose_is_one_that_buffers_are_taken_for() {
        let mut sources = String::new();
        let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/cuda")];
        while let Some(path) = waiting.pop() {
            match std::fs::read_dir(&path) {
                Ok(entries) => waiting.extend(entries.flatten().map(|entry| entry.path())),
                Err(_) if path.ends_with("tally.rs") => {}
                Err(_) => sources.extend(std::fs::read_to_string(&path)),
            }
        }
        for purpose in PURPOSES.iter().flat_map(|(_, purposes)| purposes.iter()) {
            assert!(sources.contains(&format!("\"{purpose}\"")), "{purpose:?} is no purpose of a buffer");
        }
    }
}
