//! What the studio and the worker say to each other: [`message`], of models [`models`], of the queue [`queue`];
//! what it changes: [`replay`], how it is framed: [`frame`], and where: [`socket`].

pub mod frame;
pub mod message;
pub mod models;
pub mod queue;
pub mod replay;
pub mod socket;
