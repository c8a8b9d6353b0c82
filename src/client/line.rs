//! A line to another machine: the program that carries it (`ssh`), what it says on stderr, and its end.

use std::fmt;
use std::io::{self, Write as _};
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How much of what the program said last is kept, in bytes.
const SAID_MAX: usize = 2048;
/// How many lines of it are shown.
const LINES_MAX: usize = 3;
/// How long a program that carries nothing more is waited for.
const LEAVE: Duration = Duration::from_secs(2);
/// How long its last words are waited for: whatever it left behind may hold its stderr open for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Another machine as `ssh` is told of it: `server`, `user@server`, a name in `~/.ssh/config`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName(String);

/// Not the name of a machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no machine's name: give what ssh takes, like server, user@server or a Host of ~/.ssh/config"
)]
pub struct NoHost(String);

/// The longest name, in bytes: a user, and a name of DNS.
const NAME_MAX: usize = 512;

impl FromStr for HostName {
    type Err = NoHost;
    fn from_str(text: &str) -> Result<Self, NoHost> {
        // A leading dash would be an option to ssh.
        let wrong = |c: char| c.is_whitespace() || c.is_control();
        if text.is_empty() || text.len() > NAME_MAX || text.starts_with('-') || text.contains(wrong) {
            return Err(NoHost(text.chars().take(NAME_MAX).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl HostName {
    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The end of what a program said on stderr.
#[derive(Debug, Default)]
struct Said {
    bytes: Vec<u8>,
    /// It is also written to our stderr, for a person who waits for the connection.
    aloud: bool,
}

impl Said {
    fn hear(&mut self, bytes: &[u8]) {
        if self.aloud {
            // A closed stderr is no reason to have no connection.
            let _ = io::stderr().lock().write_all(bytes);
        }
        self.bytes.extend_from_slice(bytes);
        let over = self.bytes.len().saturating_sub(SAID_MAX);
        self.bytes.drain(..over);
    }

    /// The last lines that say something, one behind the other.
    fn lines(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(LINES_MAX)..].join("; ")
    }
}

/// A running program that carries a connection. Until it does ([`Line::carries`]), it goes when this does.
#[derive(Debug)]
pub(super) struct Line {
    host: HostName,
    /// For messages.
    program: String,
    child: Child,
    said: Arc<Mutex<Said>>,
    quiet: Option<oneshot::Receiver<()>>,
    carries: bool,
}

fn lock(said: &Mutex<Said>) -> MutexGuard<'_, Said> {
    // Each change is whole.
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    /// Starts the program. What it says on stderr is kept, and `aloud` also said until the line [carries](Self::carries).
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn start(
        host: HostName,
        program: &str,
        command: &mut Command,
        aloud: bool,
    ) -> io::Result<(Self, ChildStdout, ChildStdin)> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (Some(stdout), Some(stdin), Some(stderr)) =
            (child.stdout.take(), child.stdin.take(), child.stderr.take())
        else {
            return Err(io::Error::other("it has no pipes"));
        };
        let said = Arc::new(Mutex::new(Said { bytes: Vec::new(), aloud }));
        let (closing, quiet) = oneshot::channel();
        tokio::spawn(listen(stderr, Arc::clone(&said), closing));
        let line =
            Self { host, program: program.to_owned(), child, said, quiet: Some(quiet), carries: false };
        Ok((line, stdout, stdin))
    }

    /// To which machine.
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// From now on it is silent, and may deliver what it was given when we are gone.
    pub fn carries(&mut self) {
        self.carries = true;
        lock(&self.said).aloud = false;
    }

    /// Why it carries nothing more: what it said last, or how it ended.
    pub async fn last_words(&mut self) -> String {
        let ended = timeout(LAST_WORDS, self.child.wait()).await;
        if let Some(quiet) = self.quiet.take() {
            let _ = timeout(LAST_WORDS, quiet).await;
        }
        let said = lock(&self.said).lines();
        match ended {
            _ if !said.is_empty() => said,
            Ok(Ok(status)) => format!("{} ended ({status})", self.program),
            Ok(Err(_)) | Err(_) => format!("{} says nothing", self.program),
        }
    }

    /// How the program ended, if it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Lets it deliver what it has, for a moment; then it goes.
    pub async fn end(mut self) {
        if timeout(LEAVE, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.carries {
            return;
        }
        let pid = self.child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            // Not SIGKILL: it may be asking for a password, with the terminal's echo turned off.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

async fn listen(mut stderr: ChildStderr, said: Arc<Mutex<Said>>, closing: oneshot::Sender<()>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        lock(&said).hear(&buffer[..count]);
    }
    // Nobody may be waiting.
    let _ = closing.send(());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_no_machine() {
        for text in ["", "-oProxyCommand=x", "a b", "a\nb", "\u{1b}[2J", &"x".repeat(600)] {
            let error = text.parse::<HostName>().expect_err(text).to_string();
            assert!(error.contains("user@server"), "{error}");
        }
        for text in ["server", "ann@10.0.0.7", "ssh://ann@server:2222", "[::1]"] {
            assert_eq!(text.parse::<HostName>().expect("a name").as_str(), text);
        }
    }

    #[test]
    fn of_what_was_said_the_last_lines_are_kept() {
        let mut said = Said::default();
        (0..10_000).for_each(|number| said.hear(format!("line {number}\n\n").as_bytes()));
        assert_eq!(said.lines(), "line 9997; line 9998; line 9999");
        assert!(said.bytes.len() <= SAID_MAX);
    }

    #[tokio::test]
    async fn a_line_says_why_it_ended() {
        for (script, why) in [
            ("echo no route to host >&2; exit 255", "no route to host"),
            ("exit 3", "sh ended (exit status: 3)"),
            // What it left behind still has its stderr.
            ("echo gone >&2; sleep 60 & exit 0", "gone"),
        ] {
            let host: HostName = "server".parse().expect("a name");
            let (mut line, _stdout, _stdin) =
                Line::start(host, "sh", Command::new("sh").args(["-c", script]), false).expect("it runs");
            assert_eq!(line.last_words().await, why);
        }
    }

    #[tokio::test]
    async fn one_that_never_carried_anything_goes_with_its_line() {
        let host: HostName = "server".parse().expect("a name");
        let mut command = Command::new("sh");
        command.args(["-c", "trap 'echo bye; exit' TERM; echo here; while :; do read x || :; done"]);
        let (line, mut stdout, _stdin) = Line::start(host, "sh", &mut command, false).expect("it runs");
        let mut here = [0; 5];
        stdout.read_exact(&mut here).await.expect("it speaks");
        drop((line, _stdin));
        let mut rest = String::new();
        let ended = timeout(Duration::from_secs(20), stdout.read_to_string(&mut rest)).await;
        ended.expect("it ends").expect("its output ends");
        assert_eq!(rest, "bye\n");
    }
}
