//! FLUX.1's diffusion transformer, written once for every size, in BFL's names.
//!
//! Reference: black-forest-labs/flux, `src/flux/model.py` and `modules/layers.py`. Beside it:
//! [`config`] reads the size from the weights' shapes, [`modulation`] computes every adaLN
//! modulation of a picture before its first step (they depend on time, guidance and pooled text
//! only), [`block`] holds the double and single blocks, [`model`] runs them.
//!
//! There is no batch dimension: activations are `[tokens, channels]`, text tokens first where the
//! streams are joined.

pub mod block;
pub mod config;
pub mod layers;
pub mod linear;
pub mod model;
pub mod modulation;
pub mod norms;
pub mod rope;
