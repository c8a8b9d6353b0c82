//! How Hopper's copy engine is told of arrays in device memory: their sizes and strides, and the boxes that it brings.

use std::ffi::c_void;

use cudarc::driver::sys::{
    self, CUdeviceptr, CUtensorMap, CUtensorMapDataType, CUtensorMapFloatOOBfill, CUtensorMapInterleave,
    CUtensorMapL2promotion, CUtensorMapSwizzle,
};

use super::error::{Result, driver};

/// An array, innermost dimension first, and its boxes. What of a box lies outside arrives as zeros, and is not written.
#[derive(Debug)]
pub struct Boxes<'a> {
    /// Where it begins: a multiple of 16.
    pub at: CUdeviceptr,
    /// Bytes of a value: 1, or 2 (bf16).
    pub bytes: usize,
    /// Values of each dimension, five at most.
    pub sizes: &'a [usize],
    /// Values from one to the next of each dimension but the innermost: multiples of 16 bytes.
    pub strides: &'a [usize],
    /// Values of a box, 256 at most of each dimension.
    pub boxes: &'a [usize],
}

impl Boxes<'_> {
    /// Their description. Boxes whose rows are 32 bytes long lie in shared memory in the 32-byte swizzle, others in the
    /// 128-byte one.
    ///
    /// # Errors
    /// When the driver refuses it; `what` says of what.
    ///
    /// # Panics
    /// When the dimensions do not fit each other.
    pub fn describe(&self, what: &'static str) -> Result<CUtensorMap> {
        let rank = self.sizes.len();
        assert!((1..=5).contains(&rank) && self.strides.len() + 1 == rank && self.boxes.len() == rank);
        let bytes = self.bytes as u64;
        let sizes: Vec<_> = self.sizes.iter().map(|size| *size as u64).collect();
        let strides: Vec<_> = self.strides.iter().map(|stride| *stride as u64 * bytes).collect();
        let boxes: Vec<_> = self.boxes.iter().map(|side| *side as u32).collect();
        let steps = [1u32; 5];
        let kind = match self.bytes {
            1 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_UINT8,
            _ => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        };
        let swizzle = match self.boxes[0] * self.bytes {
            32 => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_32B,
            _ => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
        };
        let mut map = CUtensorMap { opaque: [0; 16] };
        // SAFETY: reads so many sizes, strides (one less), box sides and steps as the rank says, and writes the map.
        unsafe {
            sys::cuTensorMapEncodeTiled(
                &raw mut map,
                kind,
                rank as u32,
                self.at as usize as *mut c_void,
                sizes.as_ptr(),
                strides.as_ptr(),
                boxes.as_ptr(),
                steps.as_ptr(),
                CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                swizzle,
                CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        }
        .result()
        .map_err(driver(what))?;
        Ok(map)
    }
}
