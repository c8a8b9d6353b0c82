//! From an order to something that can be drawn.

use std::io::Cursor;

use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, Limits, RgbImage};
use ratatui::layout::Size;
use ratatui_image::protocol::Protocol as Image;

use super::sixel::sixel;
use super::{Drawable, HalfBlocks, Inline, Means, Order, Protocol, Slot, Source, fit};

/// The largest side that is decoded; the engine draws at most 2048.
const SIDE_MAX: u32 = 8192;
/// No side of a preview is made smaller than this for a slow line.
const SIDE_MIN: u32 = 8;

/// Does what the order says.
pub(super) fn encode(order: &Order) -> Result<Drawable, String> {
    let (pixels, exact) = match &order.source {
        Source::Rgb(preview) => {
            let pixels = RgbImage::from_raw(preview.width(), preview.height(), preview.rgb().to_vec());
            (pixels.ok_or("the preview has too few bytes")?, false)
        }
        Source::Png(png) => (decode(png)?, true),
        Source::Jpeg(jpeg) => (decode_small(jpeg)?, true),
    };
    if pixels.width() == 0 || pixels.height() == 0 {
        return Err("the picture has no pixels".to_owned());
    }
    let pixels = part(pixels, order);
    let mut drawable = scaled(&pixels, order.room, order.means, (order.slot, order.number), exact)?;
    let mut pixels = pixels;
    while let (Some(budget), Drawable::Inline(inline)) = (order.budget, &drawable) {
        let (width, height) = (pixels.width() / 2, pixels.height() / 2);
        if inline.bytes() <= budget || width.min(height) < SIDE_MIN {
            break;
        }
        // The terminal makes it as large as it was.
        pixels = imageops::resize(&pixels, width, height, FilterType::Triangle);
        drawable = scaled(&pixels, order.room, order.means, (order.slot, order.number), exact)?;
    }
    Ok(drawable)
}

/// These pixels, as large as there is room.
pub(super) fn drawable(
    pixels: &RgbImage,
    room: Size,
    means: Means,
    place: (Slot, u64),
) -> Result<Drawable, String> {
    scaled(pixels, room, means, place, true)
}

fn scaled(
    pixels: &RgbImage,
    room: Size,
    means: Means,
    (slot, number): (Slot, u64),
    exact: bool,
) -> Result<Drawable, String> {
    let (width, height) = (u32::from(means.cell.0), u32::from(means.cell.1));
    match means.protocol {
        Protocol::HalfBlocks => {
            // Two pixels a cell, each as wide as a cell and half as high: the shape of the cell
            // decides how many of them make the picture's shape.
            let shape = (pixels.width() * height.max(1), pixels.height() * 2 * width.max(1));
            let halves = Size::new(room.width, room.height * 2);
            let fitted = fit(shape, halves, (1, 1));
            Ok(Drawable::HalfBlocks(HalfBlocks::new(&scale(pixels, fitted.pixels, exact))))
        }
        protocol => {
            let fitted = fit(pixels.dimensions(), room, (width, height));
            match protocol {
                Protocol::Sixel => {
                    let filter = filter(pixels, fitted.pixels, exact);
                    let image = sixel(pixels, fitted, (width, height), filter)?;
                    Ok(Drawable::Sixel(Box::new(Image::Sixel(image))))
                }
                _ => Inline::new(pixels, fitted, (width, height), (protocol, slot, number))
                    .map(Drawable::Inline),
            }
        }
    }
}

/// What is seen of it.
fn part(pixels: RgbImage, order: &Order) -> RgbImage {
    let (left, top, width, height) = order.zoom.part(pixels.dimensions(), order.room, order.means.cell);
    if (width, height) == pixels.dimensions() {
        return pixels;
    }
    imageops::crop_imm(&pixels, left, top, width, height).to_image()
}

/// A small copy, as the worker makes them.
fn decode_small(jpeg: &[u8]) -> Result<RgbImage, String> {
    let most = crate::wire::thumbnail::SIDE_MAX;
    let wrong = |error| format!("the small copy cannot be read: {error}");
    let decoder = JpegDecoder::new(Cursor::new(jpeg)).map_err(wrong)?;
    let (width, height) = decoder.dimensions();
    if width > most || height > most {
        return Err(format!("a small copy of {width}x{height} pixels; at most {most} were asked for"));
    }
    DynamicImage::from_decoder(decoder).map(|image| image.to_rgb8()).map_err(wrong)
}

/// A PNG of any colour type, with its size checked before anything is allocated for it.
fn decode(png: &[u8]) -> Result<RgbImage, String> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    let decoder = PngDecoder::with_limits(Cursor::new(png), limits.clone())
        .and_then(|mut decoder| decoder.set_limits(limits).map(|()| decoder));
    let image = decoder.and_then(DynamicImage::from_decoder);
    image
        .map(|image| image.to_rgb8())
        .map_err(|error| format!("the file is no PNG that can be read: {error}"))
}

fn scale(pixels: &RgbImage, (width, height): (u32, u32), exact: bool) -> RgbImage {
    imageops::resize(pixels, width.max(1), height.max(1), filter(pixels, (width, height), exact))
}

/// Small previews keep their pixels when they grow; finished pictures are smooth.
fn filter(pixels: &RgbImage, (width, height): (u32, u32), exact: bool) -> FilterType {
    let grows = width >= pixels.width() && height >= pixels.height();
    match (exact, grows) {
        (false, true) => FilterType::Nearest,
        (true, true) => FilterType::CatmullRom,
        (_, false) => FilterType::Lanczos3,
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
