//! The PNG of a picture. (The branch that reads and writes its metadata replaces this file.)

use crate::job::Recipe;

/// Why a picture could not be made into a PNG.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PngError(#[from] png::EncodingError);

/// # Errors
/// When `rgb` is not of the recipe's size.
pub fn encode(rgb: &[u8], recipe: &Recipe) -> Result<Vec<u8>, PngError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, recipe.size.width(), recipe.size.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(rgb)?;
    Ok(bytes)
}
