//! A step preview as it travels: its bytes are checked against its size when it arrives.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::job::JobId;

/// A small picture of the latent: 8-bit RGB, rows from the top, no padding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawPreview")]
pub struct Preview {
    /// Which job.
    pub job: JobId,
    /// Which of its pictures, from 0.
    pub index: u32,
    /// After this many steps.
    pub step: u32,
    width: u32,
    height: u32,
    rgb: Bytes,
}

/// A preview as it is decoded, before its length is checked.
#[derive(Deserialize)]
struct RawPreview {
    job: JobId,
    index: u32,
    step: u32,
    width: u32,
    height: u32,
    rgb: Bytes,
}

/// A preview whose bytes are not `3 · width · height`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a preview of {width}×{height} came with {bytes} bytes")]
pub struct PreviewError {
    width: u32,
    height: u32,
    bytes: usize,
}

impl Preview {
    /// # Errors
    /// When `rgb` does not hold `3 · width · height` bytes.
    pub fn new(
        job: JobId,
        index: u32,
        step: u32,
        (width, height): (u32, u32),
        rgb: Bytes,
    ) -> Result<Self, PreviewError> {
        if u64::from(width) * u64::from(height) != rgb.len() as u64 / 3 || !rgb.len().is_multiple_of(3) {
            return Err(PreviewError { width, height, bytes: rgb.len() });
        }
        Ok(Self { job, index, step, width, height, rgb })
    }

    /// Pixels across.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// `3 · width · height` bytes.
    #[must_use]
    pub fn rgb(&self) -> &Bytes {
        &self.rgb
    }
}

impl TryFrom<RawPreview> for Preview {
    type Error = PreviewError;
    fn try_from(raw: RawPreview) -> Result<Self, PreviewError> {
        Self::new(raw.job, raw.index, raw.step, (raw.width, raw.height), raw.rgb)
    }
}
