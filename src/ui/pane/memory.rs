//! Memory, load and temperature, and how they were in the last minutes.

use std::collections::VecDeque;

use crate::gpu::{Gpu, Readings};

/// As many moments as the widest history line has cells.
const MOMENTS: usize = 256;

/// The memory pane: the GPU's where there is one, the machine's otherwise.
#[derive(Debug, Clone, Default)]
pub struct MemoryPane {
    readings: Option<Readings>,
    /// Load, 0 to 100, the newest last.
    load: VecDeque<u8>,
}

/// A memory and who uses it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// In all.
    pub total: u64,
    /// The worker's.
    pub ours: u64,
    /// Everybody else's.
    pub others: u64,
}

impl MemoryPane {
    /// Takes new readings.
    pub fn read(&mut self, readings: Readings) {
        let load = match readings.gpus.first() {
            Some(gpu) => gpu.utilisation.unwrap_or(0).min(100) as u8,
            None => readings.host.load.clamp(0.0, 100.0) as u8,
        };
        if self.load.len() == MOMENTS {
            self.load.pop_front();
        }
        self.load.push_back(load);
        self.readings = Some(readings);
    }

    /// The latest readings.
    #[must_use]
    pub fn readings(&self) -> Option<&Readings> {
        self.readings.as_ref()
    }

    /// Load at the last moments, 0 to 100, the newest last.
    #[must_use]
    pub fn load(&self) -> &VecDeque<u8> {
        &self.load
    }
}

impl Use {
    /// Of a GPU. Where the card lists no processes, all use counts as others'.
    #[must_use]
    pub fn of_gpu(gpu: &Gpu) -> Self {
        let ours = gpu.ours.unwrap_or(0).min(gpu.used);
        Self { total: gpu.total, ours, others: gpu.used - ours }
    }

    /// Of the machine.
    #[must_use]
    pub fn of_host(host: &crate::gpu::Host) -> Self {
        let ours = host.ours.min(host.used);
        Self { total: host.total, ours, others: host.used - ours }
    }

    /// Cells of a bar of `width` for ours and for others; what is used at all has a cell.
    #[must_use]
    pub fn cells(self, width: u16) -> (u16, u16) {
        let cells = |bytes: u64| {
            let share = bytes as f64 / self.total.max(1) as f64 * f64::from(width);
            if bytes == 0 { 0 } else { (share.round() as u16).max(1) }
        };
        let ours = cells(self.ours).min(width);
        (ours, cells(self.others).min(width - ours))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_never_overflow_and_show_the_least_use() {
        let big = Use { total: 12 << 30, ours: 9 << 30, others: 3 << 30 };
        assert_eq!(big.cells(40), (30, 10));
        let small = Use { total: 12 << 30, ours: 1, others: 1 };
        assert_eq!(small.cells(10), (1, 1));
        let over = Use { total: 1, ours: 9, others: 9 };
        assert_eq!(over.cells(10), (10, 0));
        assert_eq!(Use { total: 0, ours: 0, others: 0 }.cells(0), (0, 0));
    }

    #[test]
    fn a_card_that_lists_no_processes_gives_all_to_others() {
        let gpu = Gpu { total: 10, used: 4, ours: None, ..Gpu::default() };
        assert_eq!(Use::of_gpu(&gpu), Use { total: 10, ours: 0, others: 4 });
    }
}
