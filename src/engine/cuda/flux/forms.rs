//! Which form each weight is kept in: the one that the precision has, or its own where a file is quantised and stays so.

use super::linear::Form;
use super::origin::Origin;
use super::precision::{Precision, Stored};
use crate::engine::converted::converted_from;
use crate::engine::weights::Dtype;

/// The forms of a model's weights.
#[derive(Debug, Clone, Copy)]
pub struct Forms<'w> {
    /// How its blocks compute.
    pub precision: Precision,
    /// Where its weights come from.
    pub origin: Origin<'w>,
}

impl Forms<'_> {
    /// Of the layer `name` with so many inputs. What a quantiser left as it was, and rows that are no whole blocks, are
    /// kept in bf16.
    #[must_use]
    pub fn of(&self, name: &str, inner: usize) -> Form {
        match self.precision {
            Precision::Fp8 | Precision::Fp8Storage => Form::Fp8,
            Precision::Bf16 => Form::Bf16,
            Precision::Quantised(_) => {
                let dtype = match self.origin {
                    Origin::File(weights) => weights.dtype(&format!("{name}.weight")).ok(),
                    Origin::Random(_) => None,
                };
                let whole = |dtype: &Dtype| inner.is_multiple_of(dtype.block().values);
                dtype.filter(|dtype| dtype.is_quantised() && whole(dtype)).map_or(Form::Bf16, Form::Blocks)
            }
        }
    }
}

impl Stored {
    /// How a transformer is stored: as most of its bytes are. Random weights count as fp8.
    #[must_use]
    pub fn of(origin: &Origin<'_>) -> Self {
        match origin {
            Origin::Random(_) => Self::FP8,
            Origin::File(weights) => Self {
                dtype: weights.dtypes().first().copied().unwrap_or(Dtype::BF16),
                fp8_products: weights.allows_fp8_products(),
                from: converted_from(weights),
            },
        }
    }
}
