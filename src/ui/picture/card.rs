//! A test card: what a person can see at a glance to be right or wrong on a terminal.

use image::{Rgb, RgbImage};
use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::layout::Size;
use ratatui::style::Color;

use super::{Drawable, Means, Protocol, Slot, encode};
use crate::ui::terminal::colours::Depth;

/// White, yellow, cyan, green, magenta, red, blue, black.
const BARS: [[u8; 3]; 8] = [
    [255, 255, 255],
    [255, 255, 0],
    [0, 255, 255],
    [0, 255, 0],
    [255, 0, 255],
    [255, 0, 0],
    [0, 0, 255],
    [0, 0, 0],
];
/// Cells that the card takes at most.
const ROOM: Size = Size::new(48, 12);
/// Its pixels: twice as wide as high.
const PIXELS: (u32, u32) = (384, 192);

/// Bars of colour, below them a ramp of grey from black to white, and a circle over both.
#[must_use]
pub fn test_card() -> RgbImage {
    let (width, height) = PIXELS;
    let ramp = height * 3 / 4;
    let (radius, thick) = (f64::from(height) * 0.4, f64::from(height) * 0.03);
    RgbImage::from_fn(width, height, |x, y| {
        let (dx, dy) =
            (f64::from(x) + 0.5 - f64::from(width) / 2.0, f64::from(y) + 0.5 - f64::from(height) / 2.0);
        if (dx.hypot(dy) - radius).abs() < thick {
            return Rgb([255, 128, 0]);
        }
        if y >= ramp {
            return Rgb([(x * 255 / (width - 1)) as u8; 3]);
        }
        Rgb(BARS[(x * BARS.len() as u32 / width) as usize])
    })
}

/// The card as it is written at the cursor, which stands at the beginning of a line, in a window of so many cells. The
/// cursor is on the line below it then.
///
/// # Errors
/// When it cannot be encoded.
pub fn print(means: Means, window: (u16, u16), depth: Depth) -> Result<String, String> {
    // The last line is the cursor's: sixels that touch it would have the screen scroll.
    let room = Size::new(ROOM.width.min(window.0.max(1)), ROOM.height.min(window.1.saturating_sub(1).max(1)));
    let drawable = encode::drawable(&test_card(), room, means, (Slot::PREVIEW, 0))?;
    Ok(written(&drawable, depth))
}

/// Cells as text: room is made first, then each row is written, with the cursor put back after what may move it.
fn written(drawable: &Drawable, depth: Depth) -> String {
    let Size { width, height } = drawable.size();
    let mut buffer = Buffer::empty(ratatui::layout::Rect::new(0, 0, width, height));
    drawable.draw(buffer.area, &mut buffer);
    if drawable.protocol() == Protocol::HalfBlocks {
        depth.fit(&mut buffer);
    }
    let mut text = "\n".repeat(usize::from(height)) + &format!("\x1b[{height}A");
    for row in 0..height {
        text.push_str("\x1b7");
        let mut last = None;
        for column in 0..width {
            let cell = &buffer[(column, row)];
            if cell.diff_option == CellDiffOption::Skip {
                continue;
            }
            if last != Some((cell.fg, cell.bg)) {
                text.push_str(&format!("\x1b[0{}{}m", colour(cell.fg, 30), colour(cell.bg, 40)));
                last = Some((cell.fg, cell.bg));
            }
            text.push_str(cell.symbol());
        }
        text.push_str("\x1b[0m\x1b8\x1b[B");
    }
    text
}

/// A colour's parameters behind a semicolon; `base` is 30 for the front, 40 for the back.
fn colour(colour: Color, base: u8) -> String {
    let named = [
        Color::Black,
        Color::Red,
        Color::Green,
        Color::Yellow,
        Color::Blue,
        Color::Magenta,
        Color::Cyan,
        Color::Gray,
        Color::DarkGray,
        Color::LightRed,
        Color::LightGreen,
        Color::LightYellow,
        Color::LightBlue,
        Color::LightMagenta,
        Color::LightCyan,
        Color::White,
    ];
    match colour {
        Color::Reset => String::new(),
        Color::Rgb(red, green, blue) => format!(";{};2;{red};{green};{blue}", base + 8),
        Color::Indexed(number) => format!(";{};5;{number}", base + 8),
        colour => match (0..).zip(named).find(|(_, name)| *name == colour) {
            Some((number @ 0..8, _)) => format!(";{}", base + number),
            // The bright ones.
            Some((number, _)) => format!(";{}", base + 60 + number - 8),
            None => String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The card in half-blocks, as a terminal shows it.
    fn shown(depth: Depth) -> vt100::Parser {
        let means = Means { protocol: Protocol::HalfBlocks, cell: (10, 20) };
        let mut terminal = vt100::Parser::new(24, 80, 0);
        terminal.process(b"before\r\n");
        // The line is cooked: a line feed goes to the first column too.
        terminal.process(print(means, (80, 24), depth).expect("it encodes").replace('\n', "\r\n").as_bytes());
        terminal.process(b"after");
        terminal
    }

    #[test]
    fn it_is_seen_between_what_was_written_before_and_after() {
        let terminal = shown(Depth::True);
        let screen = terminal.screen();
        let rows: Vec<String> = screen.rows(0, 80).collect();
        assert!(rows[0] == "before" && rows[13] == "after", "{rows:?}");
        let colour = |row, column| screen.cell(row, column).map(vt100::Cell::bgcolor);
        assert_eq!(colour(2, 1), Some(vt100::Color::Rgb(255, 255, 255)));
        assert_eq!(colour(2, 45), Some(vt100::Color::Rgb(0, 0, 0)), "the last bar");
        // The ramp grows from left to right.
        let grey = |column| match colour(12, column) {
            Some(vt100::Color::Rgb(red, green, blue)) if red == green && green == blue => red,
            other => panic!("{other:?} is no grey"),
        };
        assert!(grey(1) < grey(8) && grey(40) < grey(46));
    }

    #[test]
    fn the_circle_is_round_in_pixels() {
        let card = test_card();
        let orange = |x: u32, y: u32| card.get_pixel(x, y).0 == [255, 128, 0];
        let across = (0..PIXELS.0)
            .filter(|x| orange(*x, PIXELS.1 / 2))
            .fold((u32::MAX, 0), |(least, most), x| (least.min(x), most.max(x)));
        let down = (0..PIXELS.1)
            .filter(|y| orange(PIXELS.0 / 2, *y))
            .fold((u32::MAX, 0), |(least, most), y| (least.min(y), most.max(y)));
        assert_eq!(across.1 - across.0, down.1 - down.0);
    }

    #[test]
    fn sixteen_colours_have_short_names() {
        let means = Means { protocol: Protocol::HalfBlocks, cell: (10, 20) };
        let text = print(means, (80, 24), Depth::Sixteen).expect("it encodes");
        assert!(!text.contains(";2;") && !text.contains(";5;") && text.contains(";97"), "{text:?}");
    }

    #[test]
    fn by_every_protocol_the_cursor_comes_back_after_each_row() {
        for protocol in [
            Protocol::Kitty,
            Protocol::KittyThroughTmux,
            Protocol::KittyPlaced,
            Protocol::Iterm2,
            Protocol::Sixel,
        ] {
            let text = print(Means { protocol, cell: (10, 20) }, (80, 24), Depth::True).expect("it encodes");
            assert!(text.starts_with(&("\n".repeat(12) + "\x1b[12A\x1b7")), "{protocol:?}");
            assert!(
                text.matches("\x1b8\x1b[B").count() >= 12 && text.ends_with("\x1b8\x1b[B"),
                "{protocol:?}"
            );
        }
    }
}
