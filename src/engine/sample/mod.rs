//! From noise to latent: torch's noise ([`noise`]), FLUX's schedule ([`schedule`]) and the sampler
//! ([`euler`]), which an observer follows and may stop.

pub mod euler;
pub mod noise;
pub mod schedule;
