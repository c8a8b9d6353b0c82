//! The engine on a card against the engine on the CPU, with the built-in model. Without a card each test says so and
//! passes; `cargo test --features cuda --test cuda -- --nocapture` on a machine with one shows the numbers.
#![cfg(feature = "cuda")]

mod card;
