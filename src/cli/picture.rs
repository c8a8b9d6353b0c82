//! A picture printed once at the cursor: `generate` and `show`. Never while the studio runs.
//!
//! The terminal is never asked anything, because one that does not answer would hang the command
//! (viuer's own detection of kitty reads without a time-out). What the environment is sure about is
//! used, half-blocks otherwise: viuer prints those and iTerm2's pictures, kitty's are sent by
//! [`kitty`] with replies switched off.

mod kitty;

use std::io::{self, Cursor, Write as _};

use image::{DynamicImage, ImageFormat, ImageReader, Limits};

use crate::library::png::SIDE_MAX;

/// What the pixels of one picture may take when they are unpacked.
const PIXELS_MAX: u64 = 1 << 30;

/// How a picture gets onto the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Blocks,
    Iterm,
    Kitty,
}

/// Prints a PNG at the cursor and leaves the cursor on the line below it.
///
/// # Errors
/// What is wrong with the file, or what the terminal's device said.
pub(super) fn print(png: &[u8]) -> Result<(), String> {
    let picture = decode(png)?;
    let (columns, rows) = crossterm::terminal::size().unwrap_or((80, 24));
    let cells = cells((picture.width(), picture.height()), (columns, rows));
    match way(|name| std::env::var(name).ok()) {
        Way::Kitty => {
            let mut out = io::stdout().lock();
            let sent = kitty::send(&mut out, png, cells).and_then(|()| out.flush());
            sent.map_err(|error| error.to_string())
        }
        way => viuer(&picture, cells, way == Way::Iterm),
    }
}

fn viuer(picture: &DynamicImage, (columns, rows): (u32, u32), use_iterm: bool) -> Result<(), String> {
    let config = viuer::Config {
        absolute_offset: false,
        width: Some(columns),
        height: Some(rows),
        use_kitty: false,
        use_iterm,
        ..viuer::Config::default()
    };
    viuer::print(picture, &config).map(|_| ()).map_err(|error| error.to_string())
}

fn decode(png: &[u8]) -> Result<DynamicImage, String> {
    let mut reader = ImageReader::with_format(Cursor::new(png), ImageFormat::Png);
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(PIXELS_MAX);
    reader.limits(limits);
    reader.decode().map_err(|error| error.to_string())
}

/// Only what cannot be mistaken. Inside tmux, screen and zellij the variables of the terminal
/// around them leak through, and pictures would not.
fn way(variable: impl Fn(&str) -> Option<String>) -> Way {
    let term = variable("TERM").unwrap_or_default();
    let inside = ["TMUX", "ZELLIJ", "STY"].iter().any(|name| variable(name).is_some());
    if inside || term.starts_with("tmux") || term.starts_with("screen") {
        return Way::Blocks;
    }
    if term == "xterm-kitty" || term == "xterm-ghostty" {
        return Way::Kitty;
    }
    let iterm =
        |name| variable(name).is_some_and(|value| value.contains("iTerm") || value.contains("WezTerm"));
    if iterm("TERM_PROGRAM") || iterm("LC_TERMINAL") { Way::Iterm } else { Way::Blocks }
}

/// Columns and rows for a picture: its shape kept, at most a column a pixel, two rows left free
/// for the line below it and the prompt. A cell is twice as high as it is wide.
fn cells((width, height): (u32, u32), (columns, rows): (u16, u16)) -> (u32, u32) {
    let (width, height) = (f64::from(width.max(1)), f64::from(height.max(1)));
    let (columns, rows) = (f64::from(columns.max(1)), f64::from(rows.saturating_sub(2).max(1)));
    let scale = 1f64.min(columns / width).min(2.0 * rows / height);
    let whole = |cells: f64, most: f64| cells.round().clamp(1.0, most);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 65535")]
    let cells = (whole(width * scale, columns) as u32, whole(height * scale / 2.0, rows) as u32);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way_of(pairs: &'static [(&str, &str)]) -> Way {
        way(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn half_blocks_unless_the_environment_is_sure() {
        assert_eq!(way_of(&[]), Way::Blocks);
        assert_eq!(way_of(&[("TERM", "xterm-256color")]), Way::Blocks);
        assert_eq!(way_of(&[("TERM", "xterm-kitty")]), Way::Kitty);
        assert_eq!(way_of(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "iTerm.app")]), Way::Iterm);
    }

    #[test]
    fn what_leaks_into_a_multiplexer_is_not_believed() {
        assert_eq!(way_of(&[("TERM", "tmux-256color"), ("LC_TERMINAL", "iTerm2")]), Way::Blocks);
        assert_eq!(way_of(&[("TERM", "xterm-kitty"), ("ZELLIJ", "0")]), Way::Blocks);
        assert_eq!(
            way_of(&[("TERM", "xterm-256color"), ("TMUX", "/t"), ("TERM_PROGRAM", "WezTerm")]),
            Way::Blocks
        );
    }

    #[test]
    fn a_picture_keeps_its_shape_and_fits() {
        assert_eq!(cells((128, 128), (80, 24)), (44, 22));
        assert_eq!(cells((128, 128), (300, 100)), (128, 64));
        assert_eq!(cells((2048, 16), (80, 24)), (80, 1));
        assert_eq!(cells((16, 2048), (80, 24)), (1, 22));
        assert_eq!(cells((128, 128), (0, 0)), (1, 1));
    }

    #[test]
    fn bytes_that_are_no_picture_are_an_error() {
        assert!(decode(b"").is_err());
        assert!(decode(b"\x89PNG\r\n\x1a\nrest").is_err());
    }
}
