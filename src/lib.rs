//! flux-tui: a terminal studio for FLUX.1 on a headless GPU server.
//!
//! One package, two processes. The *studio* ([`ui`]) owns the terminal and nothing else; the
//! *worker* ([`worker`]) owns the models and fetches them, the device, the queue and the library. They speak over a
//! Unix socket ([`wire`]). The worker is the same binary under a hidden subcommand; whoever needs
//! one starts it, and nobody stops it while it has work.
//!
//! ```text
//! person ── keys ──> flux-tui (ui) ══ Unix socket ══> flux-tui worker ──> CPU or GPU
//!                          ╚═ ssh ══> flux-tui worker stdio ═╝   (--host: the worker of another machine)
//! ```
//!
//! # Invariants
//! 1. The process that owns the terminal never owns a CUDA context and never loads a model.
//! 2. Nothing is acknowledged before it is in the library on disk. A job that was accepted is
//!    finished, failed with a reason, cancelled by a person, or still queued: after `kill -9` too. A
//!    picture that was being drawn goes on from its last checkpoint, a model from what was fetched.
//!    A device that fails for good ends the worker on purpose, and another goes on.
//! 3. A client can rebuild all that it shows from one [`wire::message::Snapshot`]; later events
//!    only refine it.
//! 4. Previews may be dropped, status never. A slow client slows nobody.
//! 5. `ui::update` and `worker::queue` are pure: no I/O, and time is passed in.
//! 6. Numerics are the reference's: a seed, a prompt and a preset give the picture that diffusers
//!    gives, within a stated error (`tests/numerics.rs`).
//! 7. No precision is lowered silently: what runs is shown, with the reason.
//! 8. Every length that comes from outside is checked before anything is allocated.
//! 9. Each device has one engine, on a thread of its own, and draws one picture at a time. A job
//!    goes only to a device that it asked for: never to the CPU because the cards are busy.
//!
//! # Who may import whom
//! Held by `tests/layering.rs`, which reads the sources.
//!
//! | module | may import |
//! |---|---|
//! | [`device`], [`usage`], [`faults`] | nothing of ours |
//! | [`job`], [`model`] | each other, device |
//! | [`paths`], [`config`], [`gpu`] | device, job, model |
//! | [`wire`], [`library`], [`catalog`] | device, job, model, paths, config, gpu, usage, faults |
//! | [`fetch`] | catalog (which files make a model is told to it) |
//! | [`engine`] | device, job, model, usage (files and placements are handed to it) |
//! | [`worker`] | all but client, ui and cli |
//! | [`client`] | device, job, model, paths, gpu, wire |
//! | [`ui`] | device, job, model, paths, config, gpu, wire, client |
//! | [`cli`] | all; `main.rs` uses only `cli` |
//!
//! # One picture, hop by hop
//! `ui::event` a key → `ui::keymap` an action → `ui::update` a [`job::Job`] → [`client`] →
//! `worker::session` → [`library`] (durable) → `Accepted` → `worker::queue` → the device's engine
//! thread → [`engine`]: text, then modulation tables, then steps with previews, then the VAE → [`library`]
//! writes the PNG by rename and records it → `Finished` → `ui::picture` encodes it off-thread →
//! `ui::view::preview` draws it.
//!
//! Several pictures that differ by one or two things are a grid: jobs like others, and a contact sheet that the worker
//! writes when all are over (`job::grid`, `worker::grids`, `library::sheet`).
//!
//! What the studio says is in `messages/`, in English and Chinese, and named by [`ui::language`].
//!
//! # Two engines
//! [`engine`] draws on the CPU with candle, in fp32. With the feature `cuda` it also draws on NVIDIA cards, by
//! `engine::cuda`: kernels of our own and cublasLt over buffers that are laid out before a step. They share names,
//! schedule, noise and files, not code: what is fused on a card crosses the borders of the blocks. `engine::placement` is
//! the one door to both. A transformer arrives on a card while the prompt is read and the first step begins: each block is
//! waited for where it is first read. LoRAs (`engine::lora`) are added beside weights that stay untouched, or
//! merged into those that stay in memory where a job asks for it.

pub mod catalog;
pub mod cli;
pub mod client;
pub mod config;
pub mod device;
pub mod engine;
#[cfg(debug_assertions)]
pub mod faults;
pub mod fetch;
pub mod gpu;
pub mod job;
pub mod library;
pub mod model;
pub mod paths;
pub mod ui;
pub mod usage;
pub mod wire;
pub mod worker;
