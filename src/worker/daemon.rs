//! What makes the process a daemon: its own session, its claim to the state directory, its socket,
//! its signals. Nothing here knows of jobs.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::Mode;
use rustix::process::geteuid;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use super::WorkerError;
use crate::library::lock;
use crate::paths::Paths;
use crate::wire::socket::Address;

/// The right to be the worker of a state directory, held until this is dropped: others see that the
/// lock is taken, whatever became of the socket.
#[derive(Debug)]
pub struct Claim {
    socket: PathBuf,
    door: Option<Door>,
    _lock: File,
}

/// Our socket, told from any other that may be where it was.
#[derive(Debug, Clone)]
pub struct Door {
    path: PathBuf,
    identity: (u64, u64),
}

impl Door {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }

    /// Whether clients still find us there.
    #[must_use]
    pub fn is_open(&self) -> bool {
        identity(&self.path).is_ok_and(|there| there == self.identity)
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|there| (there.dev(), there.ino()))
}

impl Claim {
    /// Claims the state directory, making it if there is none.
    ///
    /// # Errors
    /// [`WorkerError::AlreadyRuns`]; [`WorkerError::Unsafe`] for a directory that others can change.
    pub fn take(paths: &Paths) -> Result<Self, WorkerError> {
        own_directory(&paths.state)?;
        let lock = lock(&paths.lock())?;
        Ok(Self { socket: paths.socket(), door: None, _lock: lock })
    }

    /// Opens the socket. One that is there already belongs to a worker that is gone, since we hold
    /// the lock; it is removed.
    ///
    /// # Errors
    /// [`WorkerError::InTheWay`] when what is there is no socket.
    pub fn listen(&mut self) -> Result<(UnixListener, Door), WorkerError> {
        let path = &self.socket;
        match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() => {
                tracing::info!(path = %path.display(), "removing the socket of a worker that is gone");
                fs::remove_file(path).map_err(failed(path, "removed"))?;
            }
            Ok(_) => return Err(WorkerError::InTheWay(path.clone())),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(path, "looked at")(error)),
        }
        let address = Address::of(path).map_err(failed(path, "opened"))?;
        let listener = UnixListener::bind(address.path()).map_err(failed(path, "opened"))?;
        let door = Door::at(path).map_err(failed(path, "looked at"))?;
        self.door = Some(door.clone());
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed(path, "closed to others"))?;
        Ok((listener, door))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(door) = self.door.take().filter(Door::is_open) {
            let _ = fs::remove_file(door.path);
        }
    }
}

/// Makes sure that the directory is there and that only we can change it.
fn own_directory(path: &Path) -> Result<(), WorkerError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed(parent, "made"))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(path, "made")(error)),
        _ => {}
    }
    // Through the opened directory: what is looked at is what is changed.
    let directory = File::open(path).map_err(failed(path, "opened"))?;
    let there = directory.metadata().map_err(failed(path, "looked at"))?;
    let unsafe_because = |what: String| Err(WorkerError::Unsafe { path: path.to_owned(), what });
    if !there.is_dir() {
        return Err(failed(path, "used")(ErrorKind::NotADirectory.into()));
    }
    if there.uid() != geteuid().as_raw() {
        return unsafe_because(format!("belongs to another user (number {})", there.uid()));
    }
    if there.mode() & 0o022 != 0 {
        return unsafe_because(format!("can be changed by others (mode {:o})", there.mode() & 0o777));
    }
    if there.mode() & 0o077 != 0 {
        // Nobody else could have put anything there; the studio may have made it before us.
        directory.set_permissions(Permissions::from_mode(0o700)).map_err(failed(path, "closed to others"))?;
    }
    Ok(())
}

/// Takes the lock and writes our process number into it.
fn lock(path: &Path) -> Result<File, WorkerError> {
    let mut file = lock::take(path).map_err(|error| match error {
        TryLockError::WouldBlock => WorkerError::AlreadyRuns { pid: holder(path) },
        TryLockError::Error(error) => failed(path, "locked")(error),
    })?;
    // For a person who looks; a full disk must not keep a worker from starting.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// The process that has written its number into the lock.
fn holder(path: &Path) -> Option<u32> {
    let mut pid = String::new();
    File::open(path).and_then(|file| file.take(20).read_to_string(&mut pid)).ok()?;
    pid.trim().parse().ok()
}

fn failed(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> WorkerError + use<> {
    let path = path.to_owned();
    move |source| WorkerError::File { path, what, source }
}

/// Leaves the terminal's session, so that its end is not ours, and keeps new files to ourselves.
pub fn leave_session() {
    // A process that leads its group already has no session to leave; hang-ups are ignored anyway.
    let _ = rustix::process::setsid();
    rustix::process::umask(Mode::from_raw_mode(0o077));
    // Keeps no file system from being unmounted. All our paths are absolute.
    let _ = std::env::set_current_dir("/");
}

/// Starts the worker that goes on in this one's place. Nobody waits for it: clients that come find it or start another.
pub fn succeed(program: &Path) {
    let null = Stdio::null;
    let started =
        Command::new(program).args(["worker", "run"]).stdin(null()).stdout(null()).stderr(null()).spawn();
    match started {
        Ok(next) => tracing::info!(pid = next.id(), "another worker goes on"),
        Err(error) => {
            tracing::error!(%error, program = %program.display(), "no other worker could be started");
        }
    }
}

/// Lets go of the caller's stdin, stdout and stderr.
pub fn detach() {
    let null = File::options().read(true).write(true).open("/dev/null");
    let detached = null.and_then(|null| {
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
        Ok(())
    });
    if let Err(error) = detached {
        tracing::warn!(%error, "the worker keeps its caller's terminal");
    }
}

/// Waits for SIGTERM or SIGINT. Hang-ups, closed pipes and files over a size limit are no reason to
/// end: the last two come back as errors where they happen.
pub async fn told_to_end() {
    const SIGXFSZ: i32 = 25;
    // Once a stream was made the default action is gone, even when the stream is.
    for ignored in [SignalKind::hangup(), SignalKind::pipe(), SignalKind::from_raw(SIGXFSZ)] {
        let _ = signal(ignored);
    }
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::warn!("signals cannot be heard: end the worker with `flux-tui worker stop`");
        return std::future::pending().await;
    };
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = name, "told to end");
}
