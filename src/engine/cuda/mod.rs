//! The engine on NVIDIA cards: FLUX.1 in fp8 or bf16 through kernels of our own and cublasLt.
//!
//! It stands beside the CPU engine rather than under it. There a block is a chain of candle ops, each of which makes
//! its output; here a step runs in buffers that are laid out once a picture ([`flux`]), and what is fused crosses the
//! borders of the blocks: the residual of one branch, the norm of the next and its quantisation are one kernel. candle
//! is not used: its CUDA backend must be linked, cannot cast fp8, and owns memory that has to be planned.
//!
//! | module | holds |
//! |---|---|
//! | [`error`] | what can go wrong, in words for a person |
//! | [`card`] | which cards there are and what they can do |
//! | [`gpu`] | an opened card: context, stream, kernels |
//! | [`memory`] | device memory and matrices in it |
//! | [`host`], [`in_place`] | pinned host memory; files that the card reads where they are |
//! | [`pinning`] | pins such files while steps run |
//! | [`beside`] | memory that tensors come to while the last are widened |
//! | `staging` | large copies, filled by all threads |
//! | [`streaming`] | weights that take turns in slots of device memory |
//! | [`product`] | matrix products by cublasLt, the algorithm chosen once a shape; layers with what LoRAs add, by a kernel |
//! | [`narrow`], [`kron`], [`merge`] | what LoRAs add, and are merged by |
//! | [`ops`], [`attention`], [`sampling`], [`dequantize`] | one safe function a kernel |
//! | `tensor_map` | what Hopper's copy engine is told of arrays |
//! | [`weights`] | weight files into device memory |
//! | [`text`] | T5's encoder and CLIP's text model |
//! | [`flux`] | the transformer |
//! | [`vae`] | the decoder |
//! | [`plan`] | what the planner of memory is told |
//! | [`tally`] | who holds how much of a card now |
//! | [`prompts`] | both encoders, wherever each reads, and what they read last |
//! | `reading` | a picture's first stage: noise and prompt side by side, tables of modulations beside T5 |
//! | `converted` | a transformer's converted form in its place |
//! | [`prepare`] | what a model will take, before anything of it is there |
//! | [`decoding`] | the decoder, or the host in its place |
//! | [`foresight`] | what a picture is expected to take, and what it took |
//! | [`pipeline`] | a model, from prompt to pixels |
//! | [`synthetic`] | a model of random weights, to be measured without any file |
//! | [`budgeted`] | such a model, whole, held to a budget of memory |
//!
//! CUDA's libraries are opened when a card is first asked for, so a program with this feature starts anywhere and says
//! what is missing.
#![allow(unsafe_code)] // calls into the driver; every wrapper checks extents before it hands out an address

pub mod attention;
pub mod beside;
pub mod budgeted;
pub mod card;
pub(in crate::engine) mod converted;
pub mod decoding;
pub mod dequantize;
pub mod error;
pub mod examine;
pub mod flux;
pub mod foresight;
pub mod gpu;
pub mod host;
pub mod in_place;
pub mod kron;
pub mod loras;
pub mod memory;
pub mod merge;
pub mod narrow;
pub mod ops;
pub mod pinning;
pub mod pipeline;
pub mod plan;
pub mod prepare;
pub mod product;
pub mod prompts;
mod reading;
pub mod sampling;
mod staging;
pub mod streaming;
pub mod synthetic;
pub mod tally;
mod tensor_map;
pub mod text;
pub mod vae;
mod watching;
pub mod weights;

pub use error::CudaError;
pub use gpu::Gpu;
