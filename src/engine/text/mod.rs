//! From prompt to conditions: tokens ([`tokenize`]), then T5's sequence ([`t5`]) and CLIP's
//! pooled vector ([`encode`]); what took long is kept ([`kept`]).

pub mod encode;
pub mod kept;
pub mod t5;
pub mod tokenize;
