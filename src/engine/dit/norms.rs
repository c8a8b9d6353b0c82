//! The weights of the RMS norms of query and key, and what LoRAs add to them.

use candle_core::{Device, Tensor};

use super::config::Config;
use crate::engine::weights::{Weights, WeightsError};

/// Both norms of an attention.
#[derive(Debug)]
pub struct Norms {
    /// `[2, head_dim]`, as the file has them.
    own: Tensor,
    /// The same with what was added.
    now: Tensor,
}

impl Norms {
    /// Reads `{name}.query_norm.scale` and `{name}.key_norm.scale`.
    ///
    /// # Errors
    /// When either is missing or has another shape.
    pub fn load(weights: &Weights, config: &Config, name: &str) -> Result<Self, WeightsError> {
        let scale = |which| weights.get(&format!("{name}.{which}_norm.scale"), &[config.head_dim()]);
        let own = Tensor::stack(&[scale("query")?, scale("key")?], 0)?;
        Ok(Self { now: own.clone(), own })
    }

    /// Query's, then key's: `[2, head_dim]`.
    #[must_use]
    pub fn scales(&self) -> &Tensor {
        &self.now
    }

    /// Adds so much to the file's weights from now on, query's then key's; with `None` they are as the file has them.
    ///
    /// # Errors
    /// When there are more or fewer.
    pub fn add(&mut self, added: Option<Vec<f32>>) -> candle_core::Result<()> {
        self.now = match added {
            None => self.own.clone(),
            Some(added) => (&self.own + Tensor::from_vec(added, self.own.shape(), &Device::Cpu)?)?,
        };
        Ok(())
    }
}
