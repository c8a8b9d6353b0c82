//! How many colours the terminal has, and the nearest of them to those that are wanted.
//!
//! Every frame is brought to what the terminal has when it is whole, pictures in half-blocks
//! included: nothing that draws has to know of it.

use ratatui::buffer::Buffer;
use ratatui::style::Color;

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Depth {
    /// All of 24 bits.
    #[default]
    True,
    /// xterm's 256: sixteen of the terminal's own, a cube of 6x6x6, and 24 greys.
    Indexed,
    /// The terminal's own sixteen.
    Sixteen,
}

/// The levels of one side of the cube.
const CUBE: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// The sixteen as xterm has them; other terminals differ a little.
const SIXTEEN: [(Color, [u8; 3]); 16] = [
    (Color::Black, [0, 0, 0]),
    (Color::Red, [205, 0, 0]),
    (Color::Green, [0, 205, 0]),
    (Color::Yellow, [205, 205, 0]),
    (Color::Blue, [0, 0, 238]),
    (Color::Magenta, [205, 0, 205]),
    (Color::Cyan, [0, 205, 205]),
    (Color::Gray, [229, 229, 229]),
    (Color::DarkGray, [127, 127, 127]),
    (Color::LightRed, [255, 0, 0]),
    (Color::LightGreen, [0, 255, 0]),
    (Color::LightYellow, [255, 255, 0]),
    (Color::LightBlue, [92, 92, 255]),
    (Color::LightMagenta, [255, 0, 255]),
    (Color::LightCyan, [0, 255, 255]),
    (Color::White, [255, 255, 255]),
];

impl Depth {
    /// What the environment says: `COLORTERM`, and the name in `TERM`. Of an unknown name nothing is
    /// known, and colours stay as they are.
    #[must_use]
    pub fn of(colorterm: &str, term: &str) -> Self {
        let named = ["kitty", "ghostty", "alacritty", "wezterm", "foot", "contour", "rio", "iterm"];
        let is = |part: &str| term.contains(part);
        match (colorterm, term) {
            ("truecolor" | "24bit", _) => Self::True,
            _ if term.ends_with("-direct") || named.into_iter().any(is) => Self::True,
            (_, "linux" | "xterm-16color" | "vt100" | "vt220" | "ansi" | "dumb") => Self::Sixteen,
            _ if is("256color") => Self::Indexed,
            _ => Self::True,
        }
    }

    /// The nearest colour that the terminal has.
    #[must_use]
    pub fn nearest(self, colour: Color) -> Color {
        match (self, colour) {
            (Self::Indexed, Color::Rgb(red, green, blue)) => Color::Indexed(indexed([red, green, blue])),
            (Self::Sixteen, Color::Rgb(red, green, blue)) => sixteen([red, green, blue]),
            (Self::Sixteen, Color::Indexed(number)) => sixteen(rgb(number)),
            _ => colour,
        }
    }

    /// Brings a frame to what the terminal has.
    pub fn fit(self, buffer: &mut Buffer) {
        if self == Self::True {
            return;
        }
        // Neighbours mostly look the same.
        let mut last = [(Color::Reset, Color::Reset); 2];
        let mut fitted = |side: usize, colour: Color| {
            if last[side].0 != colour {
                last[side] = (colour, self.nearest(colour));
            }
            last[side].1
        };
        for cell in &mut buffer.content {
            (cell.fg, cell.bg) = (fitted(0, cell.fg), fitted(1, cell.bg));
        }
    }
}

/// How much red, green and blue count: the eye sees green best and blue least.
const WEIGHTS: [i32; 3] = [3, 4, 2];

/// How far apart two colours are, squared.
fn distance(one: [u8; 3], other: [u8; 3]) -> i32 {
    let sides = (0..3).map(|at| (i32::from(one[at]) - i32::from(other[at])).pow(2) * WEIGHTS[at]);
    sides.sum()
}

/// The nearest of the cube and the greys, 16 to 255: what is below is the terminal's own, and nobody
/// knows how that looks.
fn indexed(wanted: [u8; 3]) -> u8 {
    let side = |level: u8| -> u8 {
        // Between two levels of the cube; below 95 the first step is wider.
        match level {
            0..48 => 0,
            48..115 => 1,
            level => (level - 35) / 40,
        }
    };
    let [red, green, blue] = wanted.map(side);
    let of_cube = 16 + 36 * red + 6 * green + blue;
    // The grey that is least far, by the weights of `distance`.
    let weighed = wanted.into_iter().zip(WEIGHTS).map(|(side, weight)| u32::from(side) * weight as u32);
    let mean = weighed.sum::<u32>() / WEIGHTS.iter().sum::<i32>() as u32;
    // 24 greys, 8 to 238 by tens.
    let of_grey = 232 + (mean.saturating_sub(3) / 10).min(23) as u8;
    let far = |number: u8| distance(wanted, rgb(number));
    if far(of_grey) < far(of_cube) { of_grey } else { of_cube }
}

/// What a number looks like.
fn rgb(number: u8) -> [u8; 3] {
    match number {
        0..16 => SIXTEEN[usize::from(number)].1,
        16..232 => {
            let at = number - 16;
            [at / 36, at / 6 % 6, at % 6].map(|side| CUBE[usize::from(side)])
        }
        232.. => [8 + 10 * (number - 232); 3],
    }
}

fn sixteen(wanted: [u8; 3]) -> Color {
    let nearest = SIXTEEN.iter().min_by_key(|(_, looks)| distance(wanted, *looks));
    nearest.map_or(Color::Reset, |(colour, _)| *colour)
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;

    use super::*;

    /// No other of the 240 is nearer than the one that is taken by computing.
    #[test]
    fn the_nearest_of_256_is_the_nearest() {
        let levels = (0..=255).step_by(15);
        for red in levels.clone() {
            for green in levels.clone() {
                for blue in levels.clone() {
                    let wanted = [red, green, blue];
                    let taken = distance(wanted, rgb(indexed(wanted)));
                    let best = (16..=255).map(|number| distance(wanted, rgb(number))).min().expect("some");
                    assert_eq!(taken, best, "{wanted:?}");
                }
            }
        }
    }

    #[test]
    fn colours_that_are_there_stay() {
        for number in 16..=255 {
            assert_eq!(rgb(indexed(rgb(number))), rgb(number), "{number}");
        }
        for (colour, [red, green, blue]) in SIXTEEN {
            assert_eq!(Depth::Sixteen.nearest(Color::Rgb(red, green, blue)), colour);
        }
        let own = [Color::Reset, Color::Red, Color::Indexed(200)];
        assert_eq!(own.map(|colour| Depth::Indexed.nearest(colour)), own);
        assert_eq!(Depth::True.nearest(Color::Rgb(1, 2, 3)), Color::Rgb(1, 2, 3));
        assert_eq!(Depth::Sixteen.nearest(Color::Indexed(196)), Color::LightRed);
    }

    #[test]
    fn terminals_by_their_names() {
        for (colorterm, term, depth) in [
            ("truecolor", "xterm-256color", Depth::True),
            ("24bit", "xterm", Depth::True),
            ("", "xterm-kitty", Depth::True),
            ("", "xterm-direct", Depth::True),
            ("", "alacritty", Depth::True),
            ("", "xterm-256color", Depth::Indexed),
            ("yes", "screen-256color", Depth::Indexed),
            ("", "tmux-256color", Depth::Indexed),
            ("", "linux", Depth::Sixteen),
            ("", "vt220", Depth::Sixteen),
            ("", "", Depth::True),
            ("", "xterm", Depth::True),
        ] {
            assert_eq!(Depth::of(colorterm, term), depth, "{colorterm:?} {term:?}");
        }
    }

    #[test]
    fn a_frame_has_only_colours_of_the_terminal() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 64, 1));
        for (x, cell) in (0..).zip(&mut buffer.content) {
            (cell.fg, cell.bg) = (Color::Rgb(x, 200, 90), Color::Rgb(3, x, 9));
        }
        let mut indexed = buffer.clone();
        Depth::Indexed.fit(&mut indexed);
        let all = |buffer: &Buffer, is: fn(Color) -> bool| {
            buffer.content.iter().all(|cell| is(cell.fg) && is(cell.bg))
        };
        assert!(all(&indexed, |colour| matches!(colour, Color::Indexed(16..))));
        Depth::Sixteen.fit(&mut buffer);
        assert!(all(&buffer, |colour| !matches!(colour, Color::Indexed(_) | Color::Rgb(..))));
    }
}
