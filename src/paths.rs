//! Where things are kept, by the XDG base directories.
//!
//! | what | where |
//! |---|---|
//! | configuration, themes, keymap | `$XDG_CONFIG_HOME/flux-tui` (`~/.config/flux-tui`) |
//! | pictures, library | `$XDG_DATA_HOME/flux-tui` (`~/.local/share/flux-tui`) |
//! | socket, lock, log, studio state | `$XDG_STATE_HOME/flux-tui` (`~/.local/state/flux-tui`) |
//! | what can be made again | `$XDG_CACHE_HOME/flux-tui` (`~/.cache/flux-tui`) |
//!
//! The socket is not in `$XDG_RUNTIME_DIR`, because that goes at the last logout and the worker
//! stays.

use std::path::{Path, PathBuf};

/// The four directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Configuration, themes, keymap.
    pub config: PathBuf,
    /// Pictures and the library.
    pub data: PathBuf,
    /// Socket, lock, log.
    pub state: PathBuf,
    /// What can be made again.
    pub cache: PathBuf,
}

/// No home directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("neither HOME nor XDG_{0}_HOME is set to an absolute path: set one of them")]
pub struct NoHome(&'static str);

impl Paths {
    /// From the environment.
    ///
    /// # Errors
    /// When neither `HOME` nor the XDG variable is an absolute path.
    pub fn from_env() -> Result<Self, NoHome> {
        Self::from_lookup(|name| std::env::var_os(name).map(PathBuf::from))
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<PathBuf>) -> Result<Self, NoHome> {
        let absolute = |name: &str| lookup(name).filter(|path| path.is_absolute());
        let base = |variable: &'static str, default: &str| {
            absolute(&format!("XDG_{variable}_HOME"))
                .or_else(|| absolute("HOME").map(|home| home.join(default)))
                .map(|base| base.join("flux-tui"))
                .ok_or(NoHome(variable))
        };
        Ok(Self {
            config: base("CONFIG", ".config")?,
            data: base("DATA", ".local/share")?,
            state: base("STATE", ".local/state")?,
            cache: base("CACHE", ".cache")?,
        })
    }

    /// All of them under one directory; for tests.
    #[must_use]
    pub fn under(root: &Path) -> Self {
        let [config, data, state, cache] = ["config", "data", "state", "cache"].map(|name| root.join(name));
        Self { config, data, state, cache }
    }

    /// Finished pictures, in one directory a day.
    #[must_use]
    pub fn pictures(&self) -> PathBuf {
        self.data.join("pictures")
    }

    /// The SQLite database of jobs and pictures.
    #[must_use]
    pub fn library(&self) -> PathBuf {
        self.data.join("library.sqlite3")
    }

    /// The record of what was fetched into the hubs' caches.
    #[must_use]
    pub fn fetched(&self) -> PathBuf {
        self.data.join("fetched.json")
    }

    /// What the encoders made of prompts.
    #[must_use]
    pub fn prompts(&self) -> PathBuf {
        self.cache.join("prompts")
    }

    /// Transformers that were converted to fp8.
    #[must_use]
    pub fn converted(&self) -> PathBuf {
        self.cache.join("converted")
    }

    /// What products on cards are fastest by.
    #[must_use]
    pub fn products(&self) -> PathBuf {
        self.cache.join("products")
    }

    /// The worker's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.state.join("worker.sock")
    }

    /// Locked by the running worker for as long as it lives.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.state.join("worker.lock")
    }

    /// What the studio remembers from one time to the next.
    #[must_use]
    pub fn studio(&self) -> PathBuf {
        self.state.join("studio.json")
    }

    /// The worker's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.state.join("worker.log")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(pairs: &'static [(&str, &str)]) -> Result<Paths, NoHome> {
        Paths::from_lookup(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
        })
    }

    #[test]
    fn home_with_spaces_and_chinese_is_kept_as_it_is() {
        let paths = lookup(&[("HOME", "/home/测试 目录")]).expect("HOME is absolute");
        assert_eq!(paths.socket(), Path::new("/home/测试 目录/.local/state/flux-tui/worker.sock"));
    }

    #[test]
    fn xdg_wins_over_home_but_only_when_absolute() {
        let paths = lookup(&[("HOME", "/h"), ("XDG_DATA_HOME", "/d"), ("XDG_STATE_HOME", "rel")]);
        let paths = paths.expect("HOME is absolute");
        assert_eq!(paths.data, Path::new("/d/flux-tui"));
        assert_eq!(paths.state, Path::new("/h/.local/state/flux-tui"));
    }

    #[test]
    fn no_home_is_an_error_that_says_what_to_set() {
        assert_eq!(lookup(&[]), Err(NoHome("CONFIG")));
    }
}
