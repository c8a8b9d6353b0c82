//! Pictures as sixels, by the encoder that ratatui-image has, in a form that tmux shows as it is.
//!
//! tmux (3.4) keeps a picture as pixels and writes it anew. It rounds the height up to whole bands of six, and that up to whole
//! rows of cells; and what no pixel was set in gets the colour of register 0. So no band reaches beyond the cells, and
//! register 0 is black and nothing else.

use std::fmt::Write as _;

use icy_sixel::{EncodeOptions, sixel_encode};
use image::imageops::{self, FilterType};
use image::{RgbImage, RgbaImage};
use ratatui::layout::Size;
use ratatui_image::protocol::sixel::Sixel;

use super::Fit;

/// Rows of pixels in a band.
const BAND: u32 = 6;
/// One of 256 registers is not the picture's.
const COLOURS: u16 = 255;

/// These pixels, which are as large as `fitted` says or smaller by less than a band.
pub(super) fn sixel(
    pixels: &RgbImage,
    fitted: Fit,
    cell: (u32, u32),
    filter: FilterType,
) -> Result<Sixel, String> {
    let Size { width, height } = fitted.cells;
    let all = (u32::from(width) * cell.0, u32::from(height) * cell.1);
    let high = if all.1 < BAND { all.1 } else { all.1 / BAND * BAND };
    let (across, down) = fitted.pixels;
    let (across, down) = if down > high { ((across * high / down).max(1), high) } else { (across, down) };
    let scaled = imageops::resize(pixels, across.max(1), down.max(1), filter);
    // What is left of the last cells stays clear, so that the picture keeps its shape.
    let mut whole = RgbaImage::new(all.0, high);
    imageops::replace(&mut whole, &image::DynamicImage::from(scaled).to_rgba8(), 0, 0);
    let options = EncodeOptions { max_colors: COLOURS, ..EncodeOptions::default() };
    let encoded = sixel_encode(whole.as_raw(), whole.width() as usize, whole.height() as usize, &options)
        .map_err(|error| format!("the picture could not be encoded: {error}"))?;
    let mut data = cleared(fitted.cells);
    data.push_str(&with_black(&encoded).ok_or("the picture could not be encoded: no colours in it")?);
    Ok(Sixel { data, size: fitted.cells, is_tmux: false })
}

/// Takes away what stands in the cells: text would be seen through clear pixels.
fn cleared(Size { width, height }: Size) -> String {
    let row = format!("\x1b[{width}X");
    let rows = std::iter::repeat_n(row.as_str(), usize::from(height)).collect::<Vec<_>>();
    let mut out = rows.join("\x1b[1B");
    if height > 1 {
        // Nothing fails in memory.
        let _ = write!(out, "\x1b[{}A", height - 1);
    }
    out
}

/// The same picture with its colours in the registers from 1 on, and black in register 0.
fn with_black(encoded: &str) -> Option<String> {
    let mut parts = encoded.split('#');
    let mut out = String::with_capacity(encoded.len() + encoded.len() / 8);
    out.push_str(parts.next()?);
    out.push_str("#0;2;0;0;0");
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let register: u16 = part[..digits].parse().ok()?;
        let _ = write!(out, "#{}", register + 1);
        out.push_str(&part[digits..]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::picture::fit;

    /// Of a picture with more colours than there are registers: the encoding, its raster's height, and its registers.
    fn encoded(picture: (u32, u32), room: Size, cell: (u32, u32)) -> (String, u32, Vec<u16>) {
        let colours = |x: u32, y: u32| image::Rgb([(x * 7) as u8, (y * 5) as u8, (x * y) as u8]);
        let pixels = RgbImage::from_fn(picture.0, picture.1, colours);
        let fitted = fit(picture, room, cell);
        let sixel = sixel(&pixels, fitted, cell, FilterType::Triangle).expect("it can be encoded");
        let raster = sixel.data.split('"').nth(1).expect("a raster").split('#').next().expect("its end");
        let high = raster.split(';').nth(3).expect("a height").parse().expect("a number");
        let registers = sixel.data.split('#').skip(1);
        let number = |part: &str| part.split(|c: char| !c.is_ascii_digit()).next().map(str::parse);
        let registers = registers.map(|part| number(part).expect("digits").expect("a number")).collect();
        (sixel.data, high, registers)
    }

    #[test]
    fn no_band_reaches_beyond_the_cells() {
        for (room, cell) in [((40, 35), (10, 20)), ((21, 7), (9, 17)), ((5, 1), (8, 16)), ((3, 1), (4, 5))] {
            let room = Size::new(room.0, room.1);
            let (_, high, _) = encoded((64, 64), room, cell);
            let rows = fit((64, 64), room, cell).cells.height;
            let all = u32::from(rows) * cell.1;
            assert!(high.next_multiple_of(BAND) <= all || all < BAND, "{high} in {all}");
            assert!(high + BAND > all, "{high} of {all}");
        }
    }

    #[test]
    fn register_0_is_black_and_no_colour_of_the_picture() {
        let (data, _, registers) = encoded((64, 64), Size::new(20, 10), (10, 20));
        assert!(data.contains("#0;2;0;0;0#1;2;"), "{}", &data[..200]);
        assert_eq!(registers.iter().filter(|register| **register == 0).count(), 1, "defined, never chosen");
        assert_eq!(registers.iter().max(), Some(&255));
    }

    #[test]
    fn what_stands_in_the_cells_is_taken_away_first() {
        assert_eq!(cleared(Size::new(12, 2)), "\x1b[12X\x1b[1B\x1b[12X\x1b[1A");
        // In the last row of a screen nothing is below.
        assert_eq!(cleared(Size::new(12, 1)), "\x1b[12X");
        let (data, ..) = encoded((64, 64), Size::new(20, 10), (10, 20));
        assert!(data.starts_with("\x1b[20X\x1b[1B"));
    }
}
