//! Where each file of a set comes from: looked for in the caches and described by the hubs, place after place, until all
//! of the set can be had from one.

use std::fs;
use std::path::Path;

use super::cache::{self, Target};
use super::digest::{self, Expected};
use super::error::FetchError;
use super::progress::Notice;
use super::pull::{Fetched, Pull, Wanted};
use super::remote::{self, Remote};
use crate::catalog::{Hub, Place};

/// How often the last hub is asked about a file.
const DESCRIBE_TRIES: u32 = 3;

/// What is to be done for one file, which is at its place of this number.
pub(super) struct Planned {
    pub index: usize,
    pub what: What,
}

pub(super) enum What {
    Present(Fetched),
    /// `anew`: what lies there is another content.
    Fetch {
        remote: Remote,
        target: Target,
        anew: bool,
    },
}

impl Pull<'_> {
    /// Looks for the files of a set at their places from number `from` on, in the cache and at the hub: all of them at
    /// one place, or each has an error.
    pub(super) fn plan(&self, set: &[&Wanted], from: usize) -> Vec<Result<Planned, FetchError>> {
        let mut failures: Vec<Vec<FetchError>> = set.iter().map(|_| Vec::new()).collect();
        let allowed = |place: &Place| self.options.only.is_none_or(|hub| hub == place.hub);
        let places = set.first().map_or(&[][..], |wanted| &wanted.places);
        let places = (from..places.len()).filter(|index| allowed(&places[*index]));
        let mut places = places.peekable();
        while let Some(index) = places.next() {
            for (wanted, failures) in set.iter().zip(&failures) {
                if let Some(error) = failures.last() {
                    let (place, why) = (wanted.places[index].clone(), error.to_string());
                    self.observer.notice(&Notice::Elsewhere { place, why });
                }
            }
            // A hub that some networks never reach is not waited for while another may answer.
            let tries = if places.peek().is_some() { 1 } else { DESCRIBE_TRIES };
            let plans = self.plan_set(set, index, tries);
            if plans.iter().all(Result::is_ok) {
                return plans;
            }
            if plans.iter().flat_map(|plan| plan.as_ref().err()).any(|error| !error.elsewhere()) {
                return apart(set, plans.into_iter().map(|plan| plan.err().into_iter().collect()).collect());
            }
            for (failures, plan) in failures.iter_mut().zip(plans) {
                failures.extend(plan.err());
            }
        }
        if let (true, Some(wanted)) = (failures.iter().all(Vec::is_empty), set.first()) {
            let file = wanted.places.first().map_or_else(String::new, ToString::to_string);
            let hub = self.options.only.map_or("any hub", Hub::name);
            return set.iter().map(|_| Err(FetchError::NoPlace { file: file.clone(), hub })).collect();
        }
        apart(set, failures)
    }

    pub(super) fn plan_at(&self, wanted: &Wanted, index: usize, tries: u32) -> Result<Planned, FetchError> {
        let place = &wanted.places[index];
        self.what(wanted, place, tries).map(|what| Planned { index, what })
    }

    fn what(&self, wanted: &Wanted, place: &Place, tries: u32) -> Result<What, FetchError> {
        place.check()?;
        let found = cache::find(self.hubs, place);
        if let Some(file) = found.as_ref().filter(|file| is_as_long(wanted, file) || self.hubs.offline) {
            return Ok(What::Present(self.adopted(place, file, wanted.sha256.clone())));
        }
        if self.hubs.offline {
            return Err(FetchError::Offline { place: Box::new(place.clone()) });
        }
        let remote = match (self.described(place, tries), found) {
            // Without a network, what is there is better than nothing.
            (Err(FetchError::Unreachable { .. }), Some(file)) => {
                return Ok(What::Present(self.adopted(place, &file, wanted.sha256.clone())));
            }
            (remote, _) => remote?,
        };
        self.planned(wanted, remote, false)
    }

    /// What is to be done for a file that its hub has described. One `of_set` must be what the hub says to count as
    /// present, where its place does not say that.
    pub(super) fn planned(&self, wanted: &Wanted, remote: Remote, of_set: bool) -> Result<What, FetchError> {
        agree(wanted, &remote)?;
        let target = cache::target(self.hubs, &remote);
        if of_set && self.is_other(wanted, &remote, &target)? {
            return Ok(What::Fetch { remote, target, anew: true });
        }
        if let Some(present) = self.present(wanted, &remote, &target)? {
            return Ok(What::Present(present));
        }
        Ok(What::Fetch { remote, target, anew: false })
    }

    /// Whether another content lies at the file's place, where that is not named by its content: at ModelScope. One of
    /// the same size must be read to be told.
    fn is_other(&self, wanted: &Wanted, remote: &Remote, target: &Target) -> Result<bool, FetchError> {
        let named_by_content = remote.place.hub == Hub::HuggingFace;
        let expected = expected(wanted, remote).filter(|_| !named_by_content);
        let Some(expected) = expected.filter(|_| size_of(&target.file) == Some(remote.size)) else {
            return Ok(false);
        };
        let hash = digest::of_file(&target.file, &expected, |_| !self.cancel.is_stopped());
        match hash.map_err(FetchError::io(&target.file, "read"))? {
            Some(hash) => Ok(hash != expected.as_str()),
            None => Err(FetchError::Cancelled),
        }
    }

    /// Whether the cache has a file of the right size, where that is known.
    pub(super) fn fits(&self, wanted: &Wanted, place: &Place) -> bool {
        cache::find(self.hubs, place).is_some_and(|file| is_as_long(wanted, &file))
    }

    /// What the hub says of a file.
    pub(super) fn described(&self, place: &Place, tries: u32) -> Result<Remote, FetchError> {
        self.patiently(place, tries, || remote::describe(self.client, self.hubs, place))
    }

    /// Asks a hub, again where that may help.
    pub(super) fn patiently<T>(
        &self,
        place: &Place,
        tries: u32,
        ask: impl Fn() -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let mut failures = 0;
        loop {
            match ask() {
                Ok(answer) => return Ok(answer),
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
    pub(super) fn present(
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
}

/// What the content must hash to: the catalogue's word before the hub's.
pub(super) fn expected(wanted: &Wanted, remote: &Remote) -> Option<Expected> {
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

/// The number of the place that a set was planned at.
pub(super) fn place_of(plans: &[Result<Planned, FetchError>]) -> Option<usize> {
    plans.iter().flatten().map(|plan| plan.index).next()
}

/// Why none of a set is fetched: what went wrong with each file, or with another that it needs.
fn apart(set: &[&Wanted], mut failures: Vec<Vec<FetchError>>) -> Vec<Result<Planned, FetchError>> {
    for of_one in &mut failures {
        of_one.retain(|error| !matches!(error, FetchError::Companion { .. }));
    }
    let first = |wanted: &Wanted| wanted.places.first().cloned();
    let failed = set.iter().zip(&failures).find(|(_, failures)| !failures.is_empty());
    let failed = failed.and_then(|(wanted, _)| first(wanted));
    let one = |(wanted, mut failures): (&&Wanted, Vec<FetchError>)| match (failures.len(), first(wanted)) {
        (0, Some(place)) => {
            let other = Box::new(failed.clone().unwrap_or_else(|| place.clone()));
            Err(FetchError::Companion { place: Box::new(place), other })
        }
        (1, _) => Err(failures.remove(0)),
        _ => Err(FetchError::Nowhere { each: failures }),
    };
    set.iter().zip(failures).map(one).collect()
}

fn is_as_long(wanted: &Wanted, file: &Path) -> bool {
    wanted.bytes.is_some_and(|bytes| size_of(file) == Some(bytes))
}

fn size_of(file: &Path) -> Option<u64> {
    fs::metadata(file).ok().filter(fs::Metadata::is_file).map(|file| file.len())
}
