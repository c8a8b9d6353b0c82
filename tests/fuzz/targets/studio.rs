//! Fuzzes the studio: bytes of a terminal, resizes, moments and the worker's words.
#![no_main]

#[path = "../studio.rs"]
mod studio;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| studio::studio(bytes));
