//! How large a picture is shown: as large as there is room, never stretched.

use ratatui::layout::Size;

/// A picture's place in pixels and cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// Pixels across and down that the picture is scaled to.
    pub pixels: (u32, u32),
    /// Cells it covers; the last row and column may be covered in part.
    pub cells: Size,
}

/// Fits a picture of `picture` pixels into `room` cells of `cell` pixels each.
///
/// A picture of a single colour is still a picture: neither side becomes zero.
#[must_use]
pub fn fit(picture: (u32, u32), room: Size, cell: (u32, u32)) -> Fit {
    let cell = (cell.0.max(1), cell.1.max(1));
    let available = (u32::from(room.width) * cell.0, u32::from(room.height) * cell.1);
    let (width, height) = (u64::from(picture.0.max(1)), u64::from(picture.1.max(1)));
    let wide = width * u64::from(available.1) >= height * u64::from(available.0);
    let scaled = |side: u64, to: u32, of: u64| ((side * u64::from(to) + of / 2) / of).max(1) as u32;
    let pixels = if wide {
        (available.0, scaled(height, available.0, width).min(available.1))
    } else {
        (scaled(width, available.1, height).min(available.0), available.1)
    };
    let cells = |pixels: u32, cell: u32| u16::try_from(pixels.div_ceil(cell)).unwrap_or(u16::MAX);
    Fit { pixels, cells: Size::new(cells(pixels.0, cell.0), cells(pixels.1, cell.1)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_square_is_twice_as_wide_as_high_in_cells() {
        let fitted = fit((128, 128), Size::new(40, 30), (10, 20));
        assert_eq!(fitted, Fit { pixels: (400, 400), cells: Size::new(40, 20) });
    }

    #[test]
    fn tall_and_wide_pictures_touch_the_right_edges() {
        assert_eq!(fit((100, 400), Size::new(40, 20), (10, 20)).cells, Size::new(10, 20));
        assert_eq!(fit((400, 100), Size::new(40, 20), (10, 20)).cells, Size::new(40, 5));
    }

    proptest! {
        #[test]
        fn it_fits_and_keeps_its_shape(
            width in 1_u32..3000, height in 1_u32..3000,
            columns in 1_u16..300, rows in 1_u16..100,
            cell in (1_u32..40, 1_u32..60),
        ) {
            let fitted = fit((width, height), Size::new(columns, rows), cell);
            prop_assert!(fitted.cells.width <= columns && fitted.cells.height <= rows);
            let (wide, high) = (f64::from(fitted.pixels.0), f64::from(fitted.pixels.1));
            prop_assert!(wide >= 1.0 && high >= 1.0);
            // Each side is within a pixel of the exact one, or is at the least there can be.
            let (exact_height, exact_width) =
                (wide * f64::from(height) / f64::from(width), high * f64::from(width) / f64::from(height));
            prop_assert!((high - exact_height).abs() <= 1.0 || (wide - exact_width).abs() <= 1.0 || wide == 1.0 || high == 1.0);
        }
    }
}
