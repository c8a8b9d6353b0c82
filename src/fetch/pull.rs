//! A list of wanted files becomes files in the caches.
//!
//! First every file is looked for in the caches and described by its hub, then the disks are measured, then all is
//! fetched, some files at a time. Nothing is written before the first two are through.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::cache::{self, Target};
use super::digest::{self, Expected};
use super::error::FetchError;
use super::http::Client;
use super::hubs::Hubs;
use super::lock;
use super::part::{self, Part};
use super::patience::Patience;
use super::plan::{Planned, What, expected, place_of};
use super::progress::{Cancel, Meter, Notice, Observer};
use super::remote::Remote;
use super::sets::sets;
use super::space::{self, Free, Need};
use super::together;
use super::transfer::Transfer;
use crate::catalog::{Hub, Place, Published};

/// How often progress is told and a wish to stop is seen.
const TICK: Duration = Duration::from_millis(100);

/// A file that is wanted: the same content wherever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it is published, the best place first.
    pub places: Vec<Place>,
    /// Its size, if known from elsewhere than the hub.
    pub bytes: Option<u64>,
    /// Its SHA-256, likewise; hexadecimal.
    pub sha256: Option<String>,
}

impl From<&Published> for Wanted {
    fn from(file: &Published) -> Self {
        Self { places: file.places.clone(), bytes: file.bytes, sha256: file.sha256.clone() }
    }
}

impl From<Place> for Wanted {
    fn from(place: Place) -> Self {
        Self { places: vec![place], bytes: None, sha256: None }
    }
}

/// How to fetch.
#[derive(Debug, Clone)]
pub struct Options {
    /// The only hub to ask; all of them if `None`.
    pub only: Option<Hub>,
    /// Files at a time.
    pub files: usize,
    /// Connections a file, where the server gives ranges.
    pub connections: usize,
    /// Bytes of one request.
    pub piece: u64,
    /// How often a request is sent without any byte coming.
    pub tries: u32,
    /// The pause after the first failure; it doubles.
    pub backoff: Duration,
    /// The longest pause that a server may ask for.
    pub patience: Duration,
    /// Tells what is free on a disk.
    pub free: Free,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            only: None,
            files: 3,
            connections: 4,
            piece: 32 << 20,
            tries: 6,
            backoff: Duration::from_millis(500),
            patience: Duration::from_secs(300),
            free: space::free,
        }
    }
}

/// A file that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it is from.
    pub place: Place,
    /// What to open.
    pub file: PathBuf,
    /// The content, where that is another file.
    pub blob: PathBuf,
    /// Bytes.
    pub bytes: u64,
    /// What its content hashes to by the catalogue or the hub: SHA-256 or git's name of it, hexadecimal.
    pub hash: Option<String>,
    /// Whether it was there before.
    pub present: bool,
}

/// Fetches files; one result for each, in their order. A failure of one does not stop the others.
///
/// # Errors
/// What stops all of them before the first byte: a disk without the room.
pub fn pull(
    wanted: &[Wanted],
    hubs: &Hubs,
    options: &Options,
    observer: &dyn Observer,
    cancel: &Cancel,
) -> Result<Vec<Result<Fetched, FetchError>>, FetchError> {
    let client = Client::new(hubs.stall, &hubs.network)?;
    let meter = Meter::default();
    let pull = Pull { hubs, options, observer, cancel, client: &client, meter: &meter };
    thread::scope(|scope| {
        let (end, ended) = mpsc::channel::<()>();
        scope.spawn(|| watch(&pull, ended));
        let results = pull.run(wanted);
        drop(end);
        results
    })
}

/// Tells progress and sees when a person wants no more, until `ended` is closed.
fn watch(pull: &Pull<'_>, ended: mpsc::Receiver<()>) {
    while ended.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
        if pull.cancel.is_stopped() {
            pull.client.shutdown();
            return;
        }
        pull.observer.progress(&pull.meter.read(Instant::now()));
    }
    pull.observer.progress(&pull.meter.read(Instant::now()));
}

pub(super) struct Pull<'a> {
    pub(super) hubs: &'a Hubs,
    pub(super) options: &'a Options,
    pub(super) observer: &'a dyn Observer,
    pub(super) cancel: &'a Cancel,
    pub(super) client: &'a Client,
    meter: &'a Meter,
}

impl Pull<'_> {
    fn run(&self, wanted: &[Wanted]) -> Result<Vec<Result<Fetched, FetchError>>, FetchError> {
        let sets: Vec<(Vec<usize>, Vec<&Wanted>)> = sets(wanted)
            .into_iter()
            .map(|set| (set.clone(), set.into_iter().map(|at| &wanted[at]).collect()))
            .collect();
        let plans = each(self.options.files.max(4), &sets, |(_, set)| self.plan(set, 0));
        self.check_space(plans.iter().flatten())?;
        sets.iter().zip(&plans).for_each(|((_, set), plans)| together::begin(self, set, plans));
        let starts: Vec<Option<usize>> = plans.iter().map(|plans| place_of(plans)).collect();
        let of_set = sets.iter().zip(plans).flat_map(|((numbers, set), plans)| {
            let alone = set.len() == 1;
            numbers.iter().zip(plans).map(move |(number, plan)| (*number, alone, plan))
        });
        let jobs: Vec<_> = of_set.map(|job| Mutex::new(Some(job))).collect();
        let mut results = each(self.options.files, &jobs, |job| {
            let job = job.lock().unwrap_or_else(PoisonError::into_inner).take();
            let (number, alone, plan) = job.expect("each job is given out once");
            let result = plan.and_then(|plan| match alone {
                true => self.carry_out(&wanted[number], plan),
                false => self.carry_out_here(&wanted[number], plan.what),
            });
            (number, result)
        });
        results.sort_by_key(|(number, _)| *number);
        let mut results: Vec<_> = results.into_iter().map(|(_, result)| Some(result)).collect();
        for ((numbers, set), start) in sets.iter().zip(starts) {
            let Some(start) = start.filter(|_| set.len() > 1) else { continue };
            let take = |number: &usize| results[*number].take().expect("each file is in one set");
            let done = self.move_on(set, start, numbers.iter().map(take).collect());
            together::end(self, set, &done);
            numbers.iter().zip(done).for_each(|(number, done)| results[*number] = Some(done));
        }
        Ok(results.into_iter().map(|result| result.expect("it was put back")).collect())
    }

    /// That the disks have room for what is to come; what is there of parts counts, and one content counts once.
    fn check_space<'p>(
        &self,
        plans: impl Iterator<Item = &'p Result<Planned, FetchError>>,
    ) -> Result<(), FetchError> {
        let mut seen: Vec<&Path> = Vec::new();
        let mut needs = Vec::new();
        for plan in plans {
            let Ok(Planned { what: What::Fetch { remote, target, .. }, .. }) = plan else { continue };
            if seen.contains(&target.part.as_path()) {
                continue;
            }
            seen.push(&target.part);
            let have = part::already(&target.part, &remote.etag, remote.size);
            let folder = target.part.parent().unwrap_or(&target.part).to_owned();
            let variable = cache::variable(remote.place.hub);
            needs.push(Need { folder, bytes: remote.size.saturating_sub(have), variable });
        }
        space::check(&needs, self.options.free)
    }

    /// Fetches a file that is alone; when its hub fails, from the next one.
    fn carry_out(&self, wanted: &Wanted, mut plan: Planned) -> Result<Fetched, FetchError> {
        loop {
            let index = plan.index;
            match self.carry_out_here(wanted, plan.what) {
                Err(error) if error.elsewhere() && index + 1 < wanted.places.len() => {
                    plan = match self.plan(&[wanted], index + 1).remove(0) {
                        Ok(plan) => plan,
                        Err(other) => return Err(FetchError::Nowhere { each: vec![error, other] }),
                    };
                }
                done => return done,
            }
        }
    }

    fn carry_out_here(&self, wanted: &Wanted, what: What) -> Result<Fetched, FetchError> {
        match what {
            What::Present(present) => Ok(present),
            What::Fetch { remote, target, anew } => self.fetch(wanted, &remote, &target, anew),
        }
    }

    /// When a hub failed over a file of a set, all of the set from the next one.
    fn move_on(
        &self,
        set: &[&Wanted],
        mut index: usize,
        mut results: Vec<Result<Fetched, FetchError>>,
    ) -> Vec<Result<Fetched, FetchError>> {
        let failed = |results: &[Result<Fetched, FetchError>]| {
            let mut errors = results.iter().flat_map(|result| result.as_ref().err());
            errors.clone().count() > 0 && errors.all(FetchError::elsewhere)
        };
        while failed(&results) && set.first().is_some_and(|wanted| index + 1 < wanted.places.len()) {
            let plans = self.plan(set, index + 1);
            if plans.iter().any(Result::is_err) {
                let both = |(result, plan): (Result<Fetched, FetchError>, Result<Planned, FetchError>)| match (
                    result, plan,
                ) {
                    (Err(error), Err(other)) => Err(FetchError::Nowhere { each: vec![error, other] }),
                    (result, _) => result,
                };
                return results.into_iter().zip(plans).map(both).collect();
            }
            together::begin(self, set, &plans);
            index = place_of(&plans).unwrap_or(set[0].places.len());
            let jobs: Vec<_> = set.iter().zip(plans).map(|job| Mutex::new(Some(job))).collect();
            results = each(self.options.files, &jobs, |job| {
                let job = job.lock().unwrap_or_else(PoisonError::into_inner).take();
                let (wanted, plan) = job.expect("each job is given out once");
                self.carry_out_here(wanted, plan?.what)
            });
        }
        results
    }

    fn fetch(
        &self,
        wanted: &Wanted,
        remote: &Remote,
        target: &Target,
        anew: bool,
    ) -> Result<Fetched, FetchError> {
        let place = &remote.place;
        let waiting = || self.observer.notice(&Notice::Waiting(place.clone()));
        let _lock = lock::take(&target.lock, self.cancel, waiting)?;
        // Whoever had the lock may have fetched it.
        let present = if anew { None } else { self.present(wanted, remote, target)? };
        if let Some(present) = present {
            return Ok(present);
        }
        if let Some(folder) = target.part.parent() {
            fs::create_dir_all(folder).map_err(FetchError::io(folder, "made"))?;
        }
        let expected = expected(wanted, remote);
        let (part, hash) = self.whole(remote, target, expected.as_ref())?;
        part.finish(&target.blob)?;
        cache::publish(self.hubs, remote, target)?;
        let (place, file) = (place.clone(), target.file.clone());
        self.observer.notice(&Notice::Done { place: place.clone(), file: file.clone(), present: false });
        let blob = fs::canonicalize(&file).unwrap_or_else(|_| target.blob.clone());
        Ok(Fetched { place, file, blob, bytes: remote.size, hash, present: false })
    }

    /// A whole part whose hash was compared, where one is known; its hash.
    fn whole(
        &self,
        remote: &Remote,
        target: &Target,
        expected: Option<&Expected>,
    ) -> Result<(Part, Option<String>), FetchError> {
        let place = &remote.place;
        loop {
            let part = Part::open(&target.part, place, &remote.etag, remote.size)?;
            let have = part.have();
            if have > 0 {
                self.observer.notice(&Notice::Resuming { place: place.clone(), have, size: remote.size });
            }
            let hash = self.transfer(remote, &part, expected)?;
            let wrong = expected.zip(hash.as_ref()).filter(|(wanted, got)| wanted.as_str() != *got);
            let Some((wanted, got)) = wrong else { return Ok((part, hash)) };
            let (wanted, got) = (wanted.as_str().to_owned(), got.clone());
            part.remove();
            let error = FetchError::Hash { place: Box::new(place.clone()), wanted, got };
            if have == 0 {
                return Err(error);
            }
            // What an earlier attempt left may have been damaged, by a loss of power for one: once more from the beginning.
            self.observer.notice(&Notice::Retrying {
                place: place.clone(),
                seconds: 0.0,
                why: error.to_string(),
            });
        }
    }

    /// Fetches what is missing of a part, and hashes it meanwhile.
    fn transfer(
        &self,
        remote: &Remote,
        part: &Part,
        expected: Option<&Expected>,
    ) -> Result<Option<String>, FetchError> {
        let counter = self.meter.add(&remote.place, part.have(), remote.size);
        counter.running.store(true, Ordering::Relaxed);
        let from = (self.client, self.hubs.server(remote.place.hub), remote);
        let transfer = Transfer::new(from, part, &counter, self.patience(&remote.place));
        let (came, hashed) = thread::scope(|scope| {
            let hashing = expected.map(|expected| scope.spawn(|| digest::follow(part, expected)));
            let came = transfer.run();
            if came.is_err() {
                part.give_up();
            }
            let hashed = hashing.map(thread::ScopedJoinHandle::join).transpose();
            (came, hashed.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        counter.running.store(false, Ordering::Relaxed);
        if let Err(error) = came {
            // The reason why it ended is worth more than that its record could not be written.
            let _ = part.save();
            return Err(error);
        }
        let hashed = hashed.transpose().map_err(FetchError::io(part.path(), "read back"))?;
        Ok(hashed.flatten())
    }

    pub(super) fn patience<'b>(&'b self, place: &'b Place) -> Patience<'b> {
        Patience { options: self.options, cancel: self.cancel, observer: self.observer, place }
    }
}

/// Does something for each of the items on at most `threads` threads; the results are in the items' order.
pub(super) fn each<T: Sync, R: Send>(threads: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                while let Some((item, slot)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    items.get(index).zip(results.get(index))
                } {
                    let result = work(item);
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                }
            });
        }
    });
    let taken = results.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
    taken.map(|result| result.expect("the scope ends when all work is done")).collect()
}
