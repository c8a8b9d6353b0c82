//! One safe function for the kernels of `kernels/dequantize.cu`: quantised weights to bf16.

use half::bf16;

use super::error::{CudaError, Result};
use super::gpu::{Gpu, Kernel, Module, launch};
use super::memory::Matrix;
use super::ops::flat;
use super::weights::block_on_card;
use crate::engine::weights::Dtype;

/// Values that a thread makes at a time.
const CHUNK: usize = 8;

fn kernel(dtype: Dtype) -> Option<Kernel> {
    let name = match dtype {
        Dtype::Q8_0 => "dequantize_q8_0",
        Dtype::Q4_0 => "dequantize_q4_0",
        Dtype::Q4_1 => "dequantize_q4_1",
        Dtype::Q5_0 => "dequantize_q5_0",
        Dtype::Q5_1 => "dequantize_q5_1",
        Dtype::Q2K => "dequantize_q2_k",
        Dtype::Q3K => "dequantize_q3_k",
        Dtype::Q4K => "dequantize_q4_k",
        Dtype::Q5K => "dequantize_q5_k",
        Dtype::Q6K => "dequantize_q6_k",
        Dtype::NF4 => "dequantize_nf4",
        _ => return None,
    };
    Some(Kernel { module: Module::Dequantize, name, shared: 0 })
}

impl Gpu {
    /// Rows of blocks, as [`super::weights::blocks_on_card`] gives them, to as many rows of bf16, `[rows, values]`.
    ///
    /// # Errors
    /// When the type is not quantised, or the shapes do not fit.
    pub fn dequantize(&self, dtype: Dtype, blocks: Matrix<'_, u8>, out: Matrix<'_, bf16>) -> Result<()> {
        let Some(kernel) = kernel(dtype) else {
            return Err(CudaError::Shape(format!("{dtype} is not quantised")));
        };
        let block = block_on_card(dtype);
        let values = blocks.width() / block.bytes * block.values;
        out.expect("the widened weight", blocks.rows(), values)?;
        // Scales are read as they lie: fp16 ones, and NF4's fp32.
        let scale = if dtype == Dtype::NF4 { 4 } else { 2 };
        let aligned = blocks.at().is_multiple_of(scale) && out.at().is_multiple_of(16);
        if !blocks.width().is_multiple_of(block.bytes) || !blocks.is_dense() || !out.is_dense() || !aligned {
            return Err(CudaError::Shape(format!(
                "rows of {} bytes are no whole blocks of {dtype}, or do not follow one another",
                blocks.width()
            )));
        }
        let chunks = (out.rows() * out.width() / CHUNK) as i64;
        // SAFETY: the arguments are those of the kernels' declaration; extents and alignment were checked above.
        unsafe { launch!(self, kernel, flat(out.rows() * out.width()), blocks.at(), out.at(), chunks) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quantised_type_has_a_kernel() {
        for dtype in Dtype::WEIGHTS {
            assert_eq!(kernel(dtype).is_some(), dtype.is_quantised(), "{dtype}");
            assert!(block_on_card(dtype).values.is_multiple_of(CHUNK) || !dtype.is_quantised(), "{dtype}");
        }
    }
}
