//! What is kept on disk: [`png`] files that carry what they were drawn from.

pub mod png;
