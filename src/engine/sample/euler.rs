//! Euler's method along the flow: x ← x + (σ' − σ) · v(x, σ).

use candle_core::Tensor;

/// One step done.
#[derive(Debug)]
pub struct Stepped<'a> {
    /// Steps done, from 1.
    pub step: usize,
    /// The noise level reached.
    pub sigma: f32,
    /// The latent at that level, `[tokens, channels]`.
    pub latent: &'a Tensor,
    /// Where the flow points from here: the latent that one more step to σ = 0 would give.
    pub estimate: &'a Tensor,
}

/// Follows `sigmas` to the last level from the latent (`[tokens, channels]`) after `done` steps: with none done it is
/// the noise, at σ = 1. `velocity` is asked for `v(x, step)`; `observe` sees every step. Either may end the run with its error.
///
/// # Errors
/// Whatever `velocity` or `observe` give.
pub fn run<E: From<candle_core::Error>>(
    mut latent: Tensor,
    done: usize,
    sigmas: &[f32],
    mut velocity: impl FnMut(&Tensor, usize) -> Result<Tensor, E>,
    mut observe: impl FnMut(Stepped<'_>) -> Result<(), E>,
) -> Result<Tensor, E> {
    for (step, pair) in sigmas.windows(2).enumerate().skip(done) {
        let (sigma, next) = (f64::from(pair[0]), f64::from(pair[1]));
        let velocity = velocity(&latent, step)?;
        let estimate = (&latent - (&velocity * sigma)?)?;
        latent = (latent + (velocity * (next - sigma))?)?;
        observe(Stepped { step: step + 1, sigma: pair[1], latent: &latent, estimate: &estimate })?;
    }
    Ok(latent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Result};

    /// A straight flow from noise to a target is followed exactly, whatever the steps.
    #[test]
    fn a_straight_flow_ends_at_its_target() -> Result<()> {
        let target = Tensor::new(&[[1.0f32, -2.0], [0.5, 3.0]], &Device::Cpu)?;
        let noise = Tensor::new(&[[0.3f32, 0.1], [-1.0, 2.0]], &Device::Cpu)?;
        let flow = (&noise - &target)?;
        let mut steps = Vec::new();
        let end = run(
            noise,
            0,
            &[1.0, 0.7, 0.2, 0.0],
            |_, _| Ok::<_, candle_core::Error>(flow.clone()),
            |stepped| {
                steps.push(stepped.step);
                let off = (stepped.estimate - &target)?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(off < 1e-6, "the estimate at step {} is off by {off}", stepped.step);
                Ok(())
            },
        )?;
        assert_eq!(steps, [1, 2, 3]);
        assert!((end - target)?.abs()?.max_all()?.to_scalar::<f32>()? < 1e-6);
        Ok(())
    }
}
