//! What stays on a card and what is streamed through it, decided before anything is loaded: pure arithmetic, no device.
//!
//! [`Sizes`] say what each part takes, [`Speed`] what bringing it takes, [`Limits`] what may be held; [`plan`] gives a
//! [`Plan`] as data, with the peak of each stage and the seconds of a step. In this order things are let go as the
//! budget shrinks: T5, CLIP, the modulation layers, blocks. [`turns`] is the order in which streamed pieces take turns in
//! their slots; the engine follows it, and here it is run in simulated time to predict a step.

mod plan;
mod sizes;
#[cfg(test)]
mod tests;
pub mod turns;

pub use plan::{Peaks, Plan, Residence, Source, Unplannable, plan};
pub use sizes::{Encoder, Kind, Limits, Modulation, Sizes, Speed, Tile, granted};
