//! A worker on another machine, reached over `ssh HOST flux-tui worker stdio`. OpenSSH has the transport, the keys, the
//! jump hosts and the passwords; no port is opened.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{ChildStdout, Command};
use tokio::time::timeout;

use super::line::{HostName, Line};
use super::{Client, ClientError, Events};
use crate::wire::bridge::{Opening, Search};

/// What ssh is told beside what a person has configured, which goes before it: a connection of its own purpose, and a
/// dead line noticed within 20 seconds.
const OPTIONS: [&str; 6] = [
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ConnectTimeout=15",
    "ClearAllForwardings=yes",
    "RemoteCommand=none",
    "ForwardX11=no",
];
/// How long a machine may take until its worker answers, where nobody is asked for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// The exit code of a shell that does not find a program.
const NOT_FOUND: i32 = 127;

/// Where a worker on another machine is and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The machine.
    pub host: HostName,
    /// The program that reaches it and its first arguments: `ssh`, `-J`, `gate`.
    pub command: Vec<String>,
    /// What is run there, by its shell: `flux-tui`, `/opt/flux-tui/bin/flux-tui`.
    pub program: String,
}

/// Whether ssh may ask for a password, or whether a host's key is to be trusted. It asks on the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// Never: somebody else has the terminal.
    Never,
    /// It may.
    Here,
    /// It may, and Ctrl-C does not end it: whoever called hears it and has something to say to the worker first.
    HereUninterrupted,
}

impl Remote {
    /// Connects; starts a worker there if none runs and `start` says so.
    ///
    /// # Errors
    /// [`ClientError::NoLine`] with what ssh said, or what came instead of an answer; [`ClientError::NoWorker`].
    pub async fn connect(&self, asking: Asking, start: bool) -> Result<(Client, Events), ClientError> {
        let mut command = self.command(asking, start)?;
        let program = self.command.first().map_or("ssh", String::as_str);
        let (mut line, mut stdout, stdin) =
            Line::start(self.host.clone(), program, &mut command, asking != Asking::Never)
                .map_err(|error| self.no_line(format!("{program} could not be run: {error}")))?;
        let mut search = Search::default();
        let opening = open(&mut stdout, &mut search);
        let opened = match asking {
            // However long a person takes to find a password.
            Asking::Here | Asking::HereUninterrupted => opening.await,
            Asking::Never => match timeout(PATIENCE, opening).await {
                Ok(opened) => opened,
                Err(_) => Opened::Silent,
            },
        };
        match opened {
            Opened::Ready(rest) => {
                line.carries();
                Client::greet(std::io::Cursor::new(rest).chain(stdout), stdin, Some(line)).await
            }
            Opened::NoWorker => Err(ClientError::NoWorker),
            other => Err(self.no_line(self.reason(&other, &search, &mut line, asking).await)),
        }
    }

    fn no_line(&self, reason: String) -> ClientError {
        ClientError::NoLine { host: self.host.to_string(), reason }
    }

    fn command(&self, asking: Asking, start: bool) -> Result<Command, ClientError> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(self.no_line("no program is configured that reaches it".to_owned()));
        };
        let mut command = match asking {
            Asking::HereUninterrupted => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "trap '' INT; exec \"$0\" \"$@\"", program]);
                shell
            }
            Asking::Here | Asking::Never => Command::new(program),
        };
        command.args(arguments).arg("-T");
        for option in OPTIONS {
            command.args(["-o", option]);
        }
        if asking == Asking::Never {
            // Not of the terminal's group: its Ctrl-C and Ctrl-Z mean somebody else.
            command.args(["-o", "BatchMode=yes"]).process_group(0);
        }
        let start = if start { "" } else { " --no-start" };
        command.arg("--").arg(self.host.as_str()).arg(format!("{} worker stdio{start}", self.program));
        Ok(command)
    }

    /// Why there is no line, and what would help.
    async fn reason(&self, opened: &Opened, search: &Search, line: &mut Line, asking: Asking) -> String {
        let first = search.first_line();
        let instead = if first.is_empty() { String::new() } else { format!("; it printed {first:?} first") };
        let said = match opened {
            Opened::TooMuch => "what it prints does not end, and no worker answers".to_owned(),
            Opened::Silent => format!("no worker answers there within {} s", PATIENCE.as_secs()),
            _ => line.last_words().await,
        };
        let host = &self.host;
        let help = if line.status().and_then(|status| status.code()) == Some(NOT_FOUND) {
            let program = &self.program;
            format!(
                ". {program} is not found there: install flux-tui on {host}, or say where it is with program = \
                 \"/where/it/is/flux-tui\" under [host] in config.toml here"
            )
        } else if asking == Asking::Never && said.contains("Permission denied") {
            ". ssh may not ask for a password while the studio is open: leave it and start it again, or use a key"
                .to_owned()
        } else {
            String::new()
        };
        format!("{said}{instead}{help}")
    }
}

/// What came of waiting for a worker's first line.
enum Opened {
    /// It is there; these bytes came behind it.
    Ready(Vec<u8>),
    NoWorker,
    TooMuch,
    Silent,
    /// The line ended.
    Ended,
}

async fn open(stdout: &mut ChildStdout, search: &mut Search) -> Opened {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stdout.read(&mut buffer).await {
        match search.take(&buffer[..count]) {
            Opening::Waits => {}
            Opening::Ready(at) => return Opened::Ready(buffer[at..count].to_vec()),
            Opening::NoWorker => return Opened::NoWorker,
            Opening::TooMuch => return Opened::TooMuch,
        }
    }
    Opened::Ended
}
