//! A finished latent to pixels on the CPU: the CPU engine's way, and a card's last resort where its memory does not
//! suffice for any other.

use candle_core::Tensor;

use super::decoder::Decoder;
use crate::engine::watch::{compute, watched};
use crate::engine::{EngineError, Observer, latent};
use crate::job::Size;

/// 8-bit RGB, `3 · width · height` bytes, of the sampler's `tokens`, `[rows · columns, 64]`.
///
/// # Errors
/// [`EngineError::Stopped`], [`EngineError::NotFinite`]; when the shapes do not fit.
pub fn picture(
    decoder: &Decoder,
    tokens: &Tensor,
    size: Size,
    observer: &dyn Observer,
) -> Result<Vec<u8>, EngineError> {
    const STAGE: &str = "decoding";
    let latent = latent::unpack(tokens, latent::grid(size)).map_err(compute(STAGE))?;
    let picture = watched(observer, STAGE, |before_block| decoder.decode_watched(&latent, before_block))?;
    let values = picture.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).map_err(compute(STAGE))?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err(EngineError::NotFinite { stage: STAGE });
    }
    Ok(values.into_iter().map(|value| ((value * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8).collect())
}
