//! What an event changes in a snapshot. The worker's own state follows the same rules, so a client
//! that applies every event to the snapshot it began with holds what a new snapshot would say.

use super::message::{Event, JobState, JobStatus, Preview, Progress, Running, Snapshot};
use super::{held, models};
use crate::job::{JobId, Picture};

/// The most pictures that a snapshot holds.
pub const HISTORY_MAX: usize = 100;
/// The most failed jobs that a snapshot holds.
pub const FAILED_MAX: usize = 20;
/// The most bytes of prompts among either of them: a prompt may have a megabyte, a frame may not
/// have a hundred.
pub const PROMPTS_MAX: usize = 8 << 20;

impl Snapshot {
    /// Brings the snapshot up to date with one event.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Job(status) => self.job(status),
            Event::Moved { job, before } => shift(&mut self.jobs, job, before),
            Event::Paused(paused) => self.paused = paused,
            Event::Progress(progress) => drop(advance(&mut self.running, progress)),
            Event::Preview(preview) => show(&mut self.running, preview),
            Event::Stopped { job, index } => leave(&mut self.running, job, index),
            Event::Finished(picture) => self.finished(*picture),
            Event::Picture { picture, was_trashed } => {
                picture_changed(&mut self.history, &mut self.history_total, *picture, was_trashed);
            }
            Event::History { pictures, total } => (self.history, self.history_total) = (pictures, total),
            Event::Engine(engine) => {
                self.engines
                    .iter_mut()
                    .filter(|it| it.device == engine.device)
                    .for_each(|it| *it = engine.clone());
            }
            Event::Readings(readings) => self.readings = Some(readings),
            Event::Fetch(fetch) => models::note(&mut self.fetches, fetch),
            Event::Check(check) => held::note(&mut self.checks, check),
            Event::Models(models) => self.models = models,
            Event::Grid(_) | Event::Loras | Event::Ending => {}
        }
    }

    fn job(&mut self, status: JobStatus) {
        let open = self.jobs.iter().take_while(|job| !job.state.is_over()).count();
        let place = self.jobs[..open].iter().position(|job| job.id == status.id);
        match (place, &status.state) {
            (Some(place), JobState::Queued | JobState::Running) => self.jobs[place] = status,
            (None, JobState::Queued | JobState::Running) => {
                // It may have failed and be tried again.
                self.jobs.retain(|job| job.id != status.id);
                self.jobs.insert(open, status);
            }
            (place, over) => {
                let failed = matches!(over, JobState::Failed { .. });
                let open = open - usize::from(place.map(|place| self.jobs.remove(place)).is_some());
                if failed {
                    self.jobs.insert(open, status);
                    let mut ended = self.jobs.split_off(open);
                    shorten_failed(&mut ended);
                    self.jobs.append(&mut ended);
                }
            }
        }
    }

    fn finished(&mut self, picture: Picture) {
        leave(&mut self.running, picture.job, picture.index);
        finished(&mut self.history, &mut self.history_total, picture);
    }
}

/// A picture is finished: it is the newest. One that is there already was counted before it was told of.
pub fn finished(history: &mut Vec<Picture>, total: &mut u64, picture: Picture) {
    if history.iter().any(|known| known.id == picture.id) {
        return;
    }
    let at = history.partition_point(|known| known.age() > picture.age());
    history.insert(at, picture);
    shorten_history(history);
    *total += 1;
}

/// A picture is changed; it may have gone into the trash or come out of it.
pub fn picture_changed(history: &mut Vec<Picture>, total: &mut u64, picture: Picture, was_trashed: bool) {
    let is_trashed = picture.marks.trashed_at.is_some();
    *total += u64::from(was_trashed && !is_trashed);
    *total = total.saturating_sub(u64::from(!was_trashed && is_trashed));
    let known = history.iter().position(|known| known.id == picture.id);
    match known {
        Some(at) if is_trashed => drop(history.remove(at)),
        Some(at) => history[at] = picture,
        None if is_trashed => {}
        None => {
            let at = history.partition_point(|known| known.age() > picture.age());
            // Behind the last there may be others that are not known.
            if at < history.len() || history.len() as u64 + 1 >= *total {
                history.insert(at, picture);
            }
        }
    }
    shorten_history(history);
}

/// A job is drawn before another now, or after all others.
pub fn shift(jobs: &mut Vec<JobStatus>, id: JobId, before: Option<JobId>) {
    let open = |jobs: &[JobStatus]| jobs.iter().take_while(|job| !job.state.is_over()).count();
    let place = |jobs: &[JobStatus], id| jobs[..open(jobs)].iter().position(|job| job.id == id);
    let Some(from) = place(jobs, id) else { return };
    let job = jobs.remove(from);
    let to = before.and_then(|before| place(jobs, before)).unwrap_or_else(|| open(jobs));
    jobs.insert(to, job);
}

/// A picture has got further. Whether it is new: then whatever its device drew before is over.
pub fn advance(running: &mut Vec<Running>, progress: Progress) -> bool {
    let is_it = |at: &Progress| (at.job, at.index) == (progress.job, progress.index);
    if let Some(known) = running.iter_mut().find(|known| is_it(&known.progress)) {
        known.progress = progress;
        return false;
    }
    running.retain(|known| known.progress.device != progress.device);
    running.push(Running { progress, preview: None });
    true
}

/// A picture looks like this, if it is still being drawn.
pub fn show(running: &mut [Running], preview: Preview) {
    let shown = |it: &&mut Running| (it.progress.job, it.progress.index) == (preview.job, preview.index);
    if let Some(known) = running.iter_mut().find(shown) {
        known.preview = Some(preview);
    }
}

/// A picture is not drawn any more.
pub fn leave(running: &mut Vec<Running>, job: JobId, index: u32) {
    running.retain(|known| (known.progress.job, known.progress.index) != (job, index));
}

/// Keeps what a snapshot may hold of pictures, newest first.
pub fn shorten_history(pictures: &mut Vec<Picture>) {
    shorten(pictures, HISTORY_MAX, Picture::text_len);
}

/// Keeps what a snapshot may hold of failed jobs, newest first.
pub fn shorten_failed(jobs: &mut Vec<JobStatus>) {
    shorten(jobs, FAILED_MAX, |status| status.job.text_len());
}

fn shorten<T>(list: &mut Vec<T>, most: usize, prompt: impl Fn(&T) -> usize) {
    let mut bytes = 0;
    let fit = |item: &T| {
        bytes += prompt(item);
        bytes <= PROMPTS_MAX
    };
    let fitting = list.iter().take(most).map(fit).take_while(|fits| *fits).count();
    list.truncate(fitting);
}
