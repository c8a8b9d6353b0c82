//! Pictures as coloured cells: the upper half of a cell is one pixel, the lower half another.

use image::RgbImage;
use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};
use ratatui::style::Color;

/// A picture of two pixels a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HalfBlocks {
    width: u16,
    height: u16,
    /// Row by row. The lower pixel of the last row is missing when the picture's height is odd.
    cells: Vec<(Color, Option<Color>)>,
}

impl HalfBlocks {
    /// From pixels: each is one half of a cell.
    #[must_use]
    pub fn new(pixels: &RgbImage) -> Self {
        let (width, height) = pixels.dimensions();
        let colour = |x: u32, y: u32| {
            let [red, green, blue] = pixels.get_pixel(x, y).0;
            Color::Rgb(red, green, blue)
        };
        let cells = (0..height.div_ceil(2))
            .flat_map(|row| (0..width).map(move |x| (x, row * 2)))
            .map(|(x, y)| (colour(x, y), (y + 1 < height).then(|| colour(x, y + 1))))
            .collect();
        let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
        Self { width: side(width), height: side(height.div_ceil(2)), cells }
    }

    /// Cells across and down.
    #[must_use]
    pub fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }

    /// Draws it at the upper left of an area.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer) {
        let area = area.intersection(buffer.area);
        for (row, cells) in (0..).zip(self.cells.chunks(usize::from(self.width.max(1)))) {
            for (column, (upper, lower)) in (0..).zip(cells) {
                if row < area.height && column < area.width {
                    let cell = &mut buffer[(area.x + column, area.y + row)];
                    match lower {
                        // One colour needs no sign: shorter to send.
                        Some(lower) if lower == upper => cell.set_symbol(" ").set_bg(*upper),
                        Some(lower) => cell.set_symbol("▀").set_fg(*upper).set_bg(*lower),
                        None => cell.set_symbol("▀").set_fg(*upper),
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn two_pixels_a_cell_and_an_odd_last_row() {
        let mut pixels = RgbImage::from_pixel(2, 3, Rgb([1, 2, 3]));
        pixels.put_pixel(1, 0, Rgb([9, 9, 9]));
        let blocks = HalfBlocks::new(&pixels);
        assert_eq!(blocks.size(), Size::new(2, 2));
        let mut buffer = Buffer::empty(Rect::new(0, 0, 3, 2));
        blocks.draw(buffer.area, &mut buffer);
        assert_eq!(buffer[(0, 0)].symbol(), " ");
        assert_eq!(buffer[(0, 0)].bg, Color::Rgb(1, 2, 3));
        assert_eq!((buffer[(1, 0)].symbol(), buffer[(1, 0)].fg), ("▀", Color::Rgb(9, 9, 9)));
        assert_eq!((buffer[(1, 1)].fg, buffer[(1, 1)].bg), (Color::Rgb(1, 2, 3), Color::Reset));
        assert_eq!(buffer[(2, 0)].symbol(), " ");
    }
}
