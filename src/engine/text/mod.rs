//! From prompt to conditions: tokens ([`tokenize`]), then T5's sequence ([`t5`]) and CLIP's
//! pooled vector ([`encode`]).

pub mod encode;
pub mod t5;
pub mod tokenize;
