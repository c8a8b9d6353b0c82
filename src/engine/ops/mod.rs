//! The operations of FLUX.1 on the CPU, each fused to one pass, as candle custom ops: what the
//! blocks of the CPU engine are written in. Cards have their own (`engine::cuda::ops`).
//!
//! Activations are `[tokens, channels]` in the transformer and `[height, width, channels]` in the
//! VAE, in fp32. Every op checks the shapes it is given and says which did not fit.
//!
//! What bounds them on a CPU is the matrix product; the rest is kept to one pass over memory each,
//! with the exponentials computed eight at a time ([`vector`]).

pub mod attention;
pub mod conv;
pub mod gated_add;
pub mod gelu;
pub mod group_norm;
pub mod linear;
pub mod modulated_norm;
pub mod product;
pub mod qk_norm_rope;
mod rows;
pub mod side_branch;
pub mod stored_linear;
mod threads;
pub mod vector;
