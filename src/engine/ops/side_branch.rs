//! y + what LoRAs add to it on the CPU: (x · A) · B for all that is of low rank, in strips of rows that stay in a core's
//! cache, then what is not.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::product::{View, multiply, multiply_panels};
use super::rows::{Rows, contiguous};
use crate::engine::lora::{Dense, Side};

/// Rows of x that one thread takes at a time.
const STRIP: usize = 64;

/// `x` is `[rows, in]`, `y` `[rows, out]` and what the layer itself makes of x, `bias` its own. What is to be added by
/// columns ([`Side::columns`]) is the caller's to add.
///
/// # Errors
/// When the shapes do not fit.
pub fn side_branch(x: &Tensor, y: &Tensor, side: &Side, bias: Option<&[f32]>) -> Result<Tensor> {
    x.apply_op2_no_bwd(y, &SideBranch { side, bias })
}

struct SideBranch<'s> {
    side: &'s Side,
    bias: Option<&'s [f32]>,
}

impl CustomOp2 for SideBranch<'_> {
    fn name(&self) -> &'static str {
        "side_branch"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let Side { inner, out: width, .. } = *self.side;
        let x = Rows::of(self.name(), x, x_layout)?;
        let y = contiguous(self.name(), y, y_layout)?;
        if x.width != inner || y.len() != x.count * width {
            bail!("side_branch: x {:?}, y {:?}, for {inner} to {width}", x_layout.dims(), y_layout.dims());
        }
        let mut out = y.to_vec();
        out.par_chunks_mut(STRIP * width.max(1)).enumerate().for_each(|(strip, out)| {
            self.strip(&x, strip * STRIP, out);
        });
        for dense in &self.side.dense {
            self.dense(&x, dense, &mut out);
        }
        Ok((CpuStorage::F32(out), (x.count, width).into()))
    }
}

impl SideBranch<'_> {
    fn strip(&self, x: &Rows<'_>, first: usize, out: &mut [f32]) {
        let Side { inner, out: width, down, ups, bias, again, .. } = self.side;
        for row in out.chunks_exact_mut(*width) {
            for (index, factor) in again.iter().enumerate() {
                row[index] += factor * (row[index] - self.bias.map_or(0.0, |bias| bias[index]));
            }
            row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
        }
        let (rows, ranks) = (out.len() / width, down.columns);
        if ranks == 0 {
            return;
        }
        let left = View { data: &x.span()[first * x.stride..], row: x.stride, column: 1 };
        let right = View { data: &down.values, row: ranks, column: 1 };
        let mut small = vec![0.0; rows * ranks];
        multiply((rows, *inner, ranks), &mut small, ranks, false, left, right, 1.0);
        for up in ups {
            let left = View { data: &small[up.ranks.start..], row: ranks, column: 1 };
            let right = View { data: &up.values.values, row: up.values.columns, column: 1 };
            let shape = (rows, up.ranks.len(), up.rows.len());
            multiply(shape, &mut out[up.rows.start..], *width, true, left, right, 1.0);
        }
    }

    fn dense(&self, x: &Rows<'_>, dense: &Dense, out: &mut [f32]) {
        let (columns, width) = (dense.rows.len(), self.side.out);
        let mut own = vec![0.0; x.count * columns];
        let left = View { data: x.span(), row: x.stride, column: 1 };
        multiply_panels((x.count, self.side.inner, columns), &mut own, left, |first, panel| {
            dense.rows_of(first, panel);
        });
        for (out, own) in out.chunks_exact_mut(width).zip(own.chunks_exact(columns)) {
            out[dense.rows.clone()].iter_mut().zip(own).for_each(|(out, own)| *out += own);
        }
    }
}
