//! Weights as candle's own models ask for them.

use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use super::{Weights, WeightsError};

/// Tensors by name, widened to fp32 as they are asked for.
struct Backend<'w>(&'w Weights);

impl Weights {
    /// For the models of candle-transformers: fp32, on the CPU.
    #[must_use]
    pub fn builder(&self) -> VarBuilder<'_> {
        VarBuilder::from_backend(Box::new(Backend(self)), DType::F32, Device::Cpu)
    }
}

impl SimpleBackend for Backend<'_> {
    /// What is initialised in training is read here: `_init` does not matter.
    fn get(&self, shape: Shape, name: &str, _init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        self.0.get(name, shape.dims()).map_err(wrapped)?.to_device(device)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let shape = self.0.shape(name).map_err(wrapped)?;
        self.0.get(name, shape).map_err(wrapped)?.to_device(device)?.to_dtype(dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

fn wrapped(error: WeightsError) -> Error {
    match error {
        WeightsError::Candle(error) => error,
        error => Error::wrap(error),
    }
}
