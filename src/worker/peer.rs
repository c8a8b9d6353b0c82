//! Who a client is, as far as its socket and the system tell: for the log.

use std::fmt;
use std::fs;

use tokio::net::UnixStream;

/// The list of users.
const USERS: &str = "/etc/passwd";

/// The process at the other end of a connection.
#[derive(Debug, Default)]
pub(super) struct Peer {
    uid: Option<u32>,
    user: Option<String>,
    pid: Option<i32>,
    terminal: Option<String>,
}

impl Peer {
    /// As it is now: a process that ends later is still told by what it was.
    pub fn of(stream: &UnixStream) -> Self {
        let Ok(credentials) = stream.peer_cred() else { return Self::default() };
        let (uid, pid) = (credentials.uid(), credentials.pid());
        let users = fs::read_to_string(USERS).unwrap_or_default();
        let user = name(&users, uid).map(str::to_owned);
        Self { uid: Some(uid), user, pid, terminal: pid.and_then(terminal) }
    }
}

/// The name of a user in the system's list.
fn name(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then_some(name)
    })
}

/// The terminal that a process reads or writes.
fn terminal(pid: i32) -> Option<String> {
    let mut open = (0..3).filter_map(|file| fs::read_link(format!("/proc/{pid}/fd/{file}")).ok());
    let of_terminal =
        |path: &std::path::PathBuf| path.starts_with("/dev/pts") || path.starts_with("/dev/tty");
    open.find(of_terminal).map(|path| path.display().to_string())
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.user, self.uid) {
            (Some(user), _) => write!(f, "{user}")?,
            (None, Some(uid)) => write!(f, "user {uid}")?,
            (None, None) => f.write_str("somebody")?,
        }
        if let Some(pid) = self.pid {
            write!(f, ", process {pid}")?;
        }
        self.terminal.iter().try_for_each(|terminal| write!(f, ", {terminal}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_as_the_system_names_them() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!((name(users, 1000), name(users, 0), name(users, 7)), (Some("ann"), Some("root"), None));
    }

    #[tokio::test]
    async fn a_client_is_told_by_user_and_process() {
        let (ours, _theirs) = UnixStream::pair().expect("two sockets");
        let told = Peer::of(&ours).to_string();
        assert!(told.contains(&format!("process {}", std::process::id())), "{told}");
        assert!(!told.starts_with("somebody"), "{told}");
        assert_eq!(Peer::default().to_string(), "somebody");
    }
}
