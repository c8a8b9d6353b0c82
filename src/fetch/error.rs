//! Why a file could not be fetched, said so that a person knows what to do next.

use std::io;
use std::path::{Path, PathBuf};

use crate::catalog::{AddressError, Place};

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address names no file.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A setting in the environment that cannot be used.
    #[error("{name} = {value:?} cannot be used: {works}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What would work.
        works: &'static str,
    },
    /// No connection.
    #[error(
        "{host} cannot be reached: {why}. Check the network; a proxy is named by HTTPS_PROXY, a mirror of Hugging Face \
         by HF_ENDPOINT; `--source modelscope` takes the other hub where it has the file"
    )]
    Unreachable {
        /// Whom.
        host: String,
        /// What happened.
        why: String,
    },
    /// A person forbade the network.
    #[error("{place} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it: unset it")]
    Offline {
        /// Which file.
        place: Box<Place>,
    },
    /// 401 without a token.
    #[error(
        "{place} needs an account and no token is set{}. {advice}",
        gate.as_ref().map(|page| format!("; accept its terms first at {page}")).unwrap_or_default()
    )]
    NoToken {
        /// Which file.
        place: Box<Place>,
        /// The page that has terms to accept, if it is gated.
        gate: Option<String>,
        /// Where to get a token and where to put it.
        advice: String,
    },
    /// 401 with a token.
    #[error("{host} does not know the token that is set, so {place} was refused. {advice}")]
    BadToken {
        /// Which file.
        place: Box<Place>,
        /// Whose token.
        host: String,
        /// Where to get a token and where to put it.
        advice: String,
    },
    /// 403: terms to accept.
    #[error(
        "{place} is gated: open {page}, accept its terms {}, and run this again",
        account.as_ref().map_or("with the account of your token".to_owned(), |name| format!("as {name}"))
    )]
    Gated {
        /// Which file.
        place: Box<Place>,
        /// Where its terms are.
        page: String,
        /// Whose token is set, if the hub told.
        account: Option<String>,
    },
    /// 403 for another reason.
    #[error("{place} was forbidden by {host}: {why}. A token with too few permissions is the usual reason")]
    Forbidden {
        /// Which file.
        place: Box<Place>,
        /// Who refused.
        host: String,
        /// What it said.
        why: String,
    },
    /// 404.
    #[error("{place}: there is no such {what} at {page}")]
    NotFound {
        /// Which file.
        place: Box<Place>,
        /// Repository, revision or file.
        what: &'static str,
        /// Where to look.
        page: String,
    },
    /// 429, for longer than anybody waits.
    #[error("{host} allows no more requests for {seconds} s: run this again then; what is there is kept")]
    Limited {
        /// Who.
        host: String,
        /// How long.
        seconds: u64,
    },
    /// Another status, also after several tries.
    #[error("{host} answered {status} for {place}: run this again later; what is there is kept")]
    Status {
        /// Which file.
        place: Box<Place>,
        /// Who.
        host: String,
        /// The status.
        status: u16,
    },
    /// An answer that makes no sense.
    #[error("{host} gave an answer that cannot be used: {what}. A proxy or a mirror may be in between")]
    Answer {
        /// Who.
        host: String,
        /// What is wrong.
        what: String,
    },
    /// A length that is not the announced one.
    #[error("{place}: {said} bytes were announced and {got} came; nothing was put in place")]
    Length {
        /// Which file.
        place: Box<Place>,
        /// What was announced.
        said: u64,
        /// What came, or is now said.
        got: u64,
    },
    /// The connection ended too soon, again and again.
    #[error(
        "{place}: the connection ended after {got} of {of} bytes, {tries} times ({why}); run this again to go on"
    )]
    Cut {
        /// Which file.
        place: Box<Place>,
        /// Bytes that are there.
        got: u64,
        /// Bytes of the file.
        of: u64,
        /// How often it was tried without any progress.
        tries: u32,
        /// What happened last.
        why: String,
    },
    /// The hub has another file than the catalogue.
    #[error(
        "{place} has {hub} on the hub and {wanted} in the catalogue: it was changed; nothing was fetched"
    )]
    Changed {
        /// Which file.
        place: Box<Place>,
        /// Bytes or hash that the hub says.
        hub: String,
        /// Bytes or hash that the catalogue says.
        wanted: String,
    },
    /// The content is not what it should be.
    #[error("{place} came with the wrong content: its hash is {got} and should be {wanted}; it was removed")]
    Hash {
        /// Which file.
        place: Box<Place>,
        /// What it should be.
        wanted: String,
        /// What it is.
        got: String,
    },
    /// No room, before the beginning.
    #[error("{} has {free} bytes free and {needed} are needed: free some, or name another disk ({variable})", folder.display())]
    Space {
        /// Where.
        folder: PathBuf,
        /// Bytes that are still to come.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// The variable that moves the cache.
        variable: &'static str,
    },
    /// No room, half-way.
    #[error("the disk is full at {}: free some space and run this again; what is there is kept", path.display())]
    DiskFull {
        /// Which file.
        path: PathBuf,
    },
    /// Not allowed by the file system.
    #[error("{} cannot be {doing}: no permission. Whose is it? A cache that root made is the usual reason", path.display())]
    Denied {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
    },
    /// The file system, otherwise.
    #[error("{} could not be {doing}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Ctrl-C.
    #[error("interrupted; what is there is kept, and the same command goes on from it")]
    Cancelled,
    /// Every hub that has the file failed.
    #[error("{}", each.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Nowhere {
        /// Why, hub by hub.
        each: Vec<FetchError>,
    },
    /// A file of no use without another, which cannot be had.
    #[error(
        "{place} was not fetched: it is of no use without {other}, which cannot be had from the same hub"
    )]
    Companion {
        /// Which file.
        place: Box<Place>,
        /// What it needs.
        other: Box<Place>,
    },
    /// No hub that may be asked has the file.
    #[error("none of the places of {file} is on {hub}")]
    NoPlace {
        /// What was asked for.
        file: String,
        /// The hub that a person named.
        hub: &'static str,
    },
}

impl FetchError {
    /// What an error of the file system means.
    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Self::Denied { path, doing }
                }
                _ => Self::Io { path, doing, source },
            }
        }
    }

    /// Whether another hub may do better.
    pub(super) fn elsewhere(&self) -> bool {
        !matches!(
            self,
            Self::Space { .. }
                | Self::DiskFull { .. }
                | Self::Denied { .. }
                | Self::Io { .. }
                | Self::Cancelled
        )
    }
}
