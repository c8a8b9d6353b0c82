//! `flux-tui worker stdio`: carries bytes between standard input and output and the worker's socket, for a client on
//! another machine. It knows nothing of what they mean.
//!
//! Two threads copy, each with one buffer, so a slow side slows the other and nothing piles up here. The process ends
//! when either side does, and the worker stays.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;

use super::block_on;
use super::failure::Failure;
use crate::client::{self, ClientError};
use crate::paths::Paths;
use crate::wire::bridge::{NO_WORKER, READY};

/// Bytes that are carried at once.
const BUFFER: usize = 64 << 10;

/// Carries bytes until either side ends.
///
/// # Errors
/// When there is no worker and none can be started; when the client's side breaks before a worker is there.
pub(super) fn run(paths: &Paths, start: bool) -> Result<(), Failure> {
    let socket = block_on(async {
        let socket = paths.socket();
        let opened = if start { client::open_or_start(paths).await } else { client::open(&socket).await };
        match opened {
            Ok(stream) => blocking(stream).map(Some).map_err(Failure::Runtime),
            Err(ClientError::NoWorker) => Ok(None),
            Err(error) => Err(error.into()),
        }
    })?;
    // Not through `io::stdout`, which holds back what has no line end.
    let mut output = whole(io::stdout())?;
    let input = whole(io::stdin())?;
    let Some(socket) = socket else { return output.write_all(NO_WORKER).map_err(Failure::Stdout) };
    output.write_all(READY).map_err(Failure::Stdout)?;
    let upwards = socket.try_clone().map_err(Failure::Runtime)?;
    let (ended, over) = mpsc::channel();
    let client_ended = ended.clone();
    thread::spawn(move || {
        // A worker that takes nothing more may still have something to say: its end is the other thread's to see.
        if carry(input, upwards) == End::Source {
            let _ = client_ended.send(());
        }
    });
    thread::spawn(move || {
        carry(socket, output);
        let _ = ended.send(());
    });
    // The second thread always says so. Either may still wait for its side; they end with the process.
    let _ = over.recv();
    Ok(())
}

/// A descriptor of this process, without the standard library's buffer.
fn whole(of: impl AsFd) -> Result<File, Failure> {
    of.as_fd().try_clone_to_owned().map(File::from).map_err(Failure::Stdout)
}

fn blocking(stream: tokio::net::UnixStream) -> io::Result<UnixStream> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Which side ended a copy.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Nothing more came.
    Source,
    /// Nothing more is taken.
    Sink,
}

fn carry(mut from: impl Read, mut to: impl Write) -> End {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return End::Source,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return End::Source,
        };
        if to.write_all(&buffer[..count]).is_err() {
            return End::Sink;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_carried_and_the_end_is_told_from_a_closed_sink() {
        let bytes: Vec<u8> = (0..3 * BUFFER + 7).map(|at| (at % 251) as u8).collect();
        let mut carried = Vec::new();
        assert_eq!(carry(&bytes[..], &mut carried), End::Source);
        assert_eq!(carried, bytes);
        let mut small = [0; 10];
        assert_eq!(carry(&bytes[..], &mut small[..]), End::Sink);
    }
}
