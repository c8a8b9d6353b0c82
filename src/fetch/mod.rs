//! Getting published files: from Hugging Face and ModelScope into those hubs' own caches.
//!
//! ```text
//! catalog::Place ── what is wanted   hubs ── the environment: servers, tokens, caches
//!     └──> pull ── sets     which files must be from one hub
//!               ├─ plan     from which                            (together: all of a set from one commit; pin)
//!               ├─ remote   what the hub says: size, hash, commit      (http: redirects, tokens)
//!               ├─ cache    where it is already, and where it comes to
//!               ├─ space    whether the disk has room
//!               ├─ lock     one writer a file
//!               └─ transfer pieces over several connections ──> part  what is there of it
//!                                                      digest <──┘    hashed behind the writing
//! ```
//!
//! # Invariants
//! 1. A file under its final name is whole and its hash, where one is known, was compared.
//! 2. Whatever ends a transfer, what came of it is kept and gone on with, unless the hub has other content now or the
//!    content turned out wrong.
//! 3. A token goes to its hub's own address and to no other host.
//! 4. Names from a hub become file names only after they were checked; lengths from a hub allocate nothing.
//!
//! Nothing here writes to a terminal: [`Observer`] is told. Everything blocks; callers give it a thread.

mod before;
mod cache;
mod digest;
mod error;
mod http;
mod hubs;
mod ledger;
mod lock;
mod network;
mod part;
mod patience;
mod pin;
mod plan;
mod progress;
mod pull;
mod remote;
mod remove;
mod sets;
mod space;
mod spans;
mod together;
mod transfer;
mod unfinished;
mod verify;

pub use before::{already_here, room};
pub use error::FetchError;
pub use hubs::{Hubs, Server, Token};
pub use ledger::{Kept, Ledger};
pub use network::Network;
pub use progress::{Cancel, FileProgress, Notice, Observer, Progress, Silent};
pub use pull::{Fetched, Options, Wanted, pull};
pub use remove::{Removal, plan as plan_removal};
pub use space::{Free, free};
pub use unfinished::{Unfinished, find as unfinished};
pub use verify::{Checked, Verdict, check as verify};
