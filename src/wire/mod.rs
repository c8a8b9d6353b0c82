//! What the studio and the worker say to each other: [`message`], and how it is framed: [`frame`].

pub mod frame;
pub mod message;
