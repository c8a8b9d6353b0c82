//! One shape of product as cublasLt takes it, and which of its algorithms is the fastest.

use std::ffi::c_void;

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys::{self, cublasLtMatmulDescAttributes_t as Attribute};
use cudarc::driver::sys::CUdeviceptr;

use super::{Kind, Operands, Shape, WORKSPACE, refused};
use crate::engine::cuda::error::{CudaError, Result, driver};
use crate::engine::cuda::gpu::Gpu;

/// How many algorithms of a shape are timed.
const CANDIDATES: usize = 8;
/// An algorithm must be this much faster than the first guess to be taken instead.
const CLEARLY_FASTER: f32 = 0.97;

/// In place of one that is yet to be chosen.
const NO_ALGORITHM: sys::cublasLtMatmulAlgo_t = sys::cublasLtMatmulAlgo_t { data: [0; 8] };

/// A description that the library understands, and the algorithm chosen for it.
pub(super) struct Plan {
    description: sys::cublasLtMatmulDesc_t,
    weight: sys::cublasLtMatrixLayout_t,
    x: sys::cublasLtMatrixLayout_t,
    out: sys::cublasLtMatrixLayout_t,
    alignment: usize,
    pub algorithm: sys::cublasLtMatmulAlgo_t,
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

impl Plan {
    /// Describes the product, and times the algorithms on the operands themselves: `out` is written again anyway.
    pub fn fastest(
        gpu: &Gpu,
        handle: sys::cublasLtHandle_t,
        shape: Shape,
        operands: Operands,
        workspace: CUdeviceptr,
    ) -> Result<Self> {
        let refused = |error| refused(shape, error);
        let mut plan = Self::with(shape, NO_ALGORITHM).map_err(refused)?;
        let candidates = plan.candidates(handle).map_err(refused)?;
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

    /// With the library's best guess.
    pub fn guessed(handle: sys::cublasLtHandle_t, shape: Shape) -> std::result::Result<Self, CublasError> {
        let mut plan = Self::with(shape, NO_ALGORITHM)?;
        // There is never none.
        plan.algorithm = plan.candidates(handle)?[0].algo;
        Ok(plan)
    }

    /// With an algorithm that another process has chosen, if the library still takes it.
    pub fn checked(
        handle: sys::cublasLtHandle_t,
        shape: Shape,
        algorithm: sys::cublasLtMatmulAlgo_t,
    ) -> std::result::Result<Self, CublasError> {
        let plan = Self::with(shape, algorithm)?;
        // SAFETY: plain data, filled in by the call.
        let mut found: sys::cublasLtMatmulHeuristicResult_t = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptions are this plan's.
        unsafe {
            sys::cublasLtMatmulAlgoCheck(
                handle,
                plan.description,
                plan.weight,
                plan.x,
                plan.out,
                plan.out,
                &raw const plan.algorithm,
                &raw mut found,
            )
        }
        .result()?;
        if found.workspaceSize > WORKSPACE {
            return Err(CublasError(sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED));
        }
        Ok(plan)
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
                self.run(gpu, handle, (operands, 0.0), workspace, algorithm).map_err(|error| {
                    CudaError::Driver {
                        what: "timing an algorithm",
                        reason: error.to_string(),
                        sticky: false,
                    }
                })?;
            }
            let end = gpu.mark(true)?;
            end.synchronize().map_err(driver("timing an algorithm"))?;
            least = least.min(start.elapsed_ms(&end).map_err(driver("timing an algorithm"))?);
        }
        Ok(least / CALLS as f32)
    }

    /// Describes the product, to be computed by this algorithm. cublasLt counts in columns: its A is the weight, its B is
    /// x and its D is out, whose bias runs along N.
    pub fn with(
        shape: Shape,
        algorithm: sys::cublasLtMatmulAlgo_t,
    ) -> std::result::Result<Self, CublasError> {
        use sys::cudaDataType_t::{CUDA_R_8F_E4M3, CUDA_R_16BF, CUDA_R_32F};
        let Shape { rows, columns, inner, x_stride, weight_stride, out_stride, kind, bias, alignment } =
            shape;
        let operand = if kind.is_fp8() { CUDA_R_8F_E4M3 } else { CUDA_R_16BF };
        let stored = if kind == Kind::Bf16ToF32 { CUDA_R_32F } else { CUDA_R_16BF };
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
        Ok(Self {
            description,
            weight: layout(operand, weight_rows, weight_columns, weight_stride)?,
            x: layout(operand, inner, rows, x_stride)?,
            out: layout(stored, columns, rows, out_stride)?,
            alignment,
            algorithm,
        })
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
        // Where an inner side is divided, its parts are summed in fp32 and in their order: the other schemes add into
        // the output as the parts come, and its bits would depend on the timing.
        let in_order = sys::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;
        use sys::cublasLtMatmulPreferenceAttributes_t as Preference;
        let alignment = self.alignment as u32;
        let aligned = [
            Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
            Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
            Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
            Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
        ];
        let status = prefer(preference, Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace)
            .and_then(|()| {
                prefer(preference, Preference::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &in_order)
            })
            .and_then(|()| {
                aligned.into_iter().try_for_each(|attribute| prefer(preference, attribute, &alignment))
            })
            // SAFETY: the descriptions are this plan's; the array has room for as many as are asked for.
            .and_then(|()| unsafe {
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
            });
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

    /// Computes the product and adds what was in `out`, times `before`.
    pub fn run(
        &self,
        gpu: &Gpu,
        handle: sys::cublasLtHandle_t,
        (operands, before): (Operands, f32),
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
        let one = 1f32;
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
                std::ptr::from_ref(&before).cast(),
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

fn prefer<V: Copy>(
    preference: sys::cublasLtMatmulPreference_t,
    attribute: sys::cublasLtMatmulPreferenceAttributes_t,
    value: &V,
) -> std::result::Result<(), CublasError> {
    // SAFETY: the attributes above are given the types that the library's reference names for them.
    unsafe {
        result::set_matmul_pref_attribute(
            preference,
            attribute,
            std::ptr::from_ref(value).cast(),
            size_of::<V>(),
        )
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
