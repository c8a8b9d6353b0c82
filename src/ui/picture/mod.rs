//! Pictures on their way to the screen: what to show, in which room, by which means.
//!
//! Encoding (decoding a PNG, scaling, making half-blocks or a graphics sequence) takes longer than
//! a frame, so it is done on a thread of its own ([`PictureThread`]). Where a
//! picture is placed is the layout's concern; fetching it is the worker's.

pub mod card;
mod encode;
mod fit;
mod halfblocks;
mod inline;
mod rows;
mod sixel;
mod thread;
mod zoom;

pub use fit::{Fit, fit};
pub use halfblocks::HalfBlocks;
pub use inline::Inline;
pub use thread::PictureThread;
pub use zoom::{Direction, Zoom};

use bytes::Bytes;
use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};
use ratatui::widgets::Widget;

use crate::job::grid::GridId;
use crate::job::{JobId, PictureId};
use crate::ui::terminal::tmux;
use crate::wire::message::Preview;

/// What a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A picture that is being drawn, after so many steps.
    Preview {
        /// For which job.
        job: JobId,
        /// Which of its pictures.
        index: u32,
        /// Steps done.
        step: u32,
    },
    /// A finished picture.
    Picture(PictureId),
    /// The contact sheet of a grid, as it was at some time.
    Sheet {
        /// Which grid.
        grid: GridId,
        /// Raised as it fills up.
        version: u32,
    },
    /// The picture of a LoRA, by what tells it from others.
    Lora(u64),
}

impl Subject {
    /// Whether both are the same picture, at whatever step.
    #[must_use]
    pub fn same_picture(self, other: Self) -> bool {
        match (self, other) {
            (Self::Preview { job, index, .. }, Self::Preview { job: other, index: of_other, .. }) => {
                (job, index) == (other, of_other)
            }
            (Self::Sheet { grid, .. }, Self::Sheet { grid: other, .. }) => grid == other,
            (one, other) => one == other,
        }
    }
}

/// Where its pixels come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A step preview.
    Rgb(Preview),
    /// A PNG file.
    Png(Bytes),
    /// A small copy.
    Jpeg(Bytes),
}

/// How a picture gets onto this screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Means {
    /// The protocol.
    pub protocol: Protocol,
    /// One cell in pixels, across and down. For half-blocks only its shape matters.
    pub cell: (u16, u16),
}

/// The ways to draw a picture in a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Two pixels a cell, in any terminal with colours.
    HalfBlocks,
    /// kitty's, with unicode placeholders: they move and go with the cells.
    Kitty,
    /// The same through tmux, which keeps the placeholders as its cells and passes on what is wrapped.
    KittyThroughTmux,
    /// kitty's, where there are none: the picture lies over the cells.
    KittyPlaced,
    /// iTerm2's.
    Iterm2,
    /// DEC's.
    Sixel,
}

impl Protocol {
    /// Whether pixels stay on the screen when the cells over them are written: then the screen must
    /// be cleared before a picture moves or goes.
    #[must_use]
    pub fn leaves_pixels(self) -> bool {
        matches!(self, Self::Sixel | Self::Iterm2 | Self::KittyPlaced)
    }

    /// Whether the terminal keeps what it was sent until it is told to drop it.
    #[must_use]
    pub fn is_kittys(self) -> bool {
        matches!(self, Self::Kitty | Self::KittyThroughTmux | Self::KittyPlaced)
    }

    /// Whether its cells are kitty's placeholders.
    #[must_use]
    pub fn has_placeholders(self) -> bool {
        matches!(self, Self::Kitty | Self::KittyThroughTmux)
    }
}

/// A place for a picture, of which the screen has one for the preview, one for a LoRA's and more for the gallery. Each holds one picture: a
/// later order for it takes the place of an earlier one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

impl Slot {
    /// The preview's.
    pub const PREVIEW: Self = Self(0);
    /// Those for whole pictures, of which two are compared.
    pub const WHOLE: [Self; 2] = [Self(1), Self(2)];
    /// The one for the picture of a LoRA.
    pub const LORA: Self = Self(3);
    /// How many there are for small copies.
    pub const SMALL: usize = 60;

    /// The one for the small copy at this place; `None` beyond [`Self::SMALL`].
    #[must_use]
    pub fn small(place: usize) -> Option<Self> {
        let first = usize::from(Self::LORA.0) + 1;
        (place < Self::SMALL).then(|| u8::try_from(first + place).ok().map(Self)).flatten()
    }

    /// The place of the small copy that it is for.
    #[must_use]
    pub fn place(self) -> Option<usize> {
        usize::from(self.0).checked_sub(usize::from(Self::LORA.0) + 1)
    }
}

/// A picture to be made ready.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Raised with each order; of two orders for a slot one is even and one odd.
    pub number: u64,
    /// Where it goes.
    pub slot: Slot,
    /// What it shows.
    pub subject: Subject,
    /// Its pixels.
    pub source: Source,
    /// The cells there are for it.
    pub room: Size,
    /// By which means.
    pub means: Means,
    /// Which part of it.
    pub zoom: Zoom,
    /// The bytes that it may have on the line, as near as a smaller picture comes to it; `None` for any number.
    pub budget: Option<usize>,
}

/// What came of an order.
#[derive(Debug)]
pub struct Encoded {
    /// The order's.
    pub number: u64,
    /// The order's.
    pub slot: Slot,
    /// The order's.
    pub subject: Subject,
    /// The order's.
    pub room: Size,
    /// The order's.
    pub means: Means,
    /// The picture, or what is wrong with it.
    pub result: Result<Drawable, String>,
}

/// A picture that only needs to be put somewhere.
pub enum Drawable {
    /// Coloured cells.
    HalfBlocks(HalfBlocks),
    /// A PNG for the terminal.
    Inline(Inline),
    /// Sixels, in ratatui-image's form.
    Sixel(Box<ratatui_image::protocol::Protocol>),
}

/// One of two ids of this process for each slot, in turn: no more than two pictures are ever held there, and the one on
/// the screen is not replaced while it is seen. The low three bytes become a colour of the placeholders, the high one is
/// the slot.
///
/// Through tmux the colour is one of 240 by its number: tmux brings those of 24 bits to what it takes the terminal to
/// have. Two studios in one terminal have the same ids once in 120 times.
fn kitty_id(protocol: Protocol, slot: Slot, number: u64) -> u32 {
    let (process, turn) = (std::process::id(), (number & 1) as u32);
    let low = match protocol {
        Protocol::KittyThroughTmux => 16 + process % 120 * 2 + turn,
        _ => 0x0010_0000 | (process & 0x0007_ffff) << 1 | turn,
    };
    u32::from(slot.0) << 24 | low
}

/// Deletes what kitty holds of ours in the slots after `above` up to `last`.
#[must_use]
pub fn kitty_delete(protocol: Protocol, above: Option<Slot>, last: Slot) -> String {
    let first = above.map_or(0, |slot| slot.0 + 1);
    let ids = (first..=last.0).flat_map(|slot| [0, 1].map(|number| kitty_id(protocol, Slot(slot), number)));
    let deleted = ids.map(|id| format!("\x1b_Ga=d,d=I,i={id},q=2\x1b\\"));
    match protocol {
        Protocol::KittyThroughTmux => deleted.map(|one| tmux::wrapped(&one)).collect(),
        _ => deleted.collect(),
    }
}

impl std::fmt::Debug for Drawable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.protocol(), self.size())
    }
}

impl Drawable {
    /// By which protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::HalfBlocks(_) => Protocol::HalfBlocks,
            Self::Inline(inline) => inline.protocol(),
            Self::Sixel(_) => Protocol::Sixel,
        }
    }

    /// The cells it covers.
    #[must_use]
    pub fn size(&self) -> Size {
        match self {
            Self::HalfBlocks(blocks) => blocks.size(),
            Self::Inline(inline) => inline.size(),
            Self::Sixel(image) => image.size(),
        }
    }

    /// Where it goes in an area, centred; `None` when it does not fit, as after a resize until it
    /// has been encoded again.
    #[must_use]
    pub fn place(&self, area: Rect) -> Option<Rect> {
        let size = self.size();
        let fits =
            size.width > 0 && size.height > 0 && size.width <= area.width && size.height <= area.height;
        fits.then(|| Rect {
            x: area.x + (area.width - size.width) / 2,
            y: area.y + (area.height - size.height) / 2,
            width: size.width,
            height: size.height,
        })
    }

    /// Draws it where [`Self::place`] said.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer) {
        match self {
            Self::HalfBlocks(blocks) => blocks.draw(area, buffer),
            Self::Inline(inline) => inline.draw(area, buffer),
            Self::Sixel(image) => ratatui_image::Image::new(image).render(area, buffer),
        }
    }
}
