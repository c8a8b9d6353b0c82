//! Which arithmetic the blocks run in, chosen from what is asked, what the card has and how the weights are stored, with
//! the reason in words. Nothing falls back silently: what was asked for and cannot be had is an error.

use super::linear::Form;
use crate::device::PrecisionChoice;
use crate::engine::cuda::card::Card;
use crate::engine::cuda::error::{CudaError, Result};

/// How the blocks' linear layers compute; attention and what lies between run in bf16 with fp32 sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// fp8 weights and activations on fp8 tensor cores, one scale a row on both sides, fp32 sums.
    Fp8,
    /// fp8 weights, widened to bf16 in pieces just before each product.
    Fp8Storage,
    /// bf16 weights and products.
    Bf16,
}

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Asked {
    /// What suits the card and the weights best.
    #[default]
    Auto,
    /// This, or an error.
    Exactly(Precision),
}

/// What a person's choice asks for.
#[must_use]
pub fn asked(choice: PrecisionChoice) -> Asked {
    match choice {
        PrecisionChoice::Auto => Asked::Auto,
        PrecisionChoice::Fp8 => Asked::Exactly(Precision::Fp8),
        PrecisionChoice::Fp8Storage => Asked::Exactly(Precision::Fp8Storage),
        PrecisionChoice::Bf16 => Asked::Exactly(Precision::Bf16),
    }
}

/// A precision and why it is the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The precision.
    pub precision: Precision,
    /// One clause: `the weights are fp8 and compute capability 9.0 has fp8 tensor cores`.
    pub because: String,
}

impl Precision {
    /// How the blocks' weights are kept.
    #[must_use]
    pub fn form(self) -> Form {
        match self {
            Self::Fp8 | Self::Fp8Storage => Form::Fp8,
            Self::Bf16 => Form::Bf16,
        }
    }

    /// Whether activations are quantised too.
    #[must_use]
    pub fn quantises(self) -> bool {
        self == Self::Fp8
    }

    /// For a person.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp8 => "fp8 tensor cores",
            Self::Fp8Storage => "bf16 from fp8 weights",
            Self::Bf16 => "bf16",
        }
    }
}

/// Chooses. `stored_fp8` tells whether the file's blocks are fp8.
///
/// # Errors
/// [`CudaError::Precision`] when fp8 tensor cores are asked of a card that has none.
pub fn choose(asked: Asked, card: &Card, stored_fp8: bool) -> Result<Choice> {
    let (major, minor) = card.capability;
    let stored = if stored_fp8 { "fp8" } else { "bf16" };
    let choice = |precision, because| Ok(Choice { precision, because });
    match asked {
        Asked::Exactly(Precision::Fp8) if !card.has_fp8() => Err(CudaError::Precision {
            asked: "fp8".to_owned(),
            card: card.name.clone(),
            reason: format!(
                "compute capability {major}.{minor} has no fp8 tensor cores (8.9 and later have); fp8-storage keeps the \
                 weights in fp8 and multiplies in bf16"
            ),
        }),
        Asked::Exactly(precision) => choice(precision, "asked for".to_owned()),
        Asked::Auto if !stored_fp8 => choice(Precision::Bf16, "the weights are bf16".to_owned()),
        Asked::Auto if card.has_fp8() => choice(
            Precision::Fp8,
            format!("the weights are {stored} and compute capability {major}.{minor} has fp8 tensor cores"),
        ),
        Asked::Auto => choice(
            Precision::Fp8Storage,
            format!(
                "the weights are {stored} and compute capability {major}.{minor} has no fp8 tensor cores"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(capability: (i32, i32)) -> Card {
        Card { ordinal: 0, name: "a card".to_owned(), capability, multiprocessors: 1, memory: 0, shared: 0 }
    }

    #[test]
    fn what_suits_the_card_and_the_weights_is_taken_with_its_reason() {
        let auto = |capability, fp8| choose(Asked::Auto, &card(capability), fp8).expect("auto always works");
        assert_eq!(auto((8, 6), true).precision, Precision::Fp8Storage);
        assert_eq!(auto((8, 9), true).precision, Precision::Fp8);
        assert_eq!(auto((9, 0), false).precision, Precision::Bf16);
        assert!(auto((8, 6), true).because.contains("8.6 has no fp8"));
    }

    #[test]
    fn fp8_products_are_refused_where_there_are_none() {
        let error = choose(Asked::Exactly(Precision::Fp8), &card((8, 6)), true).expect_err("no fp8 on 8.6");
        assert!(error.to_string().contains("fp8-storage"), "{error}");
        let storage = choose(Asked::Exactly(Precision::Fp8Storage), &card((9, 0)), true);
        assert_eq!(storage.expect("any card can").precision, Precision::Fp8Storage);
    }
}
