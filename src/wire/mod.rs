//! What the studio and the worker say to each other: [`message`], of models [`models`] and their files [`held`],
//! of the queue [`queue`], of pictures [`library`], what is not carried out [`refusal`]; what it changes: [`replay`], how it
//! is framed: [`frame`], and where: [`socket`], or through [`bridge`] from another machine.

pub mod bridge;
pub mod frame;
pub mod grids;
pub mod held;
pub mod library;
pub mod loras;
pub mod message;
pub mod models;
pub mod preview;
pub mod queue;
pub mod refusal;
pub mod replay;
pub mod socket;
pub mod thumbnail;
