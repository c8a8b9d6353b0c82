//! x + gate · y: how every branch of a block joins its stream.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::rows::{Rows, contiguous};
use super::threads::over_rows;

/// `x` and `y` are `[tokens, channels]`, `gate` is `[channels]`; rows may be spaced.
///
/// # Errors
/// When the shapes do not fit.
pub fn gated_add(x: &Tensor, gate: &Tensor, y: &Tensor) -> Result<Tensor> {
    x.apply_op3_no_bwd(gate, y, &GatedAdd)
}

struct GatedAdd;

impl CustomOp3 for GatedAdd {
    fn name(&self) -> &'static str {
        "gated_add"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gate: &CpuStorage,
        gate_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, y) = (Rows::of(self.name(), x, x_layout)?, Rows::of(self.name(), y, y_layout)?);
        let gate = contiguous(self.name(), gate, gate_layout)?;
        if (x.count, x.width) != (y.count, y.width) || gate.len() != x.width {
            bail!("gated_add: x {:?}, y {:?}, gate {}", x_layout.dims(), y_layout.dims(), gate.len());
        }
        let mut out = vec![0.0; x.count * x.width];
        over_rows(&mut out, x.width, |first, rows| {
            for (index, out) in rows.chunks_exact_mut(x.width).enumerate() {
                let (x, y) = (x.row(first + index), y.row(first + index));
                for (((out, x), y), gate) in out.iter_mut().zip(x).zip(y).zip(gate) {
                    *out = x + gate * y;
                }
            }
        });
        Ok((CpuStorage::F32(out), (x.count, x.width).into()))
    }
}
