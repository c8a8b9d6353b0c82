//! What lies on a card beside a layer, by numbers.

use super::*;
use crate::engine::lora;

/// Values in bf16 at a place in memory.
pub(in super::super) fn read(memory: &[u8], at: usize, rows: usize, columns: usize) -> lora::Matrix {
    let bytes = memory[at..][..rows * columns * bf16::BYTES].as_chunks().0.iter();
    let values = bytes.map(|two| bf16::from_le_bytes(*two).to_f32()).collect();
    lora::Matrix { rows, columns, values }
}

impl Side {
    /// What is added to W, `[out, inner]`, but for DoRA's multiples of W itself; of layers that read bf16.
    pub(in super::super) fn delta(&self, memory: &[u8]) -> Vec<f32> {
        let (out, inner) = (self.out, self.inner);
        if let Some(Weight::Bf16 { at }) = self.dense {
            return read(memory, at, out, inner).values;
        }
        let mut all = vec![0.0; out * inner];
        let mut add = |rows: &Range<usize>, delta: &lora::Matrix| {
            let to = all[rows.start * inner..rows.end * inner].iter_mut();
            to.zip(&delta.values).for_each(|(to, more)| *to += more);
        };
        if let Some(Pair { ranks, down: Weight::Bf16 { at }, ups, .. }) = &self.low {
            let down = read(memory, *at, *ranks, inner);
            for up in ups {
                let some = up.ranks.start * inner..up.ranks.end * inner;
                let down =
                    lora::Matrix { rows: up.ranks.len(), columns: inner, values: down.values[some].to_vec() };
                add(&up.rows, &read(memory, up.at, up.rows.len(), up.ranks.len()).times(&down));
            }
        }
        self.krons.iter().for_each(|kron| {
            let (rows, delta) = kron.delta(memory);
            add(&rows, &delta);
        });
        all
    }

    /// Whether W x is multiplied by something itself.
    pub(in super::super) fn is_dora(&self) -> bool {
        self.again.is_some()
    }

    /// Whether it is a whole matrix.
    pub(in super::super) fn is_whole(&self) -> bool {
        self.dense.is_some()
    }
}
