//! Samples of what travels over the wire.

pub mod messages;
mod models;
