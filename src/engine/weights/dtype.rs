//! The types that weights are stored in: one value at a time, or in blocks of values that share their scales.
//!
//! Blocks of `Q…` are ggml's: <https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h>. NF4 is bitsandbytes'.

use std::fmt;

use safetensors::Dtype as Plain;

/// How the values of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// fp32.
    F32,
    /// fp16.
    F16,
    /// bf16.
    BF16,
    /// fp8 with 4 bits of exponent.
    F8E4M3,
    /// fp8 with 5 bits of exponent: the upper half of fp16.
    F8E5M2,
    /// 8 bits, a scale for 32 values.
    Q8_0,
    /// 4 bits, a scale for 32 values.
    Q4_0,
    /// 4 bits, a scale and a least value for 32 values.
    Q4_1,
    /// 5 bits, a scale for 32 values.
    Q5_0,
    /// 5 bits, a scale and a least value for 32 values.
    Q5_1,
    /// 2 bits, scales and least values of 4 bits for 16 values, two fp16 numbers for 256.
    Q2K,
    /// 3 bits, scales of 6 bits for 16 values, one fp16 number for 256.
    Q3K,
    /// 4 bits, scales and least values of 6 bits for 32 values, two fp16 numbers for 256.
    Q4K,
    /// 5 bits, as [`Dtype::Q4K`].
    Q5K,
    /// 6 bits, scales of 8 bits for 16 values, one fp16 number for 256.
    Q6K,
    /// 4 bits of 16 levels that lie as normal values do, a scale for 64 values beside them.
    NF4,
    /// A type that is not a weight's.
    Other(Plain),
}

/// Values of a block and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// How many values share it.
    pub values: usize,
    /// Bytes of it.
    pub bytes: usize,
}

impl Dtype {
    /// Those that weights have.
    pub const WEIGHTS: [Self; 16] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::F8E4M3,
        Self::F8E5M2,
        Self::Q8_0,
        Self::Q6K,
        Self::Q5K,
        Self::Q5_1,
        Self::Q5_0,
        Self::Q4K,
        Self::Q4_1,
        Self::Q4_0,
        Self::NF4,
        Self::Q3K,
        Self::Q2K,
    ];

    /// Its smallest piece that can be read alone. NF4's scales lie elsewhere and do not count.
    #[must_use]
    pub fn block(self) -> Block {
        let (values, bytes) = match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::F8E4M3 | Self::F8E5M2 => (1, 1),
            Self::Q8_0 => (32, 34),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q2K => (256, 84),
            Self::Q3K => (256, 110),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
            Self::NF4 => (64, 32),
            Self::Other(plain) => (8, plain.bitsize()),
        };
        Block { values, bytes }
    }

    /// Whether values share scales: what stays so in memory, and is widened piece by piece when it is used.
    #[must_use]
    pub fn is_quantised(self) -> bool {
        !matches!(self, Self::Other(_)) && self.block().values > 1
    }

    /// Whether rounding it to fp8 halves it at least.
    #[must_use]
    pub fn is_wide(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::BF16)
    }

    /// Whether weights have it.
    #[must_use]
    pub fn is_weight(self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// Bytes of so many values; `None` where they end within a block, or are too many.
    #[must_use]
    pub fn bytes(self, values: usize) -> Option<usize> {
        let block = self.block();
        if let Self::Other(plain) = self {
            let bits = values.checked_mul(plain.bitsize())?;
            return bits.is_multiple_of(8).then_some(bits / 8);
        }
        values.is_multiple_of(block.values).then(|| (values / block.values).checked_mul(block.bytes))?
    }

    /// As people call it: `bf16`, `Q4_K`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::F32 => "fp32".to_owned(),
            Self::F16 => "fp16".to_owned(),
            Self::BF16 => "bf16".to_owned(),
            Self::F8E4M3 => "fp8 e4m3".to_owned(),
            Self::F8E5M2 => "fp8 e5m2".to_owned(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Dtype {
    /// As the files' own formats call it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F8E4M3 => "F8_E4M3",
            Self::F8E5M2 => "F8_E5M2",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
            Self::NF4 => "NF4",
            Self::Other(plain) => return write!(f, "{plain:?}"),
        })
    }
}

impl From<Plain> for Dtype {
    fn from(plain: Plain) -> Self {
        match plain {
            Plain::F32 => Self::F32,
            Plain::F16 => Self::F16,
            Plain::BF16 => Self::BF16,
            Plain::F8_E4M3 => Self::F8E4M3,
            Plain::F8_E5M2 => Self::F8E5M2,
            other => Self::Other(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_whole_blocks() {
        assert_eq!(Dtype::Q4K.bytes(512), Some(288));
        assert_eq!((Dtype::Q4K.bytes(100), Dtype::Q8_0.bytes(usize::MAX)), (None, None));
        assert_eq!((Dtype::BF16.bytes(3), Dtype::Other(Plain::BOOL).bytes(3)), (Some(6), Some(3)));
    }

    #[test]
    fn what_shares_scales_is_quantised() {
        let quantised = Dtype::WEIGHTS.iter().filter(|dtype| dtype.is_quantised()).count();
        assert_eq!(quantised, 11);
        assert!(!Dtype::Other(Plain::U8).is_quantised() && !Dtype::Other(Plain::U8).is_weight());
    }
}
