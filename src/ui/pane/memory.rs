//! Memory, load and temperature, and how they were in the last minutes.

use std::collections::VecDeque;

use crate::device::{Owner, Share};
use crate::gpu::{Gpu, Readings};

/// As many moments as the widest history line has cells.
const MOMENTS: usize = 256;

/// The memory pane: the GPU's where there is one, the machine's otherwise.
#[derive(Debug, Clone, Default)]
pub struct MemoryPane {
    readings: Option<Readings>,
    /// Load, 0 to 100, the newest last.
    load: VecDeque<u8>,
    /// How each GPU was, or the machine where there is none.
    trails: Vec<Trail>,
}

/// How a device was in the last minutes, the newest last.
#[derive(Debug, Clone, Default)]
pub struct Trail {
    moments: VecDeque<Moment>,
}

/// How a device was at one moment; `None` where it does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Moment {
    memory: f32,
    load: Option<f32>,
    temperature: Option<f32>,
    power: Option<f32>,
}

/// What a trail tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Memory in use, in percent of all.
    Memory,
    /// Load, in percent.
    Load,
    /// Degrees Celsius.
    Temperature,
    /// Watts.
    Power,
}

impl Measure {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Load, Self::Temperature, Self::Power];
}

impl Trail {
    fn push(&mut self, moment: Moment) {
        if self.moments.len() == MOMENTS {
            self.moments.pop_front();
        }
        self.moments.push_back(moment);
    }

    /// What was measured, the newest last; a moment of which nothing is known counts as none.
    pub fn values(&self, of: Measure) -> impl DoubleEndedIterator<Item = f32> {
        self.moments.iter().map(move |moment| moment.of(of).unwrap_or(0.0))
    }

    /// The last value, where the device says it.
    #[must_use]
    pub fn last(&self, of: Measure) -> Option<f32> {
        self.moments.back().and_then(|moment| moment.of(of))
    }

    /// What a full line stands for: all of it, 100 degrees, or the most watts that were seen.
    #[must_use]
    pub fn full(&self, of: Measure) -> f32 {
        match of {
            Measure::Power => self.values(of).fold(1.0, f32::max),
            _ => 100.0,
        }
    }
}

impl Moment {
    fn of(&self, measure: Measure) -> Option<f32> {
        match measure {
            Measure::Memory => Some(self.memory),
            Measure::Load => self.load,
            Measure::Temperature => self.temperature,
            Measure::Power => self.power,
        }
    }

    fn of_gpu(gpu: &Gpu) -> Self {
        Self {
            memory: percent(gpu.used, gpu.total),
            load: gpu.utilisation.map(|load| load as f32),
            temperature: gpu.temperature.map(|degrees| degrees as f32),
            power: gpu.power,
        }
    }

    fn of_host(host: &crate::gpu::Host) -> Self {
        let memory = percent(host.used, host.total);
        Self { memory, load: Some(host.load), temperature: None, power: None }
    }
}

fn percent(used: u64, total: u64) -> f32 {
    (used as f64 / total.max(1) as f64 * 100.0) as f32
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
        let now: Vec<Moment> = match &readings.gpus[..] {
            [] => vec![Moment::of_host(&readings.host)],
            gpus => gpus.iter().map(Moment::of_gpu).collect(),
        };
        let known = self.readings.as_ref().map(|readings| readings.gpus.len());
        if known != Some(readings.gpus.len()) {
            // Other cards: what was is not theirs.
            self.trails = vec![Trail::default(); now.len()];
        }
        self.trails.iter_mut().zip(now).for_each(|(trail, moment)| trail.push(moment));
        self.readings = Some(readings);
    }

    /// The latest readings.
    #[must_use]
    pub fn readings(&self) -> Option<&Readings> {
        self.readings.as_ref()
    }

    /// How each GPU was, in their order, or the machine where there is none.
    #[must_use]
    pub fn trails(&self) -> &[Trail] {
        &self.trails
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

    /// The cell of a bar of `width` at which a budget ends; `None` when it does not end on it.
    #[must_use]
    pub fn budget_cell(self, budget: u64, width: u16) -> Option<u16> {
        let share = budget as f64 / self.total.max(1) as f64 * f64::from(width);
        (budget < self.total && share < f64::from(width)).then_some(share as u16)
    }

    /// Cells of a bar of `width` for each of these shares, side by side: where they end is right to half a cell, so that
    /// many small ones are as long as they are together.
    #[must_use]
    pub fn cells_of(self, shares: &[Share], width: u16) -> Vec<(Owner, u16)> {
        let (mut bytes, mut at) = (0, 0);
        let cells = |share: &Share| {
            bytes += share.bytes;
            let end = bytes as f64 / self.total.max(1) as f64 * f64::from(width);
            let before = std::mem::replace(&mut at, (end.round() as u16).min(width));
            (share.owner, at - before)
        };
        shares.iter().map(cells).collect()
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
    fn owners_are_as_long_as_they_are_together() {
        let card = Use { total: 100, ours: 0, others: 0 };
        let shares = Owner::ALL.map(|owner| Share { owner, bytes: 3 });
        let cells: Vec<u16> = card.cells_of(&shares, 20).into_iter().map(|(_, cells)| cells).collect();
        assert_eq!(cells, [1, 0, 1, 0, 1, 1, 0]);
        let over = card.cells_of(&shares.map(|share| Share { bytes: 60, ..share }), 20);
        assert_eq!(over.iter().map(|(_, cells)| cells).sum::<u16>(), 20);
        assert_eq!(card.cells_of(&[], 20), []);
    }

    #[test]
    fn a_budget_ends_on_the_bar_or_nowhere() {
        let card = Use { total: 12 << 30, ours: 0, others: 0 };
        assert_eq!(card.budget_cell(6 << 30, 40), Some(20));
        assert_eq!(card.budget_cell(0, 40), Some(0));
        assert_eq!(card.budget_cell(12 << 30, 40), None);
        assert_eq!(Use { total: 0, ..card }.budget_cell(1, 40), None);
    }

    #[test]
    fn trails_are_of_each_card_and_begin_anew_with_other_cards() {
        let mut pane = MemoryPane::default();
        let gpu = |power| Gpu { total: 8, used: 2, power, utilisation: Some(70), ..Gpu::default() };
        for step in 0..MOMENTS + 3 {
            pane.read(Readings { gpus: vec![gpu(Some(step as f32)), gpu(None)], ..Readings::default() });
        }
        let [first, second] = pane.trails() else { panic!("two cards") };
        assert_eq!(first.values(Measure::Power).count(), MOMENTS);
        assert_eq!((first.last(Measure::Memory), first.last(Measure::Load)), (Some(25.0), Some(70.0)));
        assert_eq!(first.full(Measure::Power), (MOMENTS + 2) as f32);
        assert_eq!((second.last(Measure::Power), second.last(Measure::Temperature)), (None, None));
        pane.read(Readings::default());
        let [host] = pane.trails() else { panic!("the machine") };
        assert_eq!(host.values(Measure::Memory).count(), 1, "its own, and not the card's");
    }

    #[test]
    fn a_card_that_lists_no_processes_gives_all_to_others() {
        let gpu = Gpu { total: 10, used: 4, ours: None, ..Gpu::default() };
        assert_eq!(Use::of_gpu(&gpu), Use { total: 10, ours: 0, others: 4 });
    }
}
