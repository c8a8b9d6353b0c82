//! The address of the worker's socket. A Unix socket's path holds 107 bytes; a state directory may
//! be deeper, so longer ones are reached through the opened directory. No connection is made here.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The longest path that the address of a Unix socket holds, in bytes.
const PATH_MAX: usize = 107;

/// A path that `bind` and `connect` accept for as long as this lives.
#[derive(Debug)]
pub struct Address {
    path: PathBuf,
    /// The directory that a path through `/proc/self/fd` goes by.
    _directory: Option<File>,
}

impl Address {
    /// The address of a socket at `path`, whose directory exists.
    ///
    /// # Errors
    /// When the path is long and its directory cannot be opened.
    pub fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= PATH_MAX {
            return Ok(Self { path: path.to_owned(), _directory: None });
        }
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a socket's path has a directory and a name",
            ));
        };
        let directory = File::open(directory)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        Ok(Self { path, _directory: Some(directory) })
    }

    /// The path to bind or connect to.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
