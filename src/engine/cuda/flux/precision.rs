//! Which arithmetic the blocks run in, chosen from what is asked, what the card has and how the weights are stored, with
//! the reason in words. Nothing falls back silently: what was asked for and cannot be had is an error.

use crate::device::PrecisionChoice;
use crate::engine::cuda::card::Card;
use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::weights::Dtype;

/// How the blocks' linear layers compute; attention and what lies between run in bf16 with fp32 sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// fp8 weights and activations on fp8 tensor cores, one scale a row on both sides, fp32 sums.
    Fp8,
    /// fp8 weights, widened to bf16 in pieces just before each product.
    Fp8Storage,
    /// Quantised weights as their file has them, most of them of this type, widened to bf16 in pieces just before each
    /// product.
    Quantised(Dtype),
    /// bf16 weights and products.
    Bf16,
}

/// How a file's blocks are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The type of most of them.
    pub dtype: Dtype,
    /// Whether the file leaves it open to multiply fp8 weights in fp8.
    pub fp8_products: bool,
    /// The wider type that they had before they were converted to this one, where it is known.
    pub from: Option<Dtype>,
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
    /// Whether activations are quantised too.
    #[must_use]
    pub fn quantises(self) -> bool {
        self == Self::Fp8
    }

    /// Whether weights are kept in fp8.
    #[must_use]
    pub fn is_fp8(self) -> bool {
        matches!(self, Self::Fp8 | Self::Fp8Storage)
    }

    /// For a person.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp8 => "fp8 tensor cores",
            Self::Fp8Storage => "bf16 from fp8 weights",
            Self::Bf16 => "bf16",
            Self::Quantised(dtype) => match dtype {
                Dtype::Q8_0 => "bf16 from Q8_0 weights",
                Dtype::Q6K => "bf16 from Q6_K weights",
                Dtype::Q5K => "bf16 from Q5_K weights",
                Dtype::Q5_1 => "bf16 from Q5_1 weights",
                Dtype::Q5_0 => "bf16 from Q5_0 weights",
                Dtype::Q4K => "bf16 from Q4_K weights",
                Dtype::Q4_1 => "bf16 from Q4_1 weights",
                Dtype::Q4_0 => "bf16 from Q4_0 weights",
                Dtype::Q3K => "bf16 from Q3_K weights",
                Dtype::Q2K => "bf16 from Q2_K weights",
                Dtype::NF4 => "bf16 from NF4 weights",
                // The others are not quantised.
                _ => "bf16 from quantised weights",
            },
        }
    }
}

impl Stored {
    /// In fp8, as FLUX.1's own fp8 copies are.
    pub const FP8: Self = Self { dtype: Dtype::F8E4M3, fp8_products: true, from: None };
}

/// Chooses, for blocks that are stored so.
///
/// # Errors
/// [`CudaError::Precision`] when fp8 tensor cores are asked of a card that has none.
pub fn choose(asked: Asked, card: &Card, stored: Stored) -> Result<Choice> {
    let (major, minor) = card.capability;
    let choice = |precision, because| Ok(Choice { precision, because });
    let Stored { dtype, fp8_products, from } = stored;
    let name = dtype.name();
    match asked {
        Asked::Exactly(Precision::Fp8) if !card.has_fp8() => Err(CudaError::Precision {
            asked: "fp8".to_owned(),
            card: card.name.clone(),
            reason: format!(
                "compute capability {major}.{minor} has no fp8 tensor cores (8.9 and later have); fp8-storage keeps the \
                 weights in fp8 and multiplies in bf16"
            ),
        }),
        Asked::Exactly(precision) if precision.is_fp8() && dtype != Dtype::F8E4M3 => choice(
            precision,
            format!("asked for; the {name} weights are rounded to fp8 e4m3 as they are loaded"),
        ),
        Asked::Exactly(precision) if precision.is_fp8() && from.is_some() => {
            let wide = from.map_or(name, Dtype::name);
            choice(
                precision,
                format!("asked for; the {wide} weights are rounded to fp8 e4m3; converted before"),
            )
        }
        Asked::Exactly(precision) if dtype.is_quantised() => {
            choice(precision, format!("asked for; the {name} weights are widened as they are loaded"))
        }
        Asked::Exactly(precision) => choice(precision, "asked for".to_owned()),
        Asked::Auto => match dtype {
            Dtype::F8E4M3 if !fp8_products => choice(
                Precision::Fp8Storage,
                "the weights are fp8 and their file asks for no products in fp8".to_owned(),
            ),
            Dtype::F8E4M3 if card.has_fp8() => choice(
                Precision::Fp8,
                format!("the weights are fp8 and compute capability {major}.{minor} has fp8 tensor cores"),
            ),
            Dtype::F8E4M3 => choice(
                Precision::Fp8Storage,
                format!("the weights are fp8 and compute capability {major}.{minor} has no fp8 tensor cores"),
            ),
            Dtype::F8E5M2 => choice(
                Precision::Bf16,
                "the weights are fp8 e5m2, which bf16 holds exactly and fp8 e4m3 does not".to_owned(),
            ),
            dtype if dtype.is_quantised() => {
                choice(Precision::Quantised(dtype), format!("the weights are {name} and stay so"))
            }
            _ => choice(Precision::Bf16, format!("the weights are {name}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(capability: (i32, i32)) -> Card {
        Card {
            ordinal: 0,
            name: "a card".to_owned(),
            uuid: String::new(),
            capability,
            multiprocessors: 1,
            memory: 0,
            shared: 0,
        }
    }

    #[test]
    fn what_suits_the_card_and_the_weights_is_taken_with_its_reason() {
        let auto =
            |capability, stored| choose(Asked::Auto, &card(capability), stored).expect("auto always works");
        let of = |dtype| Stored { dtype, ..Stored::FP8 };
        assert_eq!(auto((8, 6), Stored::FP8).precision, Precision::Fp8Storage);
        assert_eq!(auto((8, 9), Stored::FP8).precision, Precision::Fp8);
        assert_eq!(auto((9, 0), of(Dtype::BF16)).precision, Precision::Bf16);
        assert!(auto((8, 6), Stored::FP8).because.contains("8.6 has no fp8"));
        let marked = auto((9, 0), Stored { fp8_products: false, ..Stored::FP8 });
        assert_eq!(marked.precision, Precision::Fp8Storage);
        assert!(marked.because.contains("no products in fp8"), "{}", marked.because);
        let q4 = auto((9, 0), of(Dtype::Q4K));
        assert_eq!(
            (q4.precision, q4.precision.name()),
            (Precision::Quantised(Dtype::Q4K), "bf16 from Q4_K weights")
        );
        let e5m2 = auto((9, 0), of(Dtype::F8E5M2));
        assert!(e5m2.precision == Precision::Bf16 && e5m2.because.contains("e5m2"), "{}", e5m2.because);
        let asked = choose(Asked::Exactly(Precision::Fp8), &card((9, 0)), of(Dtype::Q4K)).expect("any can");
        assert!(asked.because.contains("Q4_K weights are rounded"), "{}", asked.because);
        let converted = Stored { from: Some(Dtype::BF16), ..Stored::FP8 };
        let asked = choose(Asked::Exactly(Precision::Fp8), &card((9, 0)), converted).expect("any can");
        assert_eq!(
            (asked.precision, &*asked.because),
            (Precision::Fp8, "asked for; the bf16 weights are rounded to fp8 e4m3; converted before")
        );
    }

    #[test]
    fn every_quantised_type_has_a_name_of_its_own() {
        for dtype in Dtype::WEIGHTS.into_iter().filter(|dtype| dtype.is_quantised()) {
            assert_eq!(Precision::Quantised(dtype).name(), format!("bf16 from {dtype} weights"));
        }
    }

    #[test]
    fn fp8_products_are_refused_where_there_are_none() {
        let error =
            choose(Asked::Exactly(Precision::Fp8), &card((8, 6)), Stored::FP8).expect_err("no fp8 on 8.6");
        assert!(error.to_string().contains("fp8-storage"), "{error}");
        let storage = choose(Asked::Exactly(Precision::Fp8Storage), &card((9, 0)), Stored::FP8);
        assert_eq!(storage.expect("any card can").precision, Precision::Fp8Storage);
    }
}
