//! From prompt to conditions: tokens ([`tokenize`]), then T5's sequence and CLIP's pooled vector
//! ([`encode`]).

pub mod encode;
mod t5;
pub mod tokenize;
