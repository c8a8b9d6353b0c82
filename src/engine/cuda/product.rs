//! Matrix products by cublasLt: bf16, or fp8 with one scale a row on both sides, bf16 out.
//!
//! `out[M, N] = x[M, K] · weight[N, K]ᵀ + bias[N]`. The first product of a shape times what the library offers for it
//! and keeps the fastest: its own first guess is up to 16 % slower (`benches/PERFORMANCE.md`). The first guess stays
//! unless another is clearly faster, so that noise does not change which bits a picture has.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys::{self, cublasLtMatmulDescAttributes_t as Attribute};
use cudarc::driver::sys::CUdeviceptr;
use half::bf16;

use super::error::{CudaError, Result, driver};
use super::gpu::Gpu;
use super::memory::{Element, F8, Matrix};

/// What the library may use beside its operands, in bytes.
pub(super) const WORKSPACE: usize = 32 << 20;
/// How many algorithms of a shape are timed.
const CANDIDATES: usize = 8;
/// An algorithm must be this much faster than the first guess to be taken instead.
const CLEARLY_FASTER: f32 = 0.97;
/// fp8 products want every side to be a multiple of this.
pub const GRAIN: usize = 16;

/// The library's handle and what was chosen so far.
pub struct Products {
    handle: sys::cublasLtHandle_t,
    state: Mutex<State>,
    /// Found out at the first product that wants them.
    lacks_row_scales: AtomicBool,
}

// SAFETY: the handle may be used from any thread, and the state is behind its lock.
unsafe impl Send for Products {}
// SAFETY: as above.
unsafe impl Sync for Products {}

#[derive(Default)]
struct State {
    /// Taken at the first product.
    workspace: Option<CUdeviceptr>,
    plans: HashMap<Shape, Plan>,
}

/// What a plan is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    rows: usize,
    columns: usize,
    inner: usize,
    x_stride: usize,
    weight_stride: usize,
    out_stride: usize,
    kind: Kind,
    bias: bool,
}

/// How the operands are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// bf16, the weight `[N, K]`.
    Bf16,
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
            Self::Bf16 | Self::Bf16Plain => "bf16",
            Self::Fp8 | Self::Fp8Unscaled => "fp8",
        }
    }

    fn is_fp8(self) -> bool {
        matches!(self, Self::Fp8 | Self::Fp8Unscaled)
    }
}

/// A description that the library understands, and the algorithm chosen for it.
struct Plan {
    description: sys::cublasLtMatmulDesc_t,
    weight: sys::cublasLtMatrixLayout_t,
    x: sys::cublasLtMatrixLayout_t,
    out: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: made by `Plan::new`, destroyed here only. A failure leaks some bytes of host memory.
        unsafe {
            let _ = result::destroy_matmul_desc(self.description);
            for layout in [self.weight, self.x, self.out] {
                let _ = result::destroy_matrix_layout(layout);
            }
        }
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
        Ok(Self { handle, state: Mutex::default(), lacks_row_scales: AtomicBool::new(false) })
    }
}

impl Drop for Products {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.plans.clear();
        // SAFETY: both were made here and are not used again.
        unsafe {
            if let Some(workspace) = state.workspace.take() {
                let _ = cudarc::driver::result::free_sync(workspace);
            }
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
        let shape = shape(Kind::Bf16, out, x, weight, bias.is_some());
        weight.expect("the weight", out.width(), x.width())?;
        self.multiply(shape, operands(out, x, weight, bias)?, (out.rows(), x.rows()))
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
        self.multiply(shape, operands(out, x, right, None)?, (out.rows(), x.rows()))
    }

    /// `out = (x · x_scales) · (weight · weight_scales)ᵀ + bias` on fp8 tensor cores: x `[M, K]` with scales
    /// `[M, 1]`, weight `[N, K]` with scales `[N, 1]`, bias `[1, N]`. M, N and K are multiples of [`GRAIN`].
    ///
    /// # Errors
    /// As [`Gpu::product`]; on cards where the library has no scales a row.
    pub fn product_fp8(
        &self,
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
        self.multiply(shape, operands, (out.rows(), x.rows()))
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
        bias: Matrix<'_, bf16>,
    ) -> Result<()> {
        let lacks_scales = &self.products().lacks_row_scales;
        if !lacks_scales.load(Ordering::Relaxed) {
            match self.product_fp8(out, x, weight, Some(bias)) {
                Err(CudaError::Product { reason, .. })
                    if ["NOT_SUPPORTED", "INVALID_VALUE"].iter().any(|status| reason.contains(status)) =>
                {
                    tracing::info!(
                        "cublasLt has no scales a row on this card: they are applied after the product"
                    );
                    lacks_scales.store(true, Ordering::Relaxed);
                }
                done => return done,
            }
        }
        self.product_fp8_unscaled(out, x.0, weight.0)?;
        self.scale_rows(out, x.1, weight.1, Some(bias))
    }

    /// As if the library had no scales a row: what an Ada card runs, to be tested on a Hopper card.
    pub fn do_without_row_scales(&self, without: bool) {
        self.products().lacks_row_scales.store(without, Ordering::Relaxed);
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
        self.multiply(shape, operands(out, x, weight, None)?, (out.rows(), x.rows()))
    }

    fn multiply(&self, shape: Shape, operands: Operands, rows: (usize, usize)) -> Result<()> {
        if rows.0 != rows.1 {
            return Err(CudaError::Shape(format!("a product of {} rows into {}", rows.1, rows.0)));
        }
        let products = self.products();
        let mut state = products.state.lock().unwrap_or_else(PoisonError::into_inner);
        let workspace = state.workspace(self)?;
        if !state.plans.contains_key(&shape) {
            let plan = Plan::fastest(self, products.handle, shape, operands, workspace)?;
            state.plans.insert(shape, plan);
        }
        let plan = state.plans.get(&shape).expect("it was there or has just been put there");
        plan.run(self, products.handle, operands, workspace, &plan.algorithm)
            .map_err(|error| refused(shape, error))
    }
}

impl State {
    fn workspace(&mut self, gpu: &Gpu) -> Result<CUdeviceptr> {
        if let Some(workspace) = self.workspace {
            return Ok(workspace);
        }
        // SAFETY: given back when the products are dropped.
        let workspace = unsafe { cudarc::driver::result::malloc_sync(WORKSPACE) }
            .map_err(driver("taking cublasLt's workspace"))?;
        gpu.tally().took(WORKSPACE);
        Ok(*self.workspace.insert(workspace))
    }
}

fn shape<X: Element, W: Element>(
    kind: Kind,
    out: Matrix<'_, bf16>,
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
    }
}

/// All addresses but those of scales.
fn operands<X: Element, W: Element>(
    out: Matrix<'_, bf16>,
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

impl Plan {
    /// Describes the product, and times the algorithms on the operands themselves: `out` is written again anyway.
    fn fastest(
        gpu: &Gpu,
        handle: sys::cublasLtHandle_t,
        shape: Shape,
        operands: Operands,
        workspace: CUdeviceptr,
    ) -> Result<Self> {
        let (mut plan, candidates) = Self::new(handle, shape).map_err(|error| refused(shape, error))?;
        let mut best = f32::INFINITY;
        let mut last = None;
        for (index, candidate) in candidates.iter().enumerate() {
            match plan.time(gpu, handle, operands, workspace, &candidate.algo) {
                Ok(milliseconds) if milliseconds < best => {
                    best = if index == 0 { milliseconds * CLEARLY_FASTER } else { milliseconds };
                    plan.algorithm = candidate.algo;
                }
                Ok(_) => {}
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) if best.is_infinite() => Err(error),
            _ => Ok(plan),
        }
    }

    /// The least of three rounds, in milliseconds.
    fn time(
        &self,
        gpu: &Gpu,
        handle: sys::cublasLtHandle_t,
        operands: Operands,
        workspace: CUdeviceptr,
        algorithm: &sys::cublasLtMatmulAlgo_t,
    ) -> Result<f32> {
        const CALLS: usize = 4;
        let mut least = f32::INFINITY;
        for _ in 0..3 {
            let start = gpu.mark(true)?;
            for _ in 0..CALLS {
                self.run(gpu, handle, operands, workspace, algorithm).map_err(|error| CudaError::Driver {
                    what: "timing an algorithm",
                    reason: error.to_string(),
                    sticky: false,
                })?;
            }
            let end = gpu.mark(true)?;
            end.synchronize().map_err(driver("timing an algorithm"))?;
            least = least.min(start.elapsed_ms(&end).map_err(driver("timing an algorithm"))?);
        }
        Ok(least / CALLS as f32)
    }

    /// cublasLt counts in columns: its A is the weight, its B is x and its D is out, whose bias runs along N.
    fn new(
        handle: sys::cublasLtHandle_t,
        shape: Shape,
    ) -> std::result::Result<(Self, Vec<sys::cublasLtMatmulHeuristicResult_t>), CublasError> {
        use sys::cudaDataType_t::{CUDA_R_8F_E4M3, CUDA_R_16BF, CUDA_R_32F};
        let Shape { rows, columns, inner, x_stride, weight_stride, out_stride, kind, bias } = shape;
        let operand = if kind.is_fp8() { CUDA_R_8F_E4M3 } else { CUDA_R_16BF };
        let description =
            result::create_matmul_desc(sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, CUDA_R_32F)?;
        // `cublasOperation_t`: CUBLAS_OP_T and CUBLAS_OP_N.
        let (transposed, straight) = (1i32, 0i32);
        let plain = kind == Kind::Bf16Plain;
        set(description, Attribute::CUBLASLT_MATMUL_DESC_TRANSA, if plain { straight } else { transposed })?;
        set(description, Attribute::CUBLASLT_MATMUL_DESC_TRANSB, straight)?;
        if kind.is_fp8() {
            set(description, Attribute::CUBLASLT_MATMUL_DESC_FAST_ACCUM, 1i8)?;
        }
        // The library wants to see at planning that the addresses will be there; each call sets its own.
        let placeholder: CUdeviceptr = 256;
        if kind == Kind::Fp8 {
            let rowwise = sys::cublasLtMatmulMatrixScale_t::CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
            set(description, Attribute::CUBLASLT_MATMUL_DESC_A_SCALE_MODE, rowwise)?;
            set(description, Attribute::CUBLASLT_MATMUL_DESC_B_SCALE_MODE, rowwise)?;
            set(description, Attribute::CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, placeholder)?;
            set(description, Attribute::CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, placeholder)?;
        }
        if bias {
            let epilogue = sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS;
            set(description, Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue)?;
            set(description, Attribute::CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_16BF)?;
            set(description, Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, placeholder)?;
        }
        let layout = |kind, rows: usize, columns: usize, stride: usize| {
            result::create_matrix_layout(kind, rows as u64, columns as u64, stride as i64)
        };
        let (weight_rows, weight_columns) = if plain { (columns, inner) } else { (inner, columns) };
        let plan = Self {
            description,
            weight: layout(operand, weight_rows, weight_columns, weight_stride)?,
            x: layout(operand, inner, rows, x_stride)?,
            out: layout(CUDA_R_16BF, columns, rows, out_stride)?,
            algorithm: sys::cublasLtMatmulAlgo_t { data: [0; 8] },
        };
        let candidates = plan.candidates(handle)?;
        Ok((plan, candidates))
    }

    /// What the library offers, its best guess first; never none.
    fn candidates(
        &self,
        handle: sys::cublasLtHandle_t,
    ) -> std::result::Result<Vec<sys::cublasLtMatmulHeuristicResult_t>, CublasError> {
        let preference = result::create_matmul_pref()?;
        // SAFETY: plain data, filled in below.
        let mut found: [sys::cublasLtMatmulHeuristicResult_t; CANDIDATES] = unsafe { std::mem::zeroed() };
        let mut count = 0;
        let workspace = WORKSPACE;
        // SAFETY: the descriptions are this plan's; the array has room for as many as are asked for.
        let status = unsafe {
            result::set_matmul_pref_attribute(
                preference,
                sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                std::ptr::from_ref(&workspace).cast(),
                size_of::<usize>(),
            )
            .and_then(|()| {
                sys::cublasLtMatmulAlgoGetHeuristic(
                    handle,
                    self.description,
                    self.weight,
                    self.x,
                    self.out,
                    self.out,
                    preference,
                    CANDIDATES as i32,
                    found.as_mut_ptr(),
                    &raw mut count,
                )
                .result()
            })
        };
        // SAFETY: made above.
        unsafe { result::destroy_matmul_pref(preference)? };
        status?;
        let usable = found[..count.max(0) as usize]
            .iter()
            .filter(|candidate| candidate.state == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS)
            .copied()
            .collect::<Vec<_>>();
        if usable.is_empty() {
            return Err(CublasError(sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED));
        }
        Ok(usable)
    }

    fn run(
        &self,
        gpu: &Gpu,
        handle: sys::cublasLtHandle_t,
        operands: Operands,
        workspace: CUdeviceptr,
        algorithm: &sys::cublasLtMatmulAlgo_t,
    ) -> std::result::Result<(), CublasError> {
        if operands.x_scales != 0 {
            set(self.description, Attribute::CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, operands.weight_scales)?;
            set(self.description, Attribute::CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, operands.x_scales)?;
        }
        if operands.bias != 0 {
            set(self.description, Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias)?;
        }
        let (one, zero) = (1f32, 0f32);
        let pointer = |address: CUdeviceptr| address as usize as *mut c_void;
        // SAFETY: the matrices' extents were checked against the shape by the callers, who borrow their buffers; the
        // driver's stream and cublasLt's are one type under two names.
        unsafe {
            sys::cublasLtMatmul(
                handle,
                self.description,
                std::ptr::from_ref(&one).cast(),
                pointer(operands.weight),
                self.weight,
                pointer(operands.x),
                self.x,
                std::ptr::from_ref(&zero).cast(),
                pointer(operands.out),
                self.out,
                pointer(operands.out),
                self.out,
                algorithm,
                pointer(workspace),
                WORKSPACE,
                gpu.stream().cu_stream().cast(),
            )
        }
        .result()
    }
}

fn set<V: Copy>(
    description: sys::cublasLtMatmulDesc_t,
    attribute: Attribute,
    value: V,
) -> std::result::Result<(), CublasError> {
    // SAFETY: the attributes above are given the types that the library's reference names for them.
    unsafe {
        result::set_matmul_desc_attribute(
            description,
            attribute,
            std::ptr::from_ref(&value).cast(),
            size_of::<V>(),
        )
    }
}
