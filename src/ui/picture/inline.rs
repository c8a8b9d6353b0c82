//! Pictures by kitty's and iTerm2's protocols, as PNG: what ratatui-image cannot do. It sends kitty raw RGBA, four bytes a
//! pixel of the screen for each step; here a preview goes out as small as it is, and the terminal makes it larger.
//!
//! The whole sequence is the text of the first cell: it is written when the cell changes, or when nothing is known of the
//! screen any more, and never otherwise.
//!
//! <https://sw.kovidgoyal.net/kitty/graphics-protocol/>, <https://iterm2.com/documentation-images.html>

use std::num::NonZeroU16;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage, RgbaImage, imageops};
use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::layout::{Rect, Size};
use ratatui::style::{Color, Style};

use super::rows::MARKS;
use super::{Fit, Protocol, Slot, kitty_id};
use crate::ui::terminal::tmux;

/// Bytes of base64 in one piece of kitty's; the protocol's most, and a multiple of four.
const PIECE: usize = 4096;
/// kitty puts a picture's cell in place of this one.
const PLACEHOLDER: char = '\u{10eeee}';
/// So many placeholders or more are one that is repeated (REP).
const REPEATED: usize = 4;

/// A picture as one sequence, and what its cells hold besides.
#[derive(Debug)]
pub struct Inline {
    protocol: Protocol,
    size: Size,
    sequence: String,
    /// The colour that names it, for placeholders.
    id: u32,
}

impl Inline {
    /// Of these pixels, to be shown as large as `fitted`, where a cell has so many pixels.
    ///
    /// # Errors
    /// When it cannot be encoded, or covers more rows than placeholders can tell apart.
    pub fn new(
        pixels: &RgbImage,
        fitted: Fit,
        cell: (u32, u32),
        (protocol, slot, number): (Protocol, Slot, u64),
    ) -> Result<Self, String> {
        let size = fitted.cells;
        if protocol.has_placeholders() && usize::from(size.height) > MARKS.len() {
            return Err(format!("the window has more than {} rows", MARKS.len()));
        }
        let png = encode(pixels, fitted, cell)?;
        let (id, before) = (kitty_id(protocol, slot, number), kitty_id(protocol, slot, number + 1));
        let sequence = match protocol {
            Protocol::Iterm2 => iterm2(&png, size),
            Protocol::Kitty => kitty(&png, &placed_by_cells(id, size)).concat(),
            Protocol::KittyThroughTmux => {
                kitty(&png, &placed_by_cells(id, size)).iter().map(|piece| tmux::wrapped(piece)).collect()
            }
            // The one before lies over it as long as there is one: there are two ids in turn.
            _ => {
                let shown = format!("a=T,C=1,i={id},p=1,c={},r={}", size.width, size.height);
                kitty(&png, &shown).concat() + &format!("\x1b_Ga=d,d=I,i={before},q=2\x1b\\")
            }
        };
        Ok(Self { protocol, size, sequence, id })
    }

    /// By which protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The cells it covers.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size
    }

    /// The bytes that are written for it, its placeholders aside.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.sequence.len()
    }

    /// Draws it at the corner of `area`.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer) {
        let Rect { x, y, width, height } = area;
        for row in 0..height {
            for column in 0..width {
                if let Some(cell) = buffer.cell_mut((x + column, y + row)) {
                    cell.reset();
                    cell.set_diff_option(CellDiffOption::Skip);
                }
            }
            let Some(first) = buffer.cell_mut((x, y + row)) else { continue };
            if self.protocol.has_placeholders() {
                let [_, red, green, blue] = self.id.to_be_bytes();
                let by_number = self.protocol == Protocol::KittyThroughTmux;
                let colour = if by_number { Color::Indexed(blue) } else { Color::Rgb(red, green, blue) };
                let sent = if row == 0 { self.sequence.as_str() } else { "" };
                first.set_symbol(&(sent.to_owned() + &self.placeholders(row)));
                first.set_style(Style::new().fg(colour));
            } else if row == 0 {
                first.set_symbol(&self.sequence);
            } else {
                continue;
            }
            // The sequence takes no room.
            first.set_diff_option(CellDiffOption::ForcedWidth(NonZeroU16::MIN));
        }
    }

    /// A row of placeholders: the first says where it is, each other stands right of the one before.
    fn placeholders(&self, row: u16) -> String {
        let [high, ..] = self.id.to_be_bytes();
        let mut text = String::from(PLACEHOLDER);
        text.extend([MARKS[usize::from(row)], MARKS[0], MARKS[usize::from(high)]]);
        let others = usize::from(self.size.width.saturating_sub(1));
        if self.protocol == Protocol::KittyThroughTmux || others < REPEATED {
            text.extend(std::iter::repeat_n(PLACEHOLDER, others));
        } else {
            // REP: a preview of 60 by 30 cells has 7 KB of placeholders otherwise. tmux repeats only ASCII.
            text.push_str(&format!("{PLACEHOLDER}\x1b[{}b", others - 1));
        }
        text
    }
}

/// A PNG of the shape that the cells have: no larger than what is seen, and no larger than the pixels that there are.
fn encode(pixels: &RgbImage, Fit { cells, pixels: seen }: Fit, cell: (u32, u32)) -> Result<Vec<u8>, String> {
    let smaller = seen.0 < pixels.width() || seen.1 < pixels.height();
    let scaled;
    let pixels = if smaller {
        scaled = imageops::resize(pixels, seen.0.max(1), seen.1.max(1), imageops::FilterType::Lanczos3);
        &scaled
    } else {
        pixels
    };
    let (width, height) = pixels.dimensions();
    // What is left of the last cells stays clear, so that the picture keeps its shape.
    let whole = |own: u32, cells: u16, cell: u32, seen: u32| {
        let exact = u64::from(own) * u64::from(cells) * u64::from(cell);
        (exact.div_ceil(u64::from(seen.max(1))) as u32).max(own)
    };
    let (columns, rows) =
        (whole(width, cells.width, cell.0, seen.0), whole(height, cells.height, cell.1, seen.1));
    let mut png = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Adaptive);
    let written = if (columns, rows) == (width, height) {
        encoder.write_image(pixels.as_raw(), width, height, ExtendedColorType::Rgb8)
    } else {
        let mut canvas = RgbaImage::new(columns, rows);
        for (x, y, pixel) in pixels.enumerate_pixels() {
            let [red, green, blue] = pixel.0;
            canvas.put_pixel(x, y, image::Rgba([red, green, blue, 255]));
        }
        encoder.write_image(canvas.as_raw(), columns, rows, ExtendedColorType::Rgba8)
    };
    written.map_err(|error| format!("the picture could not be encoded: {error}"))?;
    Ok(png)
}

/// Shown where its placeholders are.
fn placed_by_cells(id: u32, size: Size) -> String {
    format!("a=T,U=1,i={id},c={},r={}", size.width, size.height)
}

/// Transmits a PNG in pieces, which are to follow each other, and shows it by `how`; no reply is wanted.
fn kitty(png: &[u8], how: &str) -> Vec<String> {
    let text = base64(png);
    let mut out = Vec::with_capacity(text.len() / PIECE + 1);
    let mut rest = text.as_str();
    let mut control = format!("{how},f=100,q=2,");
    loop {
        let (piece, after) = rest.split_at(rest.len().min(PIECE));
        out.push(format!("\x1b_G{control}m={};{piece}\x1b\\", u8::from(!after.is_empty())));
        if after.is_empty() {
            return out;
        }
        (rest, control) = (after, String::from("q=2,"));
    }
}

/// The cursor comes back to where it was.
fn iterm2(png: &[u8], size: Size) -> String {
    let (width, height, text) = (size.width, size.height, base64(png));
    let how = format!("inline=1;size={};width={width};height={height};preserveAspectRatio=0", png.len());
    format!("\x1b7\x1b]1337;File={how}:{text}\x07\x1b8")
}

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 7) as u8, (y * 5) as u8, 128]))
    }

    fn fitted(columns: u16, rows: u16, pixels: (u32, u32)) -> Fit {
        Fit { cells: Size::new(columns, rows), pixels }
    }

    /// What is sent, as pixels.
    fn sent(sequence: &str) -> RgbaImage {
        let mut text = String::new();
        for piece in sequence.split("\x1b\\").filter(|piece| piece.contains(';')) {
            text.push_str(piece.split_once(';').expect("data").1);
        }
        let png = BASE64_STANDARD.decode(text).expect("base64");
        image::load_from_memory(&png).expect("a PNG").to_rgba8()
    }

    #[test]
    fn a_preview_is_sent_as_small_as_it_is_and_shown_as_large_as_it_fits() {
        let small = picture(32, 32);
        let fit = fitted(40, 20, (400, 400));
        let inline = Inline::new(&small, fit, (10, 20), (Protocol::KittyPlaced, Slot::PREVIEW, 4))
            .expect("it encodes");
        let (id, other) =
            (kitty_id(inline.protocol, Slot::PREVIEW, 4), kitty_id(inline.protocol, Slot::PREVIEW, 5));
        let start = format!("\x1b_Ga=T,C=1,i={id},p=1,c=40,r=20,f=100,q=2,m=0;iVBOR");
        assert!(inline.sequence.starts_with(&start), "{:?}", &inline.sequence[..80]);
        let end = format!("\x1b\\\x1b_Ga=d,d=I,i={other},q=2\x1b\\");
        assert!(inline.sequence.ends_with(&end));
        assert!(inline.sequence.len() < 4096 + 200, "{} bytes", inline.sequence.len());
    }

    #[test]
    fn what_is_left_of_the_last_cells_stays_clear() {
        // 3:2 in 30 by 9 cells of 10 by 20: 270 of 300 pixels across are seen, all 180 down.
        let fit = fitted(30, 9, (270, 180));
        let inline = Inline::new(&picture(54, 36), fit, (10, 20), (Protocol::Kitty, Slot::PREVIEW, 0))
            .expect("it encodes");
        let shown = sent(&inline.sequence);
        assert_eq!(shown.dimensions(), (60, 36));
        assert_eq!((shown.get_pixel(53, 35).0[3], shown.get_pixel(54, 0).0[3]), (255, 0));
    }

    #[test]
    fn a_large_picture_is_sent_no_larger_than_it_is_seen_and_in_pieces() {
        let fit = fitted(10, 5, (100, 100));
        let noise = RgbImage::from_fn(400, 400, |x, y| image::Rgb([(x * y % 251) as u8, (x ^ y) as u8, 9]));
        let inline =
            Inline::new(&noise, fit, (10, 20), (Protocol::Kitty, Slot::PREVIEW, 1)).expect("it encodes");
        assert_eq!(sent(&inline.sequence).dimensions(), (100, 100));
        let pieces: Vec<_> = inline.sequence.split_inclusive("\x1b\\").collect();
        assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.len() <= PIECE + 80));
        assert!(pieces[1].starts_with("\x1b_Gq=2,m="), "{:?}", &pieces[1][..20]);
        assert!(pieces.last().is_some_and(|last| last.contains("m=0;")));
    }

    #[test]
    fn placeholders_name_the_row_the_column_and_the_picture() {
        let fit = fitted(3, 2, (30, 40));
        let inline = Inline::new(&picture(30, 40), fit, (10, 20), (Protocol::Kitty, Slot::PREVIEW, 0))
            .expect("it encodes");
        let mut buffer = Buffer::empty(Rect::new(0, 0, 5, 4));
        inline.draw(Rect::new(1, 1, 3, 2), &mut buffer);
        let mark = |at: usize| MARKS[at];
        let [high, red, green, blue] = kitty_id(Protocol::Kitty, Slot::PREVIEW, 0).to_be_bytes();
        let second = buffer.cell((1, 2)).expect("a cell");
        let expected: String =
            [PLACEHOLDER, mark(1), mark(0), mark(high.into()), PLACEHOLDER, PLACEHOLDER].iter().collect();
        assert_eq!(second.symbol(), expected);
        let wide = Inline::new(
            &picture(80, 40),
            fitted(8, 2, (80, 40)),
            (10, 20),
            (Protocol::Kitty, Slot::PREVIEW, 0),
        );
        let row = wide.expect("it encodes").placeholders(1);
        let first: String = [PLACEHOLDER, mark(1), mark(0), mark(high.into())].iter().collect();
        assert_eq!(row, format!("{first}{PLACEHOLDER}\x1b[6b"), "eight, six of them repeated");
        assert_eq!(second.fg, Color::Rgb(red, green, blue));
        assert!(buffer.cell((1, 1)).expect("a cell").symbol().starts_with("\x1b_Ga=T,U=1,"));
    }

    #[test]
    fn through_tmux_each_piece_is_wrapped_and_the_placeholders_are_cells() {
        let fit = fitted(10, 5, (100, 100));
        let noise = RgbImage::from_fn(100, 100, |x, y| image::Rgb([(x * y % 251) as u8, (x ^ y) as u8, 9]));
        let inline =
            |protocol| Inline::new(&noise, fit, (10, 20), (protocol, Slot::PREVIEW, 1)).expect("it encodes");
        let (plain, through) = (inline(Protocol::Kitty), inline(Protocol::KittyThroughTmux));
        let id = kitty_id(Protocol::KittyThroughTmux, Slot::PREVIEW, 1);
        assert!((16..256).contains(&id), "{id} is one of the colours that have a number");
        // Golden: the same pieces with the other id, each between the marks and with its escapes doubled.
        let own = kitty_id(Protocol::Kitty, Slot::PREVIEW, 1);
        let pieces: Vec<&str> = plain.sequence.split_inclusive("\x1b\\").collect();
        assert!(pieces.len() > 2);
        let expected = pieces.iter().map(|piece| {
            let inner =
                piece.strip_prefix('\x1b').and_then(|piece| piece.strip_suffix("\x1b\\")).expect("a piece");
            let inner = inner.replace(&format!("i={own},"), &format!("i={id},"));
            format!("\x1bPtmux;\x1b\x1b{inner}\x1b\x1b\\\x1b\\")
        });
        assert_eq!(through.sequence, expected.collect::<String>());
        let mut buffer = Buffer::empty(Rect::new(0, 0, 10, 5));
        through.draw(buffer.area, &mut buffer);
        let second = buffer.cell((0, 1)).expect("a cell");
        assert_eq!(second.fg, Color::Indexed(id as u8));
        assert!(second.symbol().starts_with(&format!("{PLACEHOLDER}{}{}{}", MARKS[1], MARKS[0], MARKS[0])));
        let deleted = crate::ui::picture::kitty_delete(Protocol::KittyThroughTmux, None, Slot::PREVIEW);
        assert!(
            deleted.ends_with(&format!("\x1bPtmux;\x1b\x1b_Ga=d,d=I,i={id},q=2\x1b\x1b\\\x1b\\")),
            "{deleted:?}"
        );
    }

    #[test]
    fn iterm2s_names_its_bytes_and_its_cells_and_leaves_the_cursor() {
        let fit = fitted(16, 8, (160, 160));
        let inline = Inline::new(&picture(16, 16), fit, (10, 20), (Protocol::Iterm2, Slot::PREVIEW, 0))
            .expect("it encodes");
        let text = &inline.sequence;
        let bytes: usize = text
            .split_once("size=")
            .and_then(|(_, rest)| rest.split_once(';'))
            .map(|(bytes, _)| bytes.parse().expect("a number"))
            .expect("it says how many");
        assert!(text.starts_with("\x1b7\x1b]1337;File=inline=1;size="), "{text:?}");
        assert!(
            text.contains(";width=16;height=8;preserveAspectRatio=0:iVBOR") && text.ends_with("\x07\x1b8")
        );
        let data = text.split_once(':').expect("data").1.trim_end_matches("\x07\x1b8");
        assert_eq!(data.len(), bytes.div_ceil(3) * 4);
    }
}
