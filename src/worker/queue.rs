//! The queue: which jobs wait, which pictures are being drawn and where, what is next. A pure state
//! machine: no I/O, no clock. What it is told has happened already; what it returns is for others to
//! do and to tell.
//!
//! Each device draws one picture at a time, so a job of many can be cancelled between two of them,
//! and several devices draw for one job. A job that waits for a device holds back only those behind
//! it that want the same one.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::device::{Device, LoadOptions};
use crate::job::{Job, JobId, JobState, JobStatus};
use crate::model::ModelName;
use crate::wire::queue::QueuePlace;

/// The most jobs that wait.
pub const JOBS_MAX: usize = 10_000;
/// The most bytes of prompts that wait: all of them fit one snapshot.
pub const PROMPTS_MAX: usize = 24 << 20;

/// What each device holds, as far as it holds anything.
pub type Loaded = BTreeMap<Device, (ModelName, LoadOptions)>;

/// One picture to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// On this device.
    pub device: Device,
    /// For this job.
    pub id: JobId,
    /// What was asked.
    pub job: Arc<Job>,
    /// Which of its pictures, from 0.
    pub index: u32,
    /// With this seed.
    pub seed: u64,
}

/// Where a job is that is to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It waits.
    Waiting,
    /// Some of its pictures are being drawn.
    Drawing,
}

/// A job that is not over, and which of its pictures are in the library.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfinished {
    /// The job.
    pub status: JobStatus,
    /// Its pictures, from 0. Several devices may have finished them in any order.
    pub drawn: BTreeSet<u32>,
}

#[derive(Debug)]
struct Entry {
    status: JobStatus,
    drawn: BTreeSet<u32>,
    /// Somebody has asked to cancel it and the library is being told: not to be begun.
    withheld: bool,
    /// The library has it as over; what is still being drawn for it is to be stopped.
    ending: Option<JobState>,
}

/// Jobs that are not over, in the order they are drawn.
#[derive(Debug)]
pub struct Queue {
    /// The devices there are, the best first.
    devices: Vec<Device>,
    entries: VecDeque<Entry>,
    /// Which picture of which job each device draws.
    drawing: BTreeMap<Device, (JobId, u32)>,
    /// Nothing is begun.
    paused: bool,
    /// Only jobs that have been begun are gone on with.
    last: bool,
}

impl Queue {
    /// A queue for these devices, the best first.
    #[must_use]
    pub fn new(devices: Vec<Device>) -> Self {
        Self { devices, entries: VecDeque::new(), drawing: BTreeMap::new(), paused: false, last: false }
    }

    /// The same with what the library has as unfinished, in this order, all of it waiting.
    #[must_use]
    pub fn restore(devices: Vec<Device>, jobs: Vec<Unfinished>) -> Self {
        let mut queue = Self::new(devices);
        for Unfinished { status, drawn } in jobs {
            queue.retry(JobStatus { state: JobState::Queued, ..status }, drawn);
        }
        queue
    }

    /// Whether a prompt of so many bytes still fits.
    #[must_use]
    pub fn has_room(&self, prompt: usize) -> bool {
        self.has_room_for(1, prompt)
    }

    /// Whether so many jobs with so many bytes of prompts still fit.
    #[must_use]
    pub fn has_room_for(&self, jobs: usize, prompts: usize) -> bool {
        let waiting: usize = self.jobs().map(|status| status.job.text_len()).sum();
        self.entries.len() + jobs <= JOBS_MAX && waiting + prompts <= PROMPTS_MAX
    }

    /// Adds a job that is on disk. Unless they are moved, jobs are drawn in the order they were accepted, whichever is
    /// told of first.
    pub fn accept(&mut self, status: JobStatus) {
        let later = self.entries.iter().rev().take_while(|entry| entry.status.id > status.id).count();
        let entry = Entry { status, drawn: BTreeSet::new(), withheld: false, ending: None };
        self.entries.insert(self.entries.len() - later, entry);
    }

    /// Adds a job of which these pictures are there, after all others.
    pub fn retry(&mut self, status: JobStatus, drawn: BTreeSet<u32>) {
        self.entries.push_back(Entry { status, drawn, withheld: false, ending: None });
    }

    /// The next picture to be drawn, if one waits for a device that is free; and its job, if that has
    /// now begun. To be asked until there is none.
    pub fn begin(&mut self, loaded: &Loaded) -> Option<(Work, Option<JobStatus>)> {
        if self.paused || self.drawing.len() == self.devices.len() {
            return None;
        }
        let wanted = |entry: &Entry| !self.last || entry.status.state == JobState::Running;
        let next =
            self.entries.iter().enumerate().filter(|(_, entry)| wanted(entry)).find_map(|(place, entry)| {
                let device = self.device_for(&entry.status.job, loaded)?;
                Some((place, self.next_picture(entry)?, device))
            });
        let (place, index, device) = next?;
        let status = &mut self.entries[place].status;
        let begun = status.state != JobState::Running;
        status.state = JobState::Running;
        self.drawing.insert(device, (status.id, index));
        let seed = status.first_seed.wrapping_add(u64::from(index));
        let work = Work { device, id: status.id, job: Arc::new(status.job.clone()), index, seed };
        Some((work, begun.then(|| status.clone())))
    }

    /// The first picture of a job that is neither there nor being drawn.
    fn next_picture(&self, entry: &Entry) -> Option<u32> {
        if entry.withheld || entry.ending.is_some() {
            return None;
        }
        let drawn_now = |index| self.drawing.values().any(|now| *now == (entry.status.id, index));
        (0..entry.status.job.count()).find(|index| !entry.drawn.contains(index) && !drawn_now(*index))
    }

    /// The free device that suits a job best: one that holds its model, then one that holds none, so
    /// that nothing is thrown out that the next job may want; then the better one.
    fn device_for(&self, job: &Job, loaded: &Loaded) -> Option<Device> {
        let free = self.devices.iter().copied().filter(|device| !self.drawing.contains_key(device));
        let admitted = free.filter(|device| job.device.admits(*device, &self.devices));
        admitted.min_by_key(|device| match loaded.get(device) {
            Some((model, options)) if (model, *options) == (&job.model, job.load) => 0,
            None => 1,
            Some(_) => 2,
        })
    }

    /// The picture that a device drew is in the library, and its job is in this state there now.
    pub fn drew(&mut self, device: Device, state: JobState) -> Option<JobStatus> {
        let (id, index) = self.drawing.remove(&device)?;
        let entry = self.entry(id)?;
        entry.drawn.insert(index);
        entry.status.done = entry.drawn.len() as u32;
        // Its count has changed, whatever else has.
        self.settle(id, state).or_else(|| self.entry(id).map(|entry| entry.status.clone()))
    }

    /// A device draws nothing any more, and the library had the job in this state. The job if that
    /// has changed: it is over once no device draws for it.
    pub fn ended(&mut self, device: Device, state: JobState) -> Option<JobStatus> {
        let (id, _) = self.drawing.remove(&device)?;
        self.settle(id, state)
    }

    /// What a device drew has been stopped: the job was cancelled, another picture of it failed, or
    /// the worker ends.
    pub fn stopped(&mut self, device: Device) -> Option<JobStatus> {
        self.ended(device, JobState::Queued)
    }

    /// Brings a job up to date with the library's word.
    fn settle(&mut self, id: JobId, state: JobState) -> Option<JobStatus> {
        let is_drawn = self.is_drawn(id);
        let place = self.entries.iter().position(|entry| entry.status.id == id)?;
        let entry = &mut self.entries[place];
        // It may have come to its end after the library was last asked about it.
        if state.is_over() && entry.ending.is_none() {
            entry.ending = Some(state.clone());
        }
        if is_drawn {
            return None;
        }
        match entry.ending.take() {
            Some(end) => {
                entry.status.state = end;
                self.entries.remove(place).map(|entry| entry.status)
            }
            None => {
                entry.status.state = state;
                Some(entry.status.clone())
            }
        }
    }

    /// Keeps a job from being begun while the library is told that it is cancelled.
    pub fn withhold(&mut self, id: JobId) -> Option<Place> {
        let place = if self.is_drawn(id) { Place::Drawing } else { Place::Waiting };
        self.entry(id)?.withheld = true;
        Some(place)
    }

    /// The library could not be told: the job goes on as if nobody had asked.
    pub fn release(&mut self, id: JobId) {
        if let Some(entry) = self.entry(id) {
            entry.withheld = false;
        }
    }

    /// The library has the job as cancelled. One that waits is over with that; one that is being
    /// drawn is over when that has stopped.
    pub fn cancelled(&mut self, id: JobId) -> Option<JobStatus> {
        self.settle(id, JobState::Cancelled)
    }

    /// Devices that draw for a job which is over in the library: what they do is to be stopped.
    pub fn in_vain(&self) -> impl Iterator<Item = Device> {
        let over = |id| self.entries.iter().any(|entry| entry.status.id == id && entry.ending.is_some());
        self.drawing.iter().filter(move |(_, (id, _))| over(*id)).map(|(device, _)| *device)
    }

    /// A job that is not over.
    #[must_use]
    pub fn job(&self, id: JobId) -> Option<&JobStatus> {
        self.jobs().find(|status| status.id == id)
    }

    /// Begins no other jobs from now on. How many have been begun.
    pub fn begin_no_more(&mut self) -> usize {
        self.last = true;
        self.begun()
    }

    /// Jobs that have been begun and are not over.
    fn begun(&self) -> usize {
        self.jobs().filter(|status| status.state == JobState::Running).count()
    }

    /// Whether nothing more is to be begun, and all that was is done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.last && self.drawing.is_empty() && (self.begun() == 0 || self.paused)
    }

    /// Whether a device draws something.
    #[must_use]
    pub fn is_busy(&self, device: Device) -> bool {
        self.drawing.contains_key(&device)
    }

    /// Whether nothing is being drawn.
    #[must_use]
    pub fn is_still(&self) -> bool {
        self.drawing.is_empty()
    }

    /// Whether a device draws this picture, as far as was told.
    #[must_use]
    pub fn draws(&self, id: JobId, index: u32) -> bool {
        self.drawing.values().any(|now| *now == (id, index))
    }

    /// All jobs that are not over, in the order they are drawn.
    pub fn jobs(&self) -> impl Iterator<Item = &JobStatus> {
        self.entries.iter().map(|entry| &entry.status)
    }

    /// How many jobs are not over.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether nothing is begun until a person says so.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Begins nothing more, or goes on.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// The order of all jobs once one has been moved; `None` when there is no such job.
    #[must_use]
    pub fn order_with(&self, id: JobId, to: QueuePlace) -> Option<Vec<JobId>> {
        let mut order: Vec<JobId> = self.jobs().map(|job| job.id).collect();
        let place = |order: &[JobId], id| order.iter().position(|job| *job == id);
        let from = place(&order, id)?;
        order.remove(from);
        let to = match to {
            QueuePlace::First => 0,
            QueuePlace::Last => order.len(),
            QueuePlace::Up => from.saturating_sub(1),
            QueuePlace::Down => (from + 1).min(order.len()),
            QueuePlace::Before(other) if other == id => from,
            QueuePlace::Before(other) => place(&order, other)?,
        };
        order.insert(to, id);
        Some(order)
    }

    /// Brings the jobs into this order; those that it does not name come after the others as they were.
    pub fn arrange(&mut self, order: &[JobId]) {
        let ranks: HashMap<JobId, usize> = order.iter().enumerate().map(|(rank, id)| (*id, rank)).collect();
        let rank = |entry: &Entry| ranks.get(&entry.status.id).copied().unwrap_or(usize::MAX);
        self.entries.make_contiguous().sort_by_key(rank);
    }

    /// The job that comes after one.
    #[must_use]
    pub fn after(&self, id: JobId) -> Option<JobId> {
        self.jobs().skip_while(|job| job.id != id).nth(1).map(|job| job.id)
    }

    /// Whether nothing was begun of a job, so that it can be made another; `None` when there is no such job.
    #[must_use]
    pub fn is_untouched(&self, id: JobId) -> Option<bool> {
        let entry = self.entries.iter().find(|entry| entry.status.id == id)?;
        let waits = entry.status.state == JobState::Queued && entry.drawn.is_empty();
        Some(waits && !entry.withheld && entry.ending.is_none() && !self.is_drawn(id))
    }

    /// The library has a job that waits as another. Whether there is such a job.
    pub fn edited(&mut self, status: JobStatus) -> bool {
        self.entry(status.id).map(|entry| entry.status = status).is_some()
    }

    fn is_drawn(&self, id: JobId) -> bool {
        self.drawing.values().any(|(drawn, _)| *drawn == id)
    }

    fn entry(&mut self, id: JobId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.status.id == id)
    }
}

#[cfg(test)]
mod tests;
