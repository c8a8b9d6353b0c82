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
use super::progress::{Cancel, Meter, Notice, Observer};
use super::remote::{self, Remote};
use super::space::{self, Free, Need};
use super::transfer::Transfer;
use crate::catalog::{Hub, Place, Published};

/// How often progress is told and a wish to stop is seen.
const TICK: Duration = Duration::from_millis(100);
/// How often the last hub is asked about a file.
const DESCRIBE_TRIES: u32 = 3;

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

struct Pull<'a> {
    hubs: &'a Hubs,
    options: &'a Options,
    observer: &'a dyn Observer,
    cancel: &'a Cancel,
    client: &'a Client,
    meter: &'a Meter,
}

/// What is to be done for one file.
enum Planned {
    Present(Fetched),
    Fetch { index: usize, remote: Remote, target: Target },
}

impl Pull<'_> {
    fn run(&self, wanted: &[Wanted]) -> Result<Vec<Result<Fetched, FetchError>>, FetchError> {
        let plans = each(self.options.files.max(4), wanted, |wanted| self.plan(wanted, 0));
        self.check_space(&plans)?;
        let jobs: Vec<_> = wanted.iter().zip(plans).map(|job| Mutex::new(Some(job))).collect();
        Ok(each(self.options.files, &jobs, |job| {
            let job = job.lock().unwrap_or_else(PoisonError::into_inner).take();
            let (wanted, plan) = job.expect("each job is given out once");
            self.carry_out(wanted, plan?)
        }))
    }

    /// Looks for the file at its places from number `from` on, in the cache and at the hub.
    fn plan(&self, wanted: &Wanted, from: usize) -> Result<Planned, FetchError> {
        let mut failures = Vec::new();
        let allowed = |place: &Place| self.options.only.is_none_or(|hub| hub == place.hub);
        let places = wanted.places.iter().enumerate().skip(from).filter(|(_, place)| allowed(place));
        let mut places = places.peekable();
        while let Some((index, place)) = places.next() {
            if let Some(error) = failures.last() {
                let why = ToString::to_string(error);
                self.observer.notice(&Notice::Elsewhere { place: place.clone(), why });
            }
            // A hub that some networks never reach is not waited for while another may answer.
            let tries = if places.peek().is_some() { 1 } else { DESCRIBE_TRIES };
            match self.plan_at(wanted, place, tries) {
                Ok(Planned::Fetch { remote, target, .. }) => {
                    return Ok(Planned::Fetch { index, remote, target });
                }
                Ok(present) => return Ok(present),
                Err(error) if error.elsewhere() => failures.push(error),
                Err(error) => return Err(error),
            }
        }
        Err(match (failures.len(), self.options.only) {
            (1, _) => failures.remove(0),
            (0, hub) => {
                let file = wanted.places.first().map_or_else(String::new, ToString::to_string);
                FetchError::NoPlace { file, hub: hub.map_or("any hub", Hub::name) }
            }
            _ => FetchError::Nowhere { each: failures },
        })
    }

    fn plan_at(&self, wanted: &Wanted, place: &Place, tries: u32) -> Result<Planned, FetchError> {
        place.check()?;
        let found = cache::find(self.hubs, place);
        let fits = |file: &PathBuf| wanted.bytes.is_some_and(|bytes| size_of(file) == Some(bytes));
        if let Some(file) = found.as_ref().filter(|file| fits(file) || self.hubs.offline) {
            return Ok(Planned::Present(self.adopted(place, file, wanted.sha256.clone())));
        }
        if self.hubs.offline {
            return Err(FetchError::Offline { place: Box::new(place.clone()) });
        }
        let remote = match (self.describe(place, tries), found) {
            // Without a network, what is there is better than nothing.
            (Err(FetchError::Unreachable { .. }), Some(file)) => {
                return Ok(Planned::Present(self.adopted(place, &file, wanted.sha256.clone())));
            }
            (remote, _) => remote?,
        };
        agree(wanted, &remote)?;
        let target = cache::target(self.hubs, &remote);
        if let Some(present) = self.present(wanted, &remote, &target)? {
            return Ok(Planned::Present(present));
        }
        Ok(Planned::Fetch { index: 0, remote, target })
    }

    fn describe(&self, place: &Place, tries: u32) -> Result<Remote, FetchError> {
        let mut failures = 0;
        loop {
            match remote::describe(self.client, self.hubs, place) {
                Ok(remote) => return Ok(remote),
                Err(error) => {
                    failures += 1;
                    let tries = match error {
                        FetchError::Limited { .. } => self.options.tries,
                        _ => tries.min(self.options.tries),
                    };
                    self.patience(place).after(error, failures, tries)?;
                }
            }
        }
    }

    /// The file, if its content is there already. What is around it is made.
    fn present(
        &self,
        wanted: &Wanted,
        remote: &Remote,
        target: &Target,
    ) -> Result<Option<Fetched>, FetchError> {
        let there = size_of(&target.blob) == Some(remote.size) || size_of(&target.file) == Some(remote.size);
        if !there {
            return Ok(None);
        }
        if target.blob.exists() {
            cache::publish(self.hubs, remote, target)?;
        }
        let hash = expected(wanted, remote).map(|hash| hash.as_str().to_owned());
        Ok(Some(self.adopted(&remote.place, &target.file, hash)))
    }

    fn adopted(&self, place: &Place, file: &Path, hash: Option<String>) -> Fetched {
        let blob = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let bytes = size_of(file).unwrap_or(0);
        let (place, file) = (place.clone(), file.to_owned());
        self.observer.notice(&Notice::Done { place: place.clone(), file: file.clone(), present: true });
        Fetched { place, file, blob, bytes, hash, present: true }
    }

    /// That the disks have room for what is to come; what is there of parts counts, and one content counts once.
    fn check_space(&self, plans: &[Result<Planned, FetchError>]) -> Result<(), FetchError> {
        let mut seen: Vec<&Path> = Vec::new();
        let mut needs = Vec::new();
        for plan in plans {
            let Ok(Planned::Fetch { remote, target, .. }) = plan else { continue };
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

    /// Fetches a file; when its hub fails, from the next one.
    fn carry_out(&self, wanted: &Wanted, mut plan: Planned) -> Result<Fetched, FetchError> {
        loop {
            let (index, remote, target) = match plan {
                Planned::Present(present) => return Ok(present),
                Planned::Fetch { index, remote, target } => (index, remote, target),
            };
            match self.fetch(wanted, &remote, &target) {
                Err(error) if error.elsewhere() && index + 1 < wanted.places.len() => {
                    plan = match self.plan(wanted, index + 1) {
                        Ok(plan) => plan,
                        Err(other) => return Err(FetchError::Nowhere { each: vec![error, other] }),
                    };
                }
                done => return done,
            }
        }
    }

    fn fetch(&self, wanted: &Wanted, remote: &Remote, target: &Target) -> Result<Fetched, FetchError> {
        let place = &remote.place;
        let waiting = || self.observer.notice(&Notice::Waiting(place.clone()));
        let _lock = lock::take(&target.lock, self.cancel, waiting)?;
        // Whoever had the lock may have fetched it.
        if let Some(present) = self.present(wanted, remote, target)? {
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
            let part = Part::open(&target.part, &remote.etag, remote.size)?;
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

    fn patience<'b>(&'b self, place: &'b Place) -> Patience<'b> {
        Patience { options: self.options, cancel: self.cancel, observer: self.observer, place }
    }
}

/// What the content must hash to: the catalogue's word before the hub's.
fn expected(wanted: &Wanted, remote: &Remote) -> Option<Expected> {
    wanted.sha256.as_deref().and_then(Expected::sha256).or_else(|| remote.hash.clone())
}

/// That the hub has the file that the catalogue means.
fn agree(wanted: &Wanted, remote: &Remote) -> Result<(), FetchError> {
    let changed = |hub: String, wanted: String| FetchError::Changed {
        place: Box::new(remote.place.clone()),
        hub,
        wanted,
    };
    if let Some(bytes) = wanted.bytes.filter(|&bytes| bytes != remote.size) {
        return Err(changed(format!("{} bytes", remote.size), format!("{bytes} bytes")));
    }
    match (wanted.sha256.as_deref().and_then(Expected::sha256), &remote.hash) {
        (Some(ours), Some(theirs @ Expected::Sha256(_))) if ours != *theirs => {
            Err(changed(format!("SHA-256 {}", theirs.as_str()), format!("SHA-256 {}", ours.as_str())))
        }
        _ => Ok(()),
    }
}

fn size_of(file: &Path) -> Option<u64> {
    fs::metadata(file).ok().filter(fs::Metadata::is_file).map(|file| file.len())
}

/// Does something for each of the items on at most `threads` threads; the results are in the items' order.
fn each<T: Sync, R: Send>(threads: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
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
