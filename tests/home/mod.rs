//! A person's home directory for a test, and the real program run in it with a deadline.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use portable_pty::CommandBuilder;

/// How long any one command may take. A debug build on a busy machine loads and draws in seconds.
const WITHIN: Duration = Duration::from_secs(120);

/// What the tester's environment may say of another home.
const OTHERS: [&str; 10] = [
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "MODELSCOPE_CACHE",
    "TMUX",
    "COLORTERM",
];

/// A home directory whose name has a space and Chinese characters. A worker started in it is ended
/// when the test ends.
pub struct Home {
    directory: tempfile::TempDir,
    path: PathBuf,
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("测试 目录");
        std::fs::create_dir(&path).expect("a home directory");
        Self { directory, path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the worker's socket is.
    pub fn socket(&self) -> PathBuf {
        self.path.join(".local/state/flux-tui/worker.sock")
    }

    /// The program, to be run in this home.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flux-tui"));
        for name in OTHERS {
            command.env_remove(name);
        }
        command.env("HOME", &self.path).current_dir(&self.path).args(arguments).stdin(Stdio::null());
        command
    }

    /// The studio, to be run in this home in a terminal.
    pub fn studio(&self) -> CommandBuilder {
        self.inside(CommandBuilder::new(env!("CARGO_BIN_EXE_flux-tui")))
    }

    /// A program that is to be run in a terminal, in this home.
    pub fn inside(&self, mut command: CommandBuilder) -> CommandBuilder {
        for name in OTHERS {
            command.env_remove(name);
        }
        command.env("HOME", &self.path);
        command.cwd(&self.path);
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        finish(start(&mut self.command(arguments)))
    }

    /// Runs the program with that on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut child = start(self.command(arguments).stdin(Stdio::piped()));
        let mut stdin = child.stdin.take().expect("it is piped");
        let input = input.to_vec();
        // A program that reads only a part closes the pipe: no matter.
        let writer = thread::spawn(move || drop(stdin.write_all(&input)));
        let ran = finish(child);
        writer.join().expect("writing does not panic");
        ran
    }

    /// What is in the home directory.
    pub fn entries(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).expect("the home directory");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    /// Asks for the worker's status until `wanted` holds, and gives that status.
    pub fn status_when(&self, what: &str, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let until = std::time::Instant::now() + WITHIN;
        loop {
            let status = self.run(&["worker", "status", "--json"]).json();
            if wanted(&status) {
                return status;
            }
            assert!(std::time::Instant::now() < until, "not within {WITHIN:?}: {what}; last: {status}");
        }
    }
}

impl Home {
    /// Asks for a grid until `wanted` holds, and gives that.
    pub fn grid_when(
        &self,
        id: i64,
        what: &str,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let until = std::time::Instant::now() + WITHIN;
        loop {
            let grid = self.run(&["grids", "open", &id.to_string(), "--json"]).json();
            if wanted(&grid) {
                return grid;
            }
            assert!(std::time::Instant::now() < until, "not within {WITHIN:?}: {what}; last: {grid}");
        }
    }
}

/// A program that is not waited for, and whose words nobody reads.
pub fn start_in_background(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.socket().exists() {
            let ended = finish(start(&mut self.command(&["worker", "stop"])));
            if !thread::panicking() {
                assert_eq!(ended.code, 0, "the worker could not be ended: {ended:?}");
            }
        }
    }
}

impl Ran {
    /// Standard output as exactly one JSON value on one line.
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.stdout.lines().count(), 1, "not one line: {self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// That it was refused as a matter of usage, said all of `parts`, and did nothing.
    #[track_caller]
    pub fn refused_with(&self, parts: &[&str]) {
        self.ended_with(2, parts);
        assert_eq!(self.stdout, "", "a refusal prints no result");
    }

    /// That it ended with `code` and said all of `parts` on standard error, without a panic.
    #[track_caller]
    pub fn ended_with(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in {self:?}");
        }
    }

    /// That all went well; gives standard output.
    #[track_caller]
    pub fn done(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        &self.stdout
    }
}

/// Starts a command with its output piped.
pub fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// Waits until the command has ended and its output is closed: whoever it started must not keep
/// its output open, or a shell's pipe would hang.
pub fn finish(mut child: Child) -> Ran {
    let (sender, ends) = mpsc::channel();
    let stdout = child.stdout.take().map(|out| collect(out, sender.clone()));
    let stderr = child.stderr.take().map(|out| collect(out, sender.clone()));
    for _ in stdout.iter().chain(&stderr) {
        if ends.recv_timeout(WITHIN).is_err() {
            child.kill().expect("it can be killed");
            panic!("the command did not end, or left its output open, within {WITHIN:?}");
        }
    }
    let text = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
        let bytes = reader.map_or_else(Vec::new, |reader| reader.join().expect("reading does not panic"));
        String::from_utf8(bytes).expect("our output is UTF-8")
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    let status = child.wait().expect("it has ended");
    // A signal is told as a shell tells it.
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    let code = status.code().or(signal.map(|signal| 128 + signal)).expect("a code or a signal");
    Ran { code, stdout, stderr }
}

fn collect(mut from: impl Read + Send + 'static, end: mpsc::Sender<()>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = end.send(());
        bytes
    })
}
