//! The worker's log: a file of bounded size, turned over when the worker starts.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use super::WorkerError;

/// A log that is longer than this when a worker starts becomes the old one.
const LENGTH_MAX: u64 = 5 << 20;
/// The environment variable that says what is logged: `debug`, `flux_tui::worker=trace` …
const LEVEL: &str = "FLUX_TUI_LOG";

/// Opens the log for appending; a long one is first renamed to end in `.1`.
///
/// # Errors
/// When it cannot be opened.
pub fn open(path: &Path) -> Result<File, WorkerError> {
    turn_over(path)
        .and_then(|()| File::options().create(true).append(true).mode(0o600).open(path))
        .map_err(|source| WorkerError::File { path: path.to_owned(), what: "opened", source })
}

fn turn_over(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(log) if log.len() > LENGTH_MAX => {
            let mut old = path.as_os_str().to_owned();
            old.push(".1");
            fs::rename(path, old)
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Sends every log line of this process to the file, panics too.
pub fn install(log: File) {
    let level = EnvFilter::try_from_env(LEVEL).unwrap_or_else(|_| EnvFilter::new("info"));
    let to_file =
        tracing_subscriber::fmt().with_env_filter(level).with_ansi(false).with_writer(Mutex::new(log));
    // Somebody else's subscriber stays: tests have one.
    let _ = to_file.try_init();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let trace = std::backtrace::Backtrace::capture();
        tracing::error!(thread = std::thread::current().name(), %trace, "{panic}");
        usual(panic);
    }));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "the worker starts");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_turned_over_once_and_a_short_one_goes_on() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("worker.log");
        fs::write(&path, vec![b'x'; 6 << 20]).expect("it can be written");
        open(&path).expect("it can be opened");
        assert_eq!(fs::metadata(&path).expect("it is there").len(), 0);
        let old = directory.path().join("worker.log.1");
        assert_eq!(fs::metadata(&old).expect("the old one is there").len(), 6 << 20);
        fs::write(&path, "short\n").expect("it can be written");
        open(&path).expect("it can be opened");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "short\n");
    }
}
