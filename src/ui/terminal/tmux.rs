//! tmux between the studio and the terminal: who looks at the pane, what it passes on, and how that is wrapped.
//!
//! tmux answers for itself when it is asked as a terminal, so the terminal around it is found by asking tmux:
//! `display-message` and `list-clients`, whose formats are told in tmux(1), "FORMATS".

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// How long tmux may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most that is read of what it says: a few hundred clients.
const ANSWER_BYTES: u64 = 64 << 10;
/// What one line is asked to say, fields between tabs.
const PANE: &str = "pane\t#{allow-passthrough}\t#{version}";
const CLIENT: &str = concat!(
    "client\t#{client_pid}\t#{client_termtype}\t#{client_termname}\t#{client_termfeatures}",
    "\t#{client_cell_width}\t#{client_cell_height}"
);

/// What tmux says of the pane that the studio is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tmux {
    /// Whether what is wrapped reaches the terminals (`allow-passthrough`).
    pub passes: bool,
    /// The terminals that show the pane's session.
    pub clients: Vec<Client>,
}

/// A terminal that is attached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// tmux's process in it: one that is attached anew has another.
    pub pid: u32,
    /// What it says of itself (XTVERSION), or the name in its `TERM`.
    pub name: String,
    /// What tmux knows that it can do.
    pub features: Vec<String>,
    /// One cell in pixels, where tmux knows.
    pub cell: Option<(u16, u16)>,
}

impl Client {
    /// Whether tmux knows this of it.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }
}

impl Tmux {
    /// From what it said: a line `pane` and a line `client` for each; others are passed over.
    #[must_use]
    pub fn parse(said: &str) -> Self {
        let mut found = Self::default();
        for line in said.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            match fields[..] {
                ["pane", passes, version] => found.passes = passes_on(passes, version),
                ["client", pid, kind, name, features, width, height] => found.clients.push(Client {
                    pid: pid.parse().unwrap_or(0),
                    name: if kind.is_empty() { name } else { kind }.to_owned(),
                    features: features.split(',').map(str::to_owned).collect(),
                    cell: cell(width, height),
                }),
                _ => {}
            }
        }
        found
    }

    /// Asks tmux, within two seconds.
    ///
    /// # Errors
    /// When there is no tmux, or it says nothing in that time.
    pub async fn ask() -> io::Result<Self> {
        let pane = std::env::var("TMUX_PANE").unwrap_or_default();
        let target: &[&str] = if pane.is_empty() { &[] } else { &["-t", &pane] };
        let mut command = Command::new("tmux");
        command.arg("display-message").arg("-p").args(target).arg(PANE);
        command.arg(";").arg("list-clients").args(target).args(["-F", CLIENT]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let answered = tokio::time::timeout(PATIENCE, said(command)).await;
        answered.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?.map(|said| Self::parse(&said))
    }
}

async fn said(mut command: Command) -> io::Result<String> {
    let mut child = command.spawn()?;
    let mut bytes = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(ANSWER_BYTES).read_to_end(&mut bytes).await?;
    }
    let status = child.wait().await?;
    if status.success() {
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    } else {
        Err(io::Error::other(format!("tmux ended with {status}")))
    }
}

/// `1` or `on`, and `all` for panes that nobody sees too. Before 3.3 there was no such option, and all was passed on.
fn passes_on(option: &str, version: &str) -> bool {
    match option {
        "" => super::facts::version(version) < (3, 3),
        "0" | "off" => false,
        _ => true,
    }
}

fn cell(width: &str, height: &str) -> Option<(u16, u16)> {
    let (width, height) = (width.parse().ok()?, height.parse().ok()?);
    (width > 0 && height > 0).then_some((width, height))
}

/// What tmux passes on to the terminal as it is, where [`Tmux::passes`]; elsewhere it is dropped.
#[must_use]
pub fn wrapped(bytes: &str) -> String {
    format!("\x1bPtmux;{}\x1b\\", bytes.replace('\x1b', "\x1b\x1b"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_on_has_its_escapes_doubled() {
        assert_eq!(
            wrapped("\x1b_Ga=d,q=2\x1b\\"),
            "\x1bPtmux;\x1b\x1b_Ga=d,q=2\x1b\x1b\\\x1b\\",
            "golden bytes"
        );
    }

    #[test]
    fn what_tmux_says() {
        let said = "pane\t1\t3.3a\nclient\t71\tkitty(0.35.2)\txterm-kitty\t256,RGB,title\t9\t18\n\
                    client\t72\t\txterm-256color\t\t\t\nsomething else\n";
        let client = |pid, name: &str, features: &[&str], cell| Client {
            pid,
            name: name.to_owned(),
            features: features.iter().map(|name| (*name).to_owned()).collect(),
            cell,
        };
        let clients = vec![
            client(71, "kitty(0.35.2)", &["256", "RGB", "title"], Some((9, 18))),
            client(72, "xterm-256color", &[""], None),
        ];
        assert_eq!(Tmux::parse(said), Tmux { passes: true, clients });
        assert_eq!(Tmux::parse(""), Tmux::default());
    }

    #[test]
    fn what_the_option_is_in_each_version() {
        for (option, version, passes) in [
            ("1", "3.3a", true),
            ("0", "3.3a", false),
            ("on", "3.4", true),
            ("all", "3.5a", true),
            ("off", "3.4", false),
            ("", "3.2a", true),
            ("", "3.4", false),
            ("", "", true),
        ] {
            assert_eq!(passes_on(option, version), passes, "{option:?} {version:?}");
        }
    }
}
