//! Matrix products by cublasLt: bf16, or fp8 with one scale a row on both sides, bf16 out. Layers in fp8 with what LoRAs
//! add to them have a kernel of their own on Hopper ([`Ranks`]).
//!
//! `out[M, N] = x[M, K] · weight[N, K]ᵀ + bias[N]`. The first product of a shape times what the library offers for it
//! and keeps the fastest: its own first guess is up to 16 % slower (`benches/PERFORMANCE.md`). The first guess stays
//! unless another is clearly faster, so that noise does not change which bits a picture has. What was chosen holds for
//! the process, and for later ones where a folder is named: nothing is timed again, and the bits stay the same.

mod kept;
mod plan;
mod ranks;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys;
use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{CudaContext, result as driver_result};
use half::bf16;
use serde::{Deserialize, Serialize};

use super::error::{CudaError, Result, driver};
use super::gpu::Gpu;
use super::memory::{ALIGNMENT, Element, F8, Matrix};
use super::tally::Tally;
use crate::device::Owner;
use plan::Plan;
pub use ranks::{Ranks, are_parts};

/// What the library may use beside its operands, in bytes.
pub(super) const WORKSPACE: usize = 32 << 20;
/// fp8 products want every side to be a multiple of this.
pub const GRAIN: usize = 16;

/// The library's handle and what was chosen so far.
pub struct Products {
    handle: sys::cublasLtHandle_t,
    state: Mutex<State>,
    /// Found out at the first product that wants them.
    lacks_row_scales: AtomicBool,
    /// Whether layers of any shape are computed together with their LoRAs where there is a kernel for it.
    always_with_ranks: AtomicBool,
}

// SAFETY: the handle may be used from any thread, and the state is behind its lock.
unsafe impl Send for Products {}
// SAFETY: as above.
unsafe impl Sync for Products {}

#[derive(Default)]
struct State {
    plans: HashMap<Shape, Plan>,
}

/// What the products of one stream work in, [`WORKSPACE`] bytes of the card's: those of two streams may run at the same time.
/// Taken at the first product.
pub(super) struct LibraryMemory {
    at: CUdeviceptr,
    context: Arc<CudaContext>,
    tally: Arc<Tally>,
}

impl LibraryMemory {
    fn take(gpu: &Gpu) -> Result<Self> {
        // SAFETY: given back when this is dropped.
        let at = unsafe { driver_result::malloc_sync(WORKSPACE) }
            .map_err(driver("taking cublasLt's workspace"))?;
        gpu.tally().took(WORKSPACE);
        Ok(Self { at, context: Arc::clone(gpu.context()), tally: Arc::clone(gpu.tally()) })
    }
}

impl Drop for LibraryMemory {
    fn drop(&mut self) {
        // SAFETY: it was taken in this context and is given back here only; freeing waits for what still runs.
        let freed = self.context.bind_to_thread().and_then(|()| unsafe { driver_result::free_sync(self.at) });
        if let Err(error) = freed {
            tracing::error!(%error, "cublasLt's workspace is lost until the process ends");
        }
        self.tally.gave(Owner::Context, WORKSPACE);
    }
}

/// What becomes of what is in a product's `out`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// The product takes its place.
    Write,
    /// The product is added to it.
    Add,
    /// Nothing is computed but which way is the fastest, by trying: what is in `out` is lost. Whoever adds later asks for
    /// this first.
    Choose,
}

/// What a plan is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Shape {
    rows: usize,
    columns: usize,
    inner: usize,
    x_stride: usize,
    weight_stride: usize,
    out_stride: usize,
    kind: Kind,
    bias: bool,
    /// What all addresses are multiples of, in bytes: [`ALIGNMENT`] for whole matrices.
    alignment: usize,
}

/// How the operands are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Kind {
    /// bf16, the weight `[N, K]`.
    Bf16,
    /// bf16, out in fp32.
    Bf16ToF32,
    /// bf16, the right side `[K, N]`.
    Bf16Plain,
    /// fp8 with a scale a row on both sides.
    Fp8,
    /// fp8, unscaled: `out` holds the sums of products of the stored numbers.
    Fp8Unscaled,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Bf16 | Self::Bf16ToF32 | Self::Bf16Plain => "bf16",
            Self::Fp8 | Self::Fp8Unscaled => "fp8",
        }
    }

    fn is_fp8(self) -> bool {
        matches!(self, Self::Fp8 | Self::Fp8Unscaled)
    }
}

/// The addresses of one product.
#[derive(Clone, Copy)]
struct Operands {
    out: CUdeviceptr,
    x: CUdeviceptr,
    x_scales: CUdeviceptr,
    weight: CUdeviceptr,
    weight_scales: CUdeviceptr,
    bias: CUdeviceptr,
}

impl Operands {
    /// What the addresses of the matrices are multiples of.
    fn alignment(&self) -> usize {
        let all = self.out | self.x | self.weight;
        ALIGNMENT.min(1 << all.trailing_zeros().min(u32::BITS))
    }
}

/// Whether the library can be opened.
///
/// # Errors
/// [`CudaError::NoCublas`].
pub(super) fn check_library() -> Result<()> {
    // SAFETY: loading the library runs its constructors, as for every user of it.
    if unsafe { sys::is_culib_present() } { Ok(()) } else { Err(CudaError::NoCublas) }
}

impl Products {
    /// Starts the library in the current context.
    pub(super) fn open() -> Result<Self> {
        check_library()?;
        let handle = result::create_handle().map_err(|error| CudaError::Driver {
            what: "starting cublasLt",
            reason: error.to_string(),
            sticky: false,
        })?;
        Ok(Self {
            handle,
            state: Mutex::default(),
            lacks_row_scales: AtomicBool::new(false),
            always_with_ranks: AtomicBool::new(false),
        })
    }
}

impl Drop for Products {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.plans.clear();
        // SAFETY: it was made here and is not used again.
        unsafe {
            let _ = result::destroy_handle(self.handle);
        }
    }
}

impl Gpu {
    /// `out = x · weightᵀ + bias` in bf16: x `[M, K]`, weight `[N, K]`, bias `[1, N]`.
    ///
    /// # Errors
    /// When the shapes do not fit, or the library refuses them.
    pub fn product(
        &self,
        out: Matrix<'_, bf16>,
        x: Matrix<'_, bf16>,
        weight: Matrix<'_, bf16>,
        bias: Option<Matrix<'_, bf16>>,
    ) -> Result<()> {
        self.product_as(Doing::Write, out, x, weight, bias)
    }

    /// The same, which may be added to what is in `out`.
    ///
    /// # Errors
    /// As [`Gpu::product`].
    pub fn product_as(
        &self,
        doing: Doing,
        out: Matrix<'_, bf16>,
        x: Matrix<'_, bf16>,
        weight: Matrix<'_, bf16>,
        bias: Option<Matrix<'_, bf16>>,
    ) -> Result<()> {
        let shape = shape(Kind::Bf16, out, x, weight, bias.is_some());
        weight.expect("the weight", out.width(), x.width())?;
        self.multiply(doing, shape, operands(out, x, weight, bias)?, (out.rows(), x.rows()))
    }

    /// [`Gpu::product`] without a bias, its sums kept in fp32: for scores, whose size matters more than bf16 tells.
    ///
    /// # Errors
    /// As [`Gpu::product`].
    pub fn product_f32(
        &self,
        out: Matrix<'_, f32>,
        x: Matrix<'_, bf16>,
        weight: Matrix<'_, bf16>,
    ) -> Result<()> {
        let shape = shape(Kind::Bf16ToF32, out, x, weight, false);
        weight.expect("the weight", out.width(), x.width())?;
        self.multiply(Doing::Write, shape, operands(out, x, weight, None)?, (out.rows(), x.rows()))
    }

    /// `out = x · right` in bf16: x `[M, K]`, right `[K, N]`.
    ///
    /// # Errors
    /// As [`Gpu::product`].
    pub fn product_plain(
        &self,
        out: Matrix<'_, bf16>,
        x: Matrix<'_, bf16>,
        right: Matrix<'_, bf16>,
    ) -> Result<()> {
        let shape = shape(Kind::Bf16Plain, out, x, right, false);
        right.expect("the right side", x.width(), out.width())?;
        self.multiply(Doing::Write, shape, operands(out, x, right, None)?, (out.rows(), x.rows()))
    }

    /// `out = (x · x_scales) · (weight · weight_scales)ᵀ + bias` on fp8 tensor cores: x `[M, K]` with scales
    /// `[M, 1]`, weight `[N, K]` with scales `[N, 1]`, bias `[1, N]`. M, N and K are multiples of [`GRAIN`].
    ///
    /// # Errors
    /// As [`Gpu::product`]; on cards where the library has no scales a row.
    pub fn product_fp8(
        &self,
        doing: Doing,
        out: Matrix<'_, bf16>,
        (x, x_scales): (Matrix<'_, F8>, Matrix<'_, f32>),
        (weight, weight_scales): (Matrix<'_, F8>, Matrix<'_, f32>),
        bias: Option<Matrix<'_, bf16>>,
    ) -> Result<()> {
        let shape = shape(Kind::Fp8, out, x, weight, bias.is_some());
        weight.expect("the weight", out.width(), x.width())?;
        x_scales.expect("the scales of x", x.rows(), 1)?;
        weight_scales.expect("the scales of the weight", weight.rows(), 1)?;
        let operands = Operands {
            x_scales: x_scales.at(),
            weight_scales: weight_scales.at(),
            ..operands(out, x, weight, bias)?
        };
        self.multiply(doing, shape, operands, (out.rows(), x.rows()))
    }

    /// [`Gpu::product_fp8`] where the library has scales a row; elsewhere the product of the stored numbers, then the
    /// scales and the bias in a pass of their own.
    ///
    /// # Errors
    /// As [`Gpu::product`].
    pub fn linear_fp8(
        &self,
        out: Matrix<'_, bf16>,
        x: (Matrix<'_, F8>, Matrix<'_, f32>),
        weight: (Matrix<'_, F8>, Matrix<'_, f32>),
        bias: Option<Matrix<'_, bf16>>,
    ) -> Result<()> {
        if self.scales_rows(x.1, || self.product_fp8(Doing::Write, out, x, weight, bias))? {
            return Ok(());
        }
        self.product_fp8_unscaled(out, x.0, weight.0)?;
        self.scale_rows(out, Some(x.1), weight.1, bias)
    }

    /// Whether [`Gpu::product_fp8`] can add to `out` here; its way is chosen then, and what is in `out` is lost.
    ///
    /// # Errors
    /// As [`Gpu::product`].
    pub fn can_add_fp8(
        &self,
        out: Matrix<'_, bf16>,
        x: (Matrix<'_, F8>, Matrix<'_, f32>),
        weight: (Matrix<'_, F8>, Matrix<'_, f32>),
        bias: Option<Matrix<'_, bf16>>,
    ) -> Result<bool> {
        self.scales_rows(x.1, || self.product_fp8(Doing::Choose, out, x, weight, bias))
    }

    /// Whether a product with these scales of its rows was done by the library.
    fn scales_rows(&self, scales: Matrix<'_, f32>, product: impl FnOnce() -> Result<()>) -> Result<bool> {
        let lacks_scales = &self.products().lacks_row_scales;
        // The library wants the scales on 16 bytes: rows behind a text of an odd length are not.
        if !scales.at().is_multiple_of(16) || lacks_scales.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match product() {
            Err(CudaError::Product { reason, .. })
                if ["NOT_SUPPORTED", "INVALID_VALUE"].iter().any(|status| reason.contains(status)) =>
            {
                tracing::info!(
                    "cublasLt has no scales a row on this card: they are applied after the product"
                );
                lacks_scales.store(true, Ordering::Relaxed);
                Ok(false)
            }
            done => done.map(|()| true),
        }
    }

    /// As if the library had no scales a row: what an Ada card runs, to be tested on a Hopper card.
    pub fn do_without_row_scales(&self, without: bool) {
        self.products().lacks_row_scales.store(without, Ordering::Relaxed);
    }

    /// As if [`Gpu::product_with_ranks`] were the fastest for every shape: what layers of the full size run, to be tested on
    /// small ones.
    pub fn always_with_ranks(&self, always: bool) {
        self.products().always_with_ranks.store(always, Ordering::Relaxed);
    }

    /// `out = x · weightᵀ` of the stored fp8 numbers, for cards where the library has no scales a row:
    /// [`Gpu::scale_rows`] finishes it. A sum of 15,360 products of numbers up to 448 is far from bf16's limit.
    ///
    /// # Errors
    /// As [`Gpu::product`].
    pub fn product_fp8_unscaled(
        &self,
        out: Matrix<'_, bf16>,
        x: Matrix<'_, F8>,
        weight: Matrix<'_, F8>,
    ) -> Result<()> {
        let shape = shape(Kind::Fp8Unscaled, out, x, weight, false);
        weight.expect("the weight", out.width(), x.width())?;
        self.multiply(Doing::Write, shape, operands(out, x, weight, None)?, (out.rows(), x.rows()))
    }

    fn multiply(&self, doing: Doing, shape: Shape, operands: Operands, rows: (usize, usize)) -> Result<()> {
        if rows.0 != rows.1 {
            return Err(CudaError::Shape(format!("a product of {} rows into {}", rows.1, rows.0)));
        }
        let shape = Shape { alignment: operands.alignment(), ..shape };
        let products = self.products();
        let mut library = self.library().lock().unwrap_or_else(PoisonError::into_inner);
        let workspace = match &*library {
            Some(memory) => memory.at,
            None => library.insert(LibraryMemory::take(self)?).at,
        };
        let mut state = products.state.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = match state.plans.entry(shape) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.plan(doing, shape, operands, workspace)?),
        };
        let before = match doing {
            Doing::Choose => return Ok(()),
            Doing::Write => 0.0,
            Doing::Add => 1.0,
        };
        plan.run(self, products.handle, (operands, before), workspace, &plan.algorithm)
            .map_err(|error| refused(shape, error))
    }

    /// With the algorithm that was chosen before on this card, or the fastest now.
    fn plan(&self, doing: Doing, shape: Shape, operands: Operands, workspace: CUdeviceptr) -> Result<Plan> {
        let handle = self.products().handle;
        if let Some(algorithm) = kept::chosen(&self.card().uuid, shape) {
            match Plan::checked(handle, shape, algorithm) {
                Ok(plan) => return Ok(plan),
                Err(error) => {
                    tracing::warn!(?shape, %error, "an algorithm that was kept does not work any more");
                }
            }
        }
        if doing == Doing::Add {
            // What is in `out` is wanted: nothing can be tried on it.
            return Plan::guessed(handle, shape).map_err(|error| refused(shape, error));
        }
        let plan = Plan::fastest(self, handle, shape, operands, workspace)?;
        kept::choose(&self.card().uuid, shape, plan.algorithm);
        Ok(plan)
    }
}

fn shape<O: Element, X: Element, W: Element>(
    kind: Kind,
    out: Matrix<'_, O>,
    x: Matrix<'_, X>,
    weight: Matrix<'_, W>,
    bias: bool,
) -> Shape {
    Shape {
        rows: x.rows(),
        columns: out.width(),
        inner: x.width(),
        x_stride: x.stride(),
        weight_stride: weight.stride(),
        out_stride: out.stride(),
        kind,
        bias,
        alignment: ALIGNMENT,
    }
}

/// All addresses but those of scales.
fn operands<O: Element, X: Element, W: Element>(
    out: Matrix<'_, O>,
    x: Matrix<'_, X>,
    weight: Matrix<'_, W>,
    bias: Option<Matrix<'_, bf16>>,
) -> Result<Operands> {
    let bias = match bias {
        Some(bias) => bias.expect("the bias", 1, out.width())?.at(),
        None => 0,
    };
    Ok(Operands { out: out.at(), x: x.at(), x_scales: 0, weight: weight.at(), weight_scales: 0, bias })
}

fn refused(shape: Shape, error: CublasError) -> CudaError {
    let Shape { rows, inner, columns, kind, .. } = shape;
    CudaError::Product { rows, inner, columns, kind: kind.name(), reason: error.to_string() }
}
