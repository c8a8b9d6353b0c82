//! What pictures took of a card beside what was planned, and what the next plans learn from it. Plain data.

use serde::{Deserialize, Serialize};

/// How fast a card and the bus to it are, by trying.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CardPace {
    /// TFLOP/s of a large product in bf16.
    pub bf16: f64,
    /// The same in fp8, where the card has it.
    pub fp8: Option<f64>,
    /// Bytes a second from pinned host memory.
    pub pinned: f64,
    /// Bytes a second from ordinary host memory, by all threads.
    pub mapped: f64,
}

/// Seconds that something took for pictures of so many image tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Image tokens: a 256th of the pixels.
    pub tokens: usize,
    /// Seconds.
    pub seconds: f64,
}

/// What is known of a card, and of a model on it, from pictures that were drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// How fast the card is.
    pub card: Option<CardPace>,
    /// Bytes of device memory that a process takes beside its own: context, kernels, libraries.
    pub context: Option<u64>,
    /// Bytes by which plans for pictures like this one fell short, the context aside.
    pub short: u64,
    /// A step with everything resident, of the size that is nearest.
    pub step: Option<Observed>,
    /// Decoding in one piece, of the size that is nearest.
    pub decode: Option<Observed>,
    /// Bytes a second of blocks that were streamed out of their files by the host.
    pub files: Option<f64>,
}

/// What a plan says of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Foreseen {
    /// Bytes of device memory at most, the context included.
    pub peak: u64,
    /// Bytes of those that are the context's.
    pub context: u64,
    /// Seconds of a step.
    pub step: f64,
}

/// What a picture took of a card.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// What was planned.
    pub foreseen: Foreseen,
    /// The most bytes of its own that the engine held at a time, the context aside.
    pub peak: u64,
    /// Bytes of its own that it holds between pictures.
    pub held: u64,
    /// Seconds of a step: the median of all but the first; `None` where there was no other.
    pub step: Option<f64>,
    /// The same, where it says how long a step computes: copies did not hold it up.
    pub compute: Option<f64>,
    /// Seconds of decoding, for each time that each pixel was decoded; 0 where the card did not.
    pub decode: f64,
    /// Bytes a second of blocks that the host streamed out of their files, where it did: at least so many.
    pub files: Option<f64>,
    /// How fast the card is.
    pub card: CardPace,
}

/// A picture's prediction and what came, as the library keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// What was planned.
    pub foreseen: Foreseen,
    /// The most bytes held, the context included; `None` where the driver does not say how large that is.
    pub peak: Option<u64>,
    /// Seconds of a step, all but the first.
    pub step: Option<f64>,
}

impl Usage {
    /// Beside the plan: `context` is what the driver says that the process holds besides [`held`](Self::held).
    #[must_use]
    pub fn compared(&self, context: Option<u64>) -> Compared {
        let peak = context.map(|context| context + self.peak);
        Compared { foreseen: self.foreseen, peak, step: self.step }
    }

    /// Bytes by which the plan fell short, the context aside.
    #[must_use]
    pub fn short(&self) -> u64 {
        self.peak.saturating_sub(self.foreseen.peak.saturating_sub(self.foreseen.context))
    }
}

impl Compared {
    /// By how much of what came the predicted peak was too high.
    #[must_use]
    pub fn peak_error(&self) -> Option<f64> {
        let peak = self.peak.filter(|peak| *peak > 0)? as f64;
        Some((self.foreseen.peak as f64 - peak) / peak)
    }

    /// The same of a step.
    #[must_use]
    pub fn step_error(&self) -> Option<f64> {
        let step = self.step.filter(|step| *step > 0.0)?;
        Some((self.foreseen.step - step) / step)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Of a plan for 8 GB.
    pub fn usage() -> Usage {
        Usage {
            foreseen: Foreseen { peak: 8_000, context: 600, step: 0.1 },
            peak: 7_300,
            held: 5_000,
            step: Some(0.08),
            compute: Some(0.08),
            decode: 0.02,
            files: None,
            card: CardPace { bf16: 700.0, fp8: Some(1300.0), pinned: 55e9, mapped: 44e9 },
        }
    }

    #[test]
    fn errors_are_shares_of_what_came() {
        let compared = usage().compared(Some(700));
        assert_eq!(compared.peak, Some(8_000));
        assert_eq!(compared.peak_error(), Some(0.0));
        assert!((compared.step_error().expect("there were steps") - 0.25).abs() < 1e-12);
        assert_eq!(usage().compared(None).peak_error(), None);
    }

    #[test]
    fn a_plan_falls_short_by_what_is_not_the_contexts() {
        assert_eq!(usage().short(), 0);
        assert_eq!(Usage { peak: 7_450, ..usage() }.short(), 50);
    }
}
