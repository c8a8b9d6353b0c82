//! The VAE: from latent to picture.
//!
//! Reference: black-forest-labs/flux, `src/flux/modules/autoencoder.py`, in its names. Activations
//! are `[height, width, channels]`, which lets a 3×3 convolution run as three matrix products with
//! nothing unfolded ([`super::ops::conv`]).

pub mod decoder;
mod layers;
pub mod on_host;
