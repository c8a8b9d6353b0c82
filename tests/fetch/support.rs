//! A home, a server and the library's own `pull`, with little patience.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use flux_tui::catalog::Place;
use flux_tui::fetch::{Cancel, FetchError, Fetched, Hubs, Notice, Observer, Options, Progress, Wanted, pull};

use super::server::Server;

/// A home whose name has a space and Chinese characters, and a server that both hubs' variables name.
pub struct Site {
    _directory: tempfile::TempDir,
    pub home: PathBuf,
    pub server: Server,
    pub token: Option<&'static str>,
    pub options: Options,
    pub stall: u32,
}

/// Remembers what it is told.
#[derive(Debug, Default)]
pub struct Told(pub Mutex<Vec<Notice>>, pub Mutex<Vec<Progress>>);

impl Observer for Told {
    fn progress(&self, progress: &Progress) {
        self.1.lock().expect("no panic").push(progress.clone());
    }

    fn notice(&self, notice: &Notice) {
        self.0.lock().expect("no panic").push(notice.clone());
    }
}

impl Told {
    pub fn any(&self, wanted: impl Fn(&Notice) -> bool) -> bool {
        self.0.lock().expect("no panic").iter().any(wanted)
    }
}

impl Site {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let home = directory.path().join("测试 目录");
        std::fs::create_dir(&home).expect("room");
        let options =
            Options { piece: 64 * 1024, backoff: Duration::from_millis(5), tries: 3, ..Options::default() };
        Self { _directory: directory, home, server: Server::start(), token: None, options, stall: 20 }
    }

    pub fn hubs(&self) -> Hubs {
        let (home, endpoint) = (self.home.as_os_str().to_owned(), self.server.endpoint());
        Hubs::from_lookup(|name| match name {
            "HOME" => Some(home.clone()),
            "HF_ENDPOINT" | "MODELSCOPE_ENDPOINT" => Some(endpoint.clone().into()),
            "HF_TOKEN" | "MODELSCOPE_API_TOKEN" => self.token.map(Into::into),
            "HF_HUB_DOWNLOAD_TIMEOUT" => Some(self.stall.to_string().into()),
            _ => None,
        })
        .expect("these can be used")
    }

    /// Fetches one file.
    pub fn pull(&self, address: &str) -> Result<Fetched, FetchError> {
        self.pull_told(&address.parse::<Place>().expect("an address").into(), &Told::default())
    }

    /// Fetches one file and remembers what is told.
    pub fn pull_told(&self, wanted: &Wanted, told: &Told) -> Result<Fetched, FetchError> {
        let wanted = std::slice::from_ref(wanted);
        pull(wanted, &self.hubs(), &self.options, told, &Cancel::default())?.remove(0)
    }

    /// Fetches one file, which must succeed, and gives its content.
    #[track_caller]
    pub fn content(&self, address: &str) -> Vec<u8> {
        let fetched = self.pull(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        std::fs::read(&fetched.file).expect("it is there")
    }

    /// Fetches one file, which must fail.
    #[track_caller]
    pub fn failure(&self, address: &str) -> FetchError {
        self.pull(address).map(|fetched| panic!("{fetched:?}")).unwrap_or_else(|error| error)
    }

    /// All files below the home whose names end so.
    pub fn files(&self, suffix: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.home, &mut |path| {
            if path.to_string_lossy().ends_with(suffix) {
                found.push(path.to_owned());
            }
        });
        found
    }

    /// That no file looks finished: nothing but parts, records and locks.
    #[track_caller]
    pub fn nothing_is_finished(&self) {
        let mut found = Vec::new();
        walk(&self.home, &mut |path| found.push(path.to_owned()));
        let unfinished = |path: &PathBuf| {
            [".flux-part", ".flux-part.json", ".lock"].iter().any(|end| path.to_string_lossy().ends_with(end))
        };
        found.retain(|path| !unfinished(path));
        assert_eq!(found, Vec::<PathBuf>::new());
    }
}

fn walk(folder: &Path, seen: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) { walk(&path, seen) } else { seen(&path) }
    }
}

/// Bytes that no two pieces have in common.
pub fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ length as u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).take(length.div_ceil(8)).flatten().take(length).collect()
}
