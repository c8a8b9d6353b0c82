//! Small copies of pictures: a PNG in, or what other programs put beside a LoRA, a JPEG out. Made one at a time on a thread that may block, so that looking
//! through pictures takes at most one core from drawing them.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngDecoder;
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};

/// The largest side of a picture that is read; the engine draws at most 2048.
const READ_MAX: u32 = 8192;
/// The largest side, and the most bytes while it is read, of a picture that is not ours.
const FOREIGN_MAX: u32 = 4096;
const FOREIGN_BYTES: u64 = 160 << 20;
/// JPEG's quality: a third of a PNG's bytes, and no difference at this size.
const QUALITY: u8 = 85;

/// A JPEG whose longer side has at most `side` pixels, in the picture's shape.
///
/// # Errors
/// Why the bytes are no picture that can be read.
pub(super) fn make(png: &[u8], side: u32) -> Result<Vec<u8>, String> {
    small(&decode(png)?, side)
}

/// The same of a PNG, JPEG or WebP, whatever its name says.
pub(super) fn of_any(bytes: &[u8], side: u32) -> Result<Vec<u8>, String> {
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(FOREIGN_MAX), Some(FOREIGN_MAX));
    limits.max_alloc = Some(FOREIGN_BYTES);
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let mut reader = reader.map_err(|error| error.to_string())?;
    reader.limits(limits);
    let read = reader.decode().map_err(|error| format!("it is no picture that can be read: {error}"))?;
    small(&read.to_rgb8(), side)
}

/// The same of pixels.
pub(super) fn small(pixels: &RgbImage, side: u32) -> Result<Vec<u8>, String> {
    let (width, height) = pixels.dimensions();
    let longer = width.max(height);
    if longer == 0 {
        return Err("it has no pixels".to_owned());
    }
    let scaled = |own: u32| {
        let exact = (u64::from(own) * u64::from(side) + u64::from(longer) / 2) / u64::from(longer);
        u32::try_from(exact).unwrap_or(side).max(1)
    };
    let mut jpeg = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    let encoded = if longer > side {
        let resized = imageops::resize(pixels, scaled(width), scaled(height), FilterType::Triangle);
        encoder.encode_image(&resized)
    } else {
        encoder.encode_image(pixels)
    };
    encoded.map_err(|error| error.to_string())?;
    Ok(jpeg)
}

/// A PNG of any colour type, its size checked before anything is allocated for it.
pub(super) fn decode(png: &[u8]) -> Result<RgbImage, String> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(READ_MAX);
    limits.max_image_height = Some(READ_MAX);
    let decoder = PngDecoder::with_limits(Cursor::new(png), limits.clone())
        .and_then(|mut decoder| decoder.set_limits(limits).map(|()| decoder));
    let image = decoder.and_then(DynamicImage::from_decoder);
    image.map(|image| image.to_rgb8()).map_err(|error| format!("it is no PNG that can be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image =
            RgbImage::from_fn(width, height, |x, _| image::Rgb([if x < width / 2 { 250 } else { 5 }; 3]));
        image.write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG can be written to memory");
        bytes.into_inner()
    }

    fn small(width: u32, height: u32, side: u32) -> RgbImage {
        let jpeg = make(&png(width, height), side).expect("it is a picture");
        image::load_from_memory_with_format(&jpeg, image::ImageFormat::Jpeg).expect("a JPEG").to_rgb8()
    }

    #[test]
    fn it_keeps_its_shape_and_its_picture() {
        let wide = small(768, 512, 96);
        assert_eq!(wide.dimensions(), (96, 64));
        assert!(wide.get_pixel(10, 30).0[0] > 230 && wide.get_pixel(80, 30).0[0] < 30);
        assert_eq!(small(512, 768, 96).dimensions(), (64, 96));
        assert_eq!(small(2048, 16, 32).dimensions(), (32, 1), "no side becomes nothing");
        assert_eq!(small(20, 10, 96).dimensions(), (20, 10), "nothing is made larger");
    }

    #[test]
    fn pictures_of_other_programs_are_known_by_their_content() {
        for format in [image::ImageFormat::Png, image::ImageFormat::Jpeg, image::ImageFormat::WebP] {
            let mut bytes = Cursor::new(Vec::new());
            let picture = RgbImage::from_pixel(300, 200, image::Rgb([10, 200, 30]));
            picture.write_to(&mut bytes, format).expect("it can be written to memory");
            let jpeg = of_any(bytes.get_ref(), 96).expect("it is a picture");
            let read = image::load_from_memory_with_format(&jpeg, image::ImageFormat::Jpeg).expect("a JPEG");
            assert_eq!((read.width(), read.height()), (96, 64), "{format:?}");
        }
        for bad in [&b""[..], b"<html>", b"GIF89a", &[0; 99], &png(8, 8)[..40]] {
            assert!(of_any(bad, 96).expect_err("no picture").contains("no picture"), "{bad:?}");
        }
        let mut huge = png(8, 8);
        huge[16..24].copy_from_slice(&[0, 0, 0x20, 0, 0, 0, 0x20, 0]);
        assert!(of_any(&huge, 96).is_err());
    }

    #[test]
    fn what_is_no_picture_is_told_and_a_huge_claim_allocates_nothing() {
        for bad in [&b""[..], b"GIF89a", &[0; 99]] {
            assert!(make(bad, 96).expect_err("no picture").contains("no PNG"));
        }
        let mut huge = png(8, 8);
        huge[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        assert!(make(&huge, 96).is_err());
    }
}
