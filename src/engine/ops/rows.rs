//! Reading a tensor as rows of contiguous `f32`, whatever lies between the rows.

use candle_core::{CpuStorage, Layout, Result, bail};

/// A matrix whose rows are contiguous and `stride` elements apart: a whole tensor, or some of the
/// columns of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    data: &'a [f32],
    pub count: usize,
    pub width: usize,
    pub stride: usize,
}

impl<'a> Rows<'a> {
    /// The tensor's last dimension are the columns, all others the rows.
    ///
    /// # Errors
    /// When it is not fp32, or when its rows are not contiguous and evenly spaced.
    pub fn of(op: &str, storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let data = storage.as_slice::<f32>()?;
        let dims = layout.dims();
        let Some((&width, outer)) = dims.split_last() else { bail!("{op}: a scalar has no rows") };
        let count: usize = outer.iter().product();
        let stride = Self::row_stride(layout).unwrap_or(width);
        let evenly = layout.is_contiguous() || (outer.len() == 1 && layout.stride()[1] == 1);
        if !evenly {
            bail!("{op}: the rows of {dims:?} with strides {:?} are not contiguous", layout.stride());
        }
        let start = layout.start_offset();
        let length = if count == 0 { 0 } else { (count - 1) * stride + width };
        let Some(data) = data.get(start..start + length) else {
            bail!("{op}: {dims:?} at {start} reaches past a storage of {}", data.len())
        };
        Ok(Self { data, count, width, stride })
    }

    fn row_stride(layout: &Layout) -> Option<usize> {
        let strides = layout.stride();
        (strides.len() == 2).then(|| strides[0])
    }

    /// Row `index`; panics past the end, like a slice.
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.data[index * self.stride..][..self.width]
    }

    /// From the first element of the first row to the last of the last, gaps included.
    pub fn span(&self) -> &'a [f32] {
        self.data
    }
}

/// The elements of a contiguous tensor.
///
/// # Errors
/// When it is not fp32 or not contiguous.
pub(super) fn contiguous<'a>(op: &str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("{op}: {:?} with strides {:?} is not contiguous", layout.dims(), layout.stride()),
    }
}
