//! The engine on a card against the engine on the CPU, with the built-in model. Without a card each test says so and
//! passes; `cargo test --features cuda --test cuda -- --nocapture` on a machine with one shows the numbers.
#![cfg(feature = "cuda")]

mod card;
#[allow(dead_code)] // what of it the tests of LoRAs use
#[path = "lora/model.rs"]
mod lora_model;
#[allow(dead_code)] // what of it the tests of forms use
#[path = "forms/make.rs"]
mod make;
#[allow(dead_code)] // … and of their files
#[path = "forms/make_gguf.rs"]
mod make_gguf;
