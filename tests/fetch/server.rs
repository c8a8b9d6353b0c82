//! A server that speaks the file APIs of Hugging Face and ModelScope on this machine, and misbehaves on demand.
//!
//! Each connection has a thread. Files are bytes in memory; what a request met is written down for the tests to read.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// How the server treats one file.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// Sends so many bytes of each answer and closes; so many times.
    pub cut: Option<(usize, u32)>,
    /// Sends so many bytes of each answer and then nothing; so many times.
    pub stall: Option<(usize, u32)>,
    /// Answers so to the first requests for content: a status and headers; so many times.
    pub refuse: Option<(u16, String, u32)>,
    /// Answers so to every request for its description.
    pub refuse_head: Option<(u16, String)>,
    /// No ranges.
    pub no_ranges: bool,
    /// Says so many bytes instead of the true number when it describes the file.
    pub says: Option<u64>,
    /// Sends the content in chunks of unknown length, with so many bytes more than there are.
    pub extra: usize,
    /// Is named by this instead of by its hash.
    pub etag: Option<String>,
    /// Sends requests for content to this address.
    pub elsewhere: Option<String>,
    /// Waits after each piece of so many bytes.
    pub pace: Option<(usize, Duration)>,
    /// Is in LFS: named by its SHA-256. Otherwise by git's hash.
    pub lfs: bool,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
}

type Files = HashMap<String, (Arc<Vec<u8>>, Manner)>;

#[derive(Debug, Default)]
struct State {
    files: Files,
    /// The commit that every branch is at, if not [`COMMIT`]; and the files of those that it was at before.
    commit: Option<String>,
    before: HashMap<String, Files>,
    /// Moves the branch to a new commit once so many descriptions were given.
    moves: Option<(u32, String, Files)>,
    seen: Vec<Seen>,
    /// The least that was asked of content at once.
    busy: usize,
    busiest: usize,
}

impl State {
    fn commit(&self) -> String {
        self.commit.clone().unwrap_or_else(|| COMMIT.to_owned())
    }

    fn advance(&mut self, commit: &str) {
        let (before, files) = (self.commit(), self.files.clone());
        self.before.insert(before, files);
        self.commit = Some(commit.to_owned());
    }

    /// The files of a revision and its commit; `None` for a commit that there is not. Every other name is a branch.
    fn at(&self, revision: &str) -> Option<(&Files, String)> {
        let is_commit = revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
        match self.before.get(revision) {
            Some(files) => Some((files, revision.to_owned())),
            None if is_commit && revision != self.commit() => None,
            None => Some((&self.files, self.commit())),
        }
    }

    /// A file was described.
    fn described(&mut self) {
        let Some((left, _, _)) = &mut self.moves else { return };
        *left -= 1;
        if let Some((_, commit, files)) = self.moves.take_if(|(left, ..)| *left == 0) {
            self.advance(&commit);
            self.files.extend(files);
        }
    }
}

/// The server; it ends with the test's process.
#[derive(Debug, Clone)]
pub struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
}

/// What a commit is called here.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        let server = Self { port, state: Arc::default() };
        let other = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = other.clone();
                // A client that leaves ends its thread, no more.
                thread::spawn(move || server.serve(&stream).ok());
            }
        });
        server
    }

    /// As `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Publishes a file at `ORG/NAME/PATH`, on both hubs.
    pub fn publish(&self, address: &str, content: Vec<u8>, manner: Manner) {
        self.state().files.insert(address.to_owned(), (Arc::new(content), manner));
    }

    /// Another commit is the branch's from now on, with the files of the last one until others are published.
    pub fn commit(&self, commit: &str) {
        self.state().advance(commit);
    }

    /// The same, once so many more files have been described, with these contents.
    pub fn commit_after(&self, descriptions: u32, commit: &str, files: &[(String, Vec<u8>)]) {
        let mut state = self.state();
        let manner = |address: &String| state.files.get(address).map(|(_, manner)| manner.clone());
        let new = files.iter().map(|(address, content)| {
            (address.clone(), (Arc::new(content.clone()), manner(address).unwrap_or_default()))
        });
        let new = new.collect();
        state.moves = Some((descriptions, commit.to_owned(), new));
    }

    /// Forgets a commit that the branch was at before.
    pub fn forget(&self, commit: &str) {
        self.state().before.remove(commit);
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Requests for content so far.
    pub fn gets(&self) -> Vec<Seen> {
        self.seen()
            .into_iter()
            .filter(|seen| seen.method == "GET" && !seen.path.contains("/repo/files"))
            .collect()
    }

    /// The most answers with content that were under way at once.
    pub fn busiest(&self) -> usize {
        self.state().busiest
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with it")
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(seen) = request(&mut reader)? {
            self.state().seen.push(seen.clone());
            if !self.answer(&seen, stream)? {
                stream.shutdown(std::net::Shutdown::Both)?;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Answers; false when the connection is to be closed.
    fn answer(&self, seen: &Seen, mut out: &TcpStream) -> std::io::Result<bool> {
        if seen.method == "CONNECT" {
            // As a proxy it leads to itself, whatever the host.
            return write!(out, "HTTP/1.1 200 X\r\n\r\n").map(|()| true);
        }
        let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
        if path == "/api/whoami-v2" {
            return plain(out, 200, "", br#"{"name":"somebody"}"#);
        }
        if let Some(repo) =
            path.strip_prefix("/api/v1/models/").and_then(|rest| rest.strip_suffix("/repo/files"))
        {
            let list = self.list(repo);
            return plain(out, 200, "Content-Type: application/json\r\n", list.as_bytes());
        }
        let Some(address) = address(path, query) else { return plain(out, 404, "", b"") };
        let revision = path.split_once("/resolve/").and_then(|(_, rest)| rest.split('/').next());
        let found = self
            .state()
            .at(revision.unwrap_or("main"))
            .map(|(files, commit)| (files.get(&address).cloned(), commit));
        let Some((Some((content, manner)), commit)) = found else {
            let what = if found.is_some() { "EntryNotFound" } else { "RevisionNotFound" };
            let code = revision.map_or_else(String::new, |_| format!("X-Error-Code: {what}\r\n"));
            return plain(out, 404, &code, b"");
        };
        if seen.method == "HEAD" {
            self.state().described();
            return describe(out, &content, &manner, &commit);
        }
        if let Some((status, headers)) = self.take_refusal(&address) {
            return plain(out, status, &headers, b"no");
        }
        if let Some(elsewhere) = &manner.elsewhere {
            return plain(out, 302, &format!("Location: {elsewhere}\r\n"), b"");
        }
        self.busy(1);
        let sent = self.send(seen, &address, &content, &manner, &mut out);
        self.busy(-1);
        sent
    }

    fn busy(&self, change: isize) {
        let mut state = self.state();
        state.busy = state.busy.saturating_add_signed(change);
        state.busiest = state.busiest.max(state.busy);
    }

    fn take_refusal(&self, address: &str) -> Option<(u16, String)> {
        let mut state = self.state();
        let (_, manner) = state.files.get_mut(address)?;
        let (status, headers, times) = manner.refuse.as_mut().filter(|(_, _, times)| *times > 0)?;
        *times -= 1;
        Some((*status, headers.clone()))
    }

    /// After how many bytes this answer ends, and whether by silence.
    fn take_end(&self, address: &str) -> Option<(usize, bool)> {
        let mut state = self.state();
        let (_, manner) = state.files.get_mut(address)?;
        for (end, silent) in [(&mut manner.cut, false), (&mut manner.stall, true)] {
            if let Some((after, times)) = end.as_mut().filter(|(_, times)| *times > 0) {
                *times -= 1;
                return Some((*after, silent));
            }
        }
        None
    }

    fn send(
        &self,
        seen: &Seen,
        address: &str,
        content: &[u8],
        manner: &Manner,
        out: &mut &TcpStream,
    ) -> std::io::Result<bool> {
        let range = seen.headers.get("range").filter(|_| !manner.no_ranges).and_then(|range| {
            let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
        });
        let total = content.len();
        if range.is_some_and(|(first, _)| first >= total) {
            return plain(out, 416, &format!("Content-Range: bytes */{total}\r\n"), b"");
        }
        let (status, part, mut headers) = match range {
            Some((first, last)) => {
                let last = last.min(total - 1);
                (206, &content[first..=last], format!("Content-Range: bytes {first}-{last}/{total}\r\n"))
            }
            None => (200, content, String::new()),
        };
        let length = part.len();
        headers += &match manner.extra {
            0 => format!("Content-Length: {length}\r\n"),
            _ => "Transfer-Encoding: chunked\r\n".to_owned(),
        };
        write!(out, "HTTP/1.1 {status} X\r\n{headers}\r\n")?;
        let end = self.take_end(address);
        let part = &part[..end.map_or(length, |(after, _)| after.min(length))];
        if manner.extra > 0 {
            let body = [part, &vec![7; manner.extra]].concat();
            write!(out, "{:x}\r\n", body.len())?;
            out.write_all(&body)?;
            out.write_all(b"\r\n0\r\n\r\n")?;
            return Ok(true);
        }
        let (step, pause) = manner.pace.unwrap_or((usize::MAX, Duration::ZERO));
        for piece in part.chunks(step) {
            out.write_all(piece)?;
            thread::sleep(pause);
        }
        match end {
            Some((_, true)) => {
                // Silence until the client goes.
                let _ = std::io::Read::read(out, &mut [0]);
                Ok(false)
            }
            Some(_) => Ok(false),
            None => Ok(true),
        }
    }

    fn list(&self, repo: &str) -> String {
        let state = self.state();
        let of = |(address, (content, manner)): (&String, &(Arc<Vec<u8>>, Manner))| {
            let path = address.strip_prefix(&format!("{repo}/"))?;
            let size = manner.says.unwrap_or(content.len() as u64);
            let sha256 = manner.etag.clone().unwrap_or_else(|| sha256(content));
            Some(
                serde_json::json!({"Path": path, "Type": "blob", "Size": size, "Sha256": sha256, "Revision": "r1"}),
            )
        };
        let files: Vec<_> = state.files.iter().filter_map(of).collect();
        serde_json::json!({"Code": 200, "Success": true, "Data": {"Files": files}}).to_string()
    }
}

/// Lower-case hexadecimal SHA-256.
pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn git_hash(content: &[u8]) -> String {
    let hasher = Sha1::new_with_prefix(format!("blob {}\0", content.len()));
    hasher.chain_update(content).finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The answer to a HEAD of Hugging Face: a redirect to its CDN for what is in LFS.
fn describe(out: &TcpStream, content: &[u8], manner: &Manner, commit: &str) -> std::io::Result<bool> {
    if let Some((status, headers)) = &manner.refuse_head {
        return head(out, *status, headers);
    }
    let size = manner.says.unwrap_or(content.len() as u64);
    let commit = format!("X-Repo-Commit: {commit}\r\n");
    if manner.lfs {
        let etag = manner.etag.clone().unwrap_or_else(|| sha256(content));
        let linked = format!(
            "X-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {size}\r\nLocation: http://cdn.invalid/\r\n"
        );
        head(out, 302, &format!("{commit}{linked}ETag: \"not-this\"\r\nContent-Length: 0\r\n"))
    } else {
        let etag = manner.etag.clone().unwrap_or_else(|| git_hash(content));
        head(out, 200, &format!("{commit}ETag: W/\"{etag}\"\r\nContent-Length: {size}\r\n"))
    }
}

fn head(mut out: &TcpStream, status: u16, headers: &str) -> std::io::Result<bool> {
    write!(out, "HTTP/1.1 {status} X\r\n{headers}\r\n").map(|()| true)
}

fn plain(mut out: &TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<bool> {
    write!(out, "HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len())?;
    out.write_all(body).map(|()| true)
}

fn request(reader: &mut impl BufRead) -> std::io::Result<Option<Seen>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(Some(Seen { method, path, headers }));
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

/// The file that a request for content means: by Hugging Face's paths, ModelScope's, or a plain one.
fn address(path: &str, query: &str) -> Option<String> {
    if let Some(repo) = path.strip_prefix("/api/v1/models/").and_then(|rest| rest.strip_suffix("/repo")) {
        let file = query.split('&').find_map(|pair| pair.strip_prefix("FilePath="))?;
        return Some(format!("{repo}/{}", decode(file)));
    }
    match path[1..].split_once("/resolve/") {
        Some((repo, rest)) => Some(format!("{repo}/{}", decode(rest.split_once('/')?.1))),
        None => Some(decode(&path[1..])),
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = (first == b'%').then(|| after.get(..2)).flatten();
        let hex = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(hex.unwrap_or(first));
        rest = if hex.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).expect("the tests ask for text")
}
