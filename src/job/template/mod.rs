//! Prompts with choices: `{a|b|c}`, and `__name__` for a line of a wildcard's file.
//!
//! A choice is drawn from the picture's seed and the choice's place, which is its number among those beside it and the
//! way to it through those around it. So a prompt and a seed give the same words again, and a change within one choice
//! leaves what the others give. Braces without `|` between them, and those that have no other end, are text, and so is
//! all that stands in the tag of a LoRA. `\{`, `\}` and `\|` are the signs as such, `\__` two underscores. `{2::a|b}` has
//! `a` twice as often as `b`. Blanks at the ends of what can be chosen are left out.
//!
//! Everything is bounded: the depth, the choices of one picture, and the bytes of the words.

mod draw;
mod parse;

pub use draw::{Drawn, Pick};
pub(in crate::job) use parse::weight;
pub use parse::{Branch, Piece, Template};

/// Choices within choices within choices.
pub const DEPTH_MAX: usize = 8;
/// The most choices that are made for one picture.
pub const CHOICES_MAX: usize = 10_000;
/// The largest weight of what can be chosen.
pub const WEIGHT_MAX: f64 = 1000.0;
/// The longest name of a wildcard, in bytes.
pub const NAME_BYTES: usize = 200;

#[cfg(test)]
mod tests;
