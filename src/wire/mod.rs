//! What the studio and the worker say to each other: [`message`] and, of models, [`models`]; what it
//! changes: [`replay`], how it is framed: [`frame`], and where: [`socket`].

pub mod frame;
pub mod message;
pub mod models;
pub mod replay;
pub mod socket;
