//! A base of FLUX.1's own size: its tokenizers, the catalogue, where files are found, and what the program says of it.

mod found;
#[path = "../home/mod.rs"]
mod home;
mod program;
mod small;
mod sparse;
mod tokens;
