//! Files of a set, which fit one another only when they are of one commit: an index and its shards.
//!
//! At Hugging Face the revision is resolved once, by the first file, and the others are asked for by that commit. Until
//! all of the set is there the commit is written down, so that what broke off goes on with it even if the branch has
//! moved in between. ModelScope has no commits to ask by: all files are described by one list, and what lies there
//! already counts only if it hashes to what the list says.

use std::sync::{Mutex, PoisonError};

use super::cache;
use super::error::FetchError;
use super::pin;
use super::plan::{Planned, What};
use super::pull::{Fetched, Pull, Wanted, each};
use super::remote::{self, Remote};
use crate::catalog::{Hub, Place};

impl Pull<'_> {
    /// What is to be done for each file of a set at its place of that number.
    pub(super) fn plan_set(
        &self,
        set: &[&Wanted],
        index: usize,
        tries: u32,
    ) -> Vec<Result<Planned, FetchError>> {
        let alone = || each(set.len(), set, |wanted| self.plan_at(wanted, index, tries));
        // Offline all are of the commit that the cache has for the branch.
        if set.len() == 1 || self.hubs.offline || self.all_here(set, index) {
            return alone();
        }
        match self.plan_together(set, index, tries) {
            Ok(plans) => plans,
            // Without a network, what is there is better than nothing.
            Err(FetchError::Unreachable { .. })
                if set.iter().all(|one| cache::find(self.hubs, &one.places[index]).is_some()) =>
            {
                alone()
            }
            Err(error) => of_no_use(set, index, error),
        }
    }

    /// Whether all are in the cache, of the commit that it has for the branch, and are known to be what is wanted.
    fn all_here(&self, set: &[&Wanted], index: usize) -> bool {
        set.iter().all(|wanted| self.fits(wanted, &wanted.places[index]))
    }

    fn plan_together(
        &self,
        set: &[&Wanted],
        index: usize,
        tries: u32,
    ) -> Result<Vec<Result<Planned, FetchError>>, FetchError> {
        let places: Vec<&Place> = set.iter().map(|wanted| &wanted.places[index]).collect();
        places.iter().try_for_each(|place| place.check())?;
        let Some(first) = places.first() else { return Ok(Vec::new()) };
        let described = match first.hub {
            Hub::HuggingFace => self.of_one_commit(&places, tries)?,
            Hub::ModelScope => {
                self.patiently(first, tries, || remote::list(self.client, self.hubs, &places))?
            }
        };
        let jobs: Vec<_> = set.iter().zip(described).map(|job| Mutex::new(Some(job))).collect();
        Ok(each(set.len(), &jobs, |job| {
            let job = job.lock().unwrap_or_else(PoisonError::into_inner).take();
            let (wanted, remote) = job.expect("each job is given out once");
            self.planned(wanted, remote?, true).map(|what| Planned { index, what })
        }))
    }

    /// Each file as it is in the commit that an earlier attempt began with, or else in the one that the branch is now.
    fn of_one_commit(
        &self,
        places: &[&Place],
        tries: u32,
    ) -> Result<Vec<Result<Remote, FetchError>>, FetchError> {
        let begun = pin::read(self.hubs, places[0]);
        let first = match begun.map(|commit| self.described_at(places[0], &commit, tries)) {
            Some(Ok(first)) => first,
            // The commit is gone: its branch was rewritten.
            Some(Err(FetchError::NotFound { .. })) | None => self.described(places[0], tries)?,
            Some(Err(error)) => return Err(error),
        };
        let commit = first.commit.clone().unwrap_or_else(|| places[0].revision.clone());
        let rest = each(places.len(), &places[1..], |place| self.described_at(place, &commit, tries));
        Ok(std::iter::once(Ok(first)).chain(rest).collect())
    }

    /// A file as it is in a commit, under the name of its place.
    fn described_at(&self, place: &Place, commit: &str, tries: u32) -> Result<Remote, FetchError> {
        let at = Place { revision: commit.to_owned(), ..place.clone() };
        let remote = self.described(&at, tries)?;
        if remote.commit.as_deref() != Some(commit) {
            let (host, said) = (place.hub.name().to_owned(), remote.commit.unwrap_or_default());
            let what = format!("commit {said} where {commit} of {} was asked for", place.repo);
            return Err(FetchError::Answer { host, what });
        }
        Ok(Remote { place: place.clone(), ..remote })
    }
}

/// Remembers, before anything of a set is fetched, of which commit it is.
pub(super) fn begin(pull: &Pull<'_>, set: &[&Wanted], plans: &[Result<Planned, FetchError>]) {
    let (true, Some(Ok(first))) = (set.len() > 1, plans.first()) else { return };
    let fetched = plans.iter().flatten().find_map(|plan| match &plan.what {
        What::Fetch { remote, .. } => remote.commit.as_ref(),
        What::Present(_) => None,
    });
    if let (Some(commit), Some(place)) = (fetched, set[0].places.get(first.index)) {
        pin::write(pull.hubs, place, commit);
    }
}

/// Forgets it once all of the set is there.
pub(super) fn end(pull: &Pull<'_>, set: &[&Wanted], results: &[Result<Fetched, FetchError>]) {
    if set.len() > 1 && results.iter().all(Result::is_ok) {
        set[0].places.iter().for_each(|place| pin::forget(pull.hubs, place));
    }
}

/// One could not be described, so the others are of no use.
fn of_no_use(set: &[&Wanted], index: usize, error: FetchError) -> Vec<Result<Planned, FetchError>> {
    let place = |wanted: &Wanted| Box::new(wanted.places[index].clone());
    let companion =
        |wanted: &&Wanted| Err(FetchError::Companion { place: place(wanted), other: place(set[0]) });
    std::iter::once(Err(error)).chain(set[1..].iter().map(companion)).collect()
}
