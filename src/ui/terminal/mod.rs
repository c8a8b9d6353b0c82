//! The terminal: taking and giving it back ([`guard`]), what it is ([`facts`]), and getting frames
//! onto it ([`screen`] makes bytes, [`output`] writes them),
//! and what it is told beside ([`tell`]).

pub mod ask;
pub mod choice;
pub mod clipboard;
pub mod colours;
pub mod device;
pub mod editor;
pub mod facts;
pub mod guard;
pub mod line;
pub mod output;
mod rate;
pub mod screen;
pub mod tell;
pub mod tmux;
pub mod transmission;
