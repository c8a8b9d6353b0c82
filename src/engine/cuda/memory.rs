//! Device memory: buffers that are freed when they are dropped, and matrices that lie in them.
//!
//! A [`Matrix`] is an address with a shape and a lifetime. What it points to is changed by kernels, in the order of the
//! one stream; several matrices may lie over one another, as the buffers of a step do.

use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::result;
use cudarc::driver::sys::{CUdeviceptr, CUresult};
use half::bf16;

use super::error::{CudaError, Result, driver};
use super::gpu::Gpu;
use super::tally;
use crate::device::Owner;

/// A value of a matrix.
pub trait Element: Copy + Send + 'static {
    /// Bytes of one.
    const BYTES: usize = size_of::<Self>();
}

/// float8 e4m3, as its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct F8(pub u8);

impl Element for F8 {}
impl Element for u8 {}
impl Element for u32 {}
impl Element for f32 {}
impl Element for bf16 {}

/// Every matrix begins on a multiple of this many bytes.
pub const ALIGNMENT: usize = 256;

/// `bytes`, rounded up to where the next matrix may begin.
#[must_use]
pub fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

/// A piece of device memory.
pub struct Buffer {
    gpu: Arc<Gpu>,
    at: CUdeviceptr,
    bytes: usize,
    owner: Owner,
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.bytes)
    }
}

impl Buffer {
    /// Takes device memory; what is in it is not defined. `purpose` is for the message when there is not enough, and says
    /// whose memory it is ([`super::tally`]).
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`].
    pub fn new(gpu: &Arc<Gpu>, bytes: usize, purpose: &'static str) -> Result<Self> {
        gpu.bind()?;
        // SAFETY: the context is current; the address is given back once, when this is dropped.
        let at = unsafe { result::malloc_sync(bytes.max(1)) }.map_err(|error| match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                let free = gpu.free_and_total().map_or(0, |(free, _)| free);
                CudaError::OutOfMemory { wanted: bytes as u64, free, purpose }
            }
            _ => driver("taking device memory")(error),
        })?;
        let owner = tally::owner(purpose);
        gpu.tally().took_for(owner, bytes);
        Ok(Self { gpu: Arc::clone(gpu), at, bytes, owner })
    }

    /// A matrix of its own memory.
    ///
    /// # Errors
    /// As [`Buffer::new`].
    pub fn of<T: Element>(gpu: &Arc<Gpu>, rows: usize, width: usize, purpose: &'static str) -> Result<Self> {
        Self::new(gpu, rows * width * T::BYTES, purpose)
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The `rows`×`width` values from byte `offset` on, without gaps.
    ///
    /// # Panics
    /// When they reach past the end: a bug of the caller.
    #[must_use]
    pub fn matrix<T: Element>(&self, offset: usize, rows: usize, width: usize) -> Matrix<'_, T> {
        let end = offset + rows * width * T::BYTES;
        assert!(end <= self.bytes, "{rows}×{width} from byte {offset} reach past a buffer of {}", self.bytes);
        Matrix { at: self.at + offset as u64, rows, width, stride: width, lifetime: PhantomData }
    }

    /// The same memory for another stream of the card, which is ordered behind whatever is asked of it still.
    #[must_use]
    pub fn for_stream_of(mut self, gpu: &Arc<Gpu>) -> Self {
        self.gpu = Arc::clone(gpu);
        self
    }

    /// Fills it with one byte. 0xff makes NaN of every format.
    ///
    /// # Errors
    /// What the driver says.
    pub fn fill(&self, byte: u8) -> Result<()> {
        // SAFETY: the whole buffer is ours.
        unsafe { result::memset_d8_async(self.at, byte, self.bytes, self.gpu.stream().cu_stream()) }
            .map_err(driver("filling device memory"))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // What still runs in the stream may use it: freeing waits for that.
        let freed = self.gpu.bind().and_then(|()| {
            // SAFETY: the address came from `malloc_sync` and is given back here only.
            unsafe { result::free_sync(self.at) }.map_err(driver("giving device memory back"))
        });
        if let Err(error) = freed {
            tracing::error!(%error, bytes = self.bytes, "device memory is lost until the process ends");
        }
        self.gpu.tally().gave(self.owner, self.bytes);
    }
}

/// Rows of values in device memory, `stride` values from one row to the next.
pub struct Matrix<'a, T> {
    at: CUdeviceptr,
    rows: usize,
    width: usize,
    stride: usize,
    lifetime: PhantomData<(&'a Buffer, T)>,
}

impl<T> std::fmt::Debug for Matrix<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}×{}, stride {}", self.rows, self.width, self.stride)
    }
}

impl<T> Clone for Matrix<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Matrix<'_, T> {}

impl<'a, T: Element> Matrix<'a, T> {
    /// The address of the first value.
    #[must_use]
    pub fn at(self) -> CUdeviceptr {
        self.at
    }

    /// How many rows.
    #[must_use]
    pub fn rows(self) -> usize {
        self.rows
    }

    /// Values of a row.
    #[must_use]
    pub fn width(self) -> usize {
        self.width
    }

    /// Values from the start of one row to that of the next.
    #[must_use]
    pub fn stride(self) -> usize {
        self.stride
    }

    /// `count` rows from row `first` on.
    ///
    /// # Panics
    /// When they reach past the end.
    #[must_use]
    pub fn slice_rows(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.rows, "rows {first} and {count} more of {}", self.rows);
        Self { at: self.at + (first * self.stride * T::BYTES) as u64, rows: count, ..self }
    }

    /// `count` columns from column `first` on.
    ///
    /// # Panics
    /// When they reach past the end.
    #[must_use]
    pub fn slice_columns(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.width, "columns {first} and {count} more of {}", self.width);
        Self { at: self.at + (first * T::BYTES) as u64, width: count, ..self }
    }

    /// The same values in rows of another width.
    ///
    /// # Panics
    /// When there are gaps between the rows, or the numbers of values differ.
    #[must_use]
    pub fn reshape(self, rows: usize, width: usize) -> Self {
        assert!(
            self.is_dense() && rows * width == self.rows * self.width,
            "{}×{} cannot be {rows}×{width}",
            self.rows,
            self.width
        );
        Self { rows, width, stride: width, ..self }
    }

    /// All values of a matrix without gaps, as one row.
    ///
    /// # Panics
    /// When there are gaps between the rows.
    #[must_use]
    pub fn as_row(self) -> Self {
        self.reshape(1, self.rows * self.width)
    }

    /// The same memory as half as many fp32 values a row, where these are of two bytes.
    ///
    /// # Panics
    /// When they are not, or width or stride are odd.
    #[must_use]
    pub fn as_f32(self) -> Matrix<'a, f32> {
        let halves = T::BYTES == 2 && self.width.is_multiple_of(2) && self.stride.is_multiple_of(2);
        assert!(halves, "{self:?} in {} bytes each is no matrix of fp32", T::BYTES);
        let (width, stride) = (self.width / 2, self.stride / 2);
        Matrix { at: self.at, rows: self.rows, width, stride, lifetime: PhantomData }
    }

    /// The bytes of a matrix without gaps, as one row.
    ///
    /// # Panics
    /// When there are gaps between the rows.
    #[must_use]
    pub fn as_bytes(self) -> Matrix<'a, u8> {
        assert!(self.is_dense(), "{self:?} has gaps between its rows");
        Matrix { at: self.at, rows: 1, width: self.bytes(), stride: self.bytes(), lifetime: PhantomData }
    }

    /// Whether the rows follow one another without gaps.
    #[must_use]
    pub fn is_dense(self) -> bool {
        self.stride == self.width || self.rows <= 1
    }

    /// Bytes of all values, without gaps.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.rows * self.width * T::BYTES
    }

    /// Fails unless the shape is this.
    pub(super) fn expect(self, what: &str, rows: usize, width: usize) -> Result<Self> {
        if (self.rows, self.width) == (rows, width) {
            return Ok(self);
        }
        let found = (self.rows, self.width);
        Err(CudaError::Shape(format!("{what} is {}×{} where {rows}×{width} is called for", found.0, found.1)))
    }
}

impl<'a> Matrix<'a, u8> {
    /// Bytes without gaps as rows of `width` values of another type.
    ///
    /// # Panics
    /// When they are not whole rows, or do not begin where such a value may.
    #[must_use]
    pub fn as_values<T: Element>(self, width: usize) -> Matrix<'a, T> {
        let (bytes, row) = (self.bytes(), width * T::BYTES);
        let whole = self.is_dense() && bytes.is_multiple_of(row) && self.at.is_multiple_of(T::BYTES as u64);
        assert!(whole, "{bytes} bytes are no rows of {width} values of {} bytes", T::BYTES);
        Matrix { at: self.at, rows: bytes / row, width, stride: width, lifetime: PhantomData }
    }
}

impl Gpu {
    /// Copies from the host. Returns when `values` may be changed, which may be before the copy is done.
    ///
    /// # Errors
    /// When the numbers of values differ or there are gaps between the rows.
    pub fn upload<T: Element>(&self, to: Matrix<'_, T>, values: &[T]) -> Result<()> {
        if !to.is_dense() || values.len() != to.rows * to.width {
            let (rows, width) = (to.rows, to.width);
            return Err(CudaError::Shape(format!("{} values cannot fill {rows}×{width}", values.len())));
        }
        if values.is_empty() {
            return Ok(());
        }
        // SAFETY: the lengths were compared; the driver takes pageable memory into its own before it returns.
        unsafe { result::memcpy_htod_async(to.at, values, self.stream().cu_stream()) }
            .map_err(driver("copying to the card"))
    }

    /// Copies to the host, row after row; waits for everything before it.
    ///
    /// # Errors
    /// What went wrong on the card.
    pub fn download<T: Element + Default>(&self, from: Matrix<'_, T>) -> Result<Vec<T>> {
        let mut values = vec![T::default(); from.rows * from.width];
        let rows = if from.is_dense() { 1 } else { from.rows };
        if values.is_empty() {
            return Ok(values);
        }
        let length = values.len() / rows;
        for (row, out) in values.chunks_exact_mut(length).enumerate() {
            let at = from.at + (row * from.stride * T::BYTES) as u64;
            // SAFETY: `out` is as long as the row, and is not read before the stream is waited for.
            unsafe { result::memcpy_dtoh_async(out, at, self.stream().cu_stream()) }
                .map_err(driver("copying from the card"))?;
        }
        self.wait()?;
        Ok(values)
    }

    /// Copies rows within the card; both without gaps.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn copy<T: Element>(&self, to: Matrix<'_, T>, from: Matrix<'_, T>) -> Result<()> {
        to.expect("the copy", from.rows, from.width)?;
        if !to.is_dense() || !from.is_dense() {
            return Err(CudaError::Shape("rows with gaps between them cannot be copied".to_owned()));
        }
        // SAFETY: both matrices lie in live buffers and are equally long.
        unsafe { result::memcpy_dtod_async(to.at, from.at, to.bytes(), self.stream().cu_stream()) }
            .map_err(driver("copying within the card"))
    }
}

/// Lays matrices into one buffer, one after another, before it is taken.
#[derive(Debug, Default, Clone)]
pub struct Layout {
    bytes: usize,
}

impl Layout {
    /// Room for a matrix: the offset to give to [`Buffer::matrix`].
    pub fn place<T: Element>(&mut self, rows: usize, width: usize) -> usize {
        self.place_bytes(rows * width * T::BYTES)
    }

    /// Room for bytes.
    pub fn place_bytes(&mut self, bytes: usize) -> usize {
        let at = self.bytes;
        self.bytes = aligned(at + bytes);
        at
    }

    /// Bytes of all so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, width: usize) -> Matrix<'static, bf16> {
        Matrix { at: 4096, rows, width, stride: width, lifetime: PhantomData }
    }

    #[test]
    fn slices_keep_the_stride_and_move_the_address() {
        let part = matrix(8, 32).slice_columns(16, 8).slice_rows(2, 3);
        assert_eq!((part.rows(), part.width(), part.stride()), (3, 8, 32));
        assert_eq!(part.at(), 4096 + 2 * (2 * 32 + 16));
        assert!(!part.is_dense() && matrix(8, 32).slice_rows(1, 2).is_dense());
    }

    #[test]
    #[should_panic(expected = "rows 7 and 2 more of 8")]
    fn a_slice_past_the_end_is_caught() {
        let _ = matrix(8, 32).slice_rows(7, 2);
    }

    #[test]
    fn a_layout_aligns_what_it_places() {
        let mut layout = Layout::default();
        assert_eq!((layout.place::<bf16>(3, 5), layout.place::<f32>(1, 1), layout.bytes()), (0, 256, 512));
    }
}
