//! The tables of the last picture, kept in host memory where the layers that make them are not on the card: the same
//! prompt in the same steps, with another seed, finds them.

use std::sync::{Arc, Mutex, PoisonError};

use half::bf16;

use super::{CHUNK, Modulator, Tables, Weights};
use crate::engine::cuda::error::Result;
use crate::engine::cuda::flux::linear::Scratch;
use crate::engine::cuda::flux::sides::Sides;
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::memory::{Buffer, Matrix};

/// The tables that were made last.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Option<Last>>);

struct Last {
    of: Key,
    values: Vec<u8>,
}

/// All that tables depend on, as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Key {
    times: Vec<u32>,
    guidance: u32,
    pooled: Vec<u16>,
    /// Which LoRAs change the layers.
    beside: u64,
}

impl Key {
    /// Of tables for these noise levels, this guidance and CLIP's vector, with these LoRAs.
    pub fn new((times, guidance): (&[f32], f32), pooled: &[bf16], sides: Option<&Sides>) -> Self {
        Self {
            times: times.iter().map(|time| time.to_bits()).collect(),
            guidance: guidance.to_bits(),
            beside: sides.map_or(0, Sides::of_tables),
            pooled: pooled.iter().map(|value| value.to_bits()).collect(),
        }
    }
}

impl std::fmt::Debug for Last {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tables of {} steps, {} bytes", self.of.times.len(), self.values.len())
    }
}

impl Kept {
    /// As [`Modulator::prepare`]; where its layers would have to be brought and the tables that were kept last are these,
    /// they are brought instead: a fortieth of the bytes.
    ///
    /// # Errors
    /// As [`Modulator::prepare`].
    pub fn prepare(
        &self,
        modulator: &Modulator,
        gpu: &Arc<Gpu>,
        (times, guidance): (&[f32], f32),
        pooled: Matrix<'_, bf16>,
        sides: Option<&Sides>,
        scratch: &Scratch<'_>,
    ) -> Result<Tables> {
        if matches!(modulator.weights, Weights::Resident(_)) {
            return modulator.prepare(gpu, (times, guidance), pooled, sides, scratch);
        }
        let of = Key::new((times, guidance), &gpu.download(pooled)?, sides);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = last.as_ref().filter(|last| last.of == of) {
            return modulator.restore(gpu, times.len(), &known.values);
        }
        // Not two of them at a time.
        *last = None;
        let tables = modulator.prepare(gpu, (times, guidance), pooled, sides, scratch)?;
        Ok(Tables { unkept: Some(of), ..tables })
    }

    /// Whether those are the ones that were kept last.
    pub(in super::super) fn has(&self, of: &Key) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|last| last.of == *of)
    }

    /// Lets the last ones go: not two of them at a time.
    pub(in super::super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Keeps tables that were made and are not kept yet; waits for them. Later than they are made: the first step need not
    /// wait for 34 MB on their way back.
    ///
    /// # Errors
    /// What the driver says.
    pub fn keep(&self, gpu: &Gpu, tables: &Tables) -> Result<()> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(of) = &tables.unkept else { return Ok(()) };
        if last.as_ref().is_some_and(|last| last.of == *of) {
            return Ok(());
        }
        let values = gpu.download(tables.memory.matrix::<u8>(0, 1, tables.memory.bytes()))?;
        *last = Some(Last { of: of.clone(), values });
        Ok(())
    }
}

impl Modulator {
    /// Tables out of their bytes.
    fn restore(&self, gpu: &Arc<Gpu>, steps: usize, values: &[u8]) -> Result<Tables> {
        let rows = steps.max(1).next_multiple_of(CHUNK);
        let memory = Buffer::of::<bf16>(gpu, rows, self.columns.width(), "the modulation tables")?;
        gpu.upload_bytes(memory.matrix(0, 1, memory.bytes()), values)?;
        Ok(Tables { memory, rows: steps, columns: self.columns.clone(), unkept: None })
    }
}
