//! Weights as candle's own models ask for them.

use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use super::{Weights, WeightsError};

/// What is added to a tensor of this name before it is used.
pub type Changing<'c> = dyn Fn(&str, &mut [f32]) -> std::result::Result<(), WeightsError> + Send + Sync + 'c;

/// Tensors by name, widened to fp32 as they are asked for, and what changes them.
struct Backend<'w>(&'w Weights, Option<&'w Changing<'w>>);

impl Weights {
    /// For the models of candle-transformers: fp32, on the CPU.
    #[must_use]
    pub fn builder(&self) -> VarBuilder<'_> {
        VarBuilder::from_backend(Box::new(Backend(self, None)), DType::F32, Device::Cpu)
    }

    /// The same with tensors that are changed as they are read; the file's stay what they are.
    #[must_use]
    pub fn changed_builder<'w>(&'w self, changing: &'w Changing<'w>) -> VarBuilder<'w> {
        VarBuilder::from_backend(Box::new(Backend(self, Some(changing))), DType::F32, Device::Cpu)
    }
}

impl Backend<'_> {
    fn read(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let Some(changing) = self.1 else { return self.0.get(name, shape).map_err(wrapped) };
        let mut values = self.0.widened(name, shape).map_err(wrapped)?;
        changing(name, &mut values).map_err(wrapped)?;
        Tensor::from_vec(values, shape, &Device::Cpu)
    }
}

impl SimpleBackend for Backend<'_> {
    /// What is initialised in training is read here: `_init` does not matter.
    fn get(&self, shape: Shape, name: &str, _init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        self.read(name, shape.dims())?.to_device(device)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let shape = self.0.shape(name).map_err(wrapped)?;
        self.read(name, shape)?.to_device(device)?.to_dtype(dtype)
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
