//! What `flux-tui worker stdio` says first on a line from another machine, before the frames of [`super::frame`] begin,
//! and how a client finds it behind whatever else a login there prints.
//!
//! ```text
//! greetings of a shell … FLUX-TUI BRIDGE 1 READY\n <frames, both ways>
//! greetings of a shell … FLUX-TUI BRIDGE 1 NO WORKER\n <the end>
//! ```

/// A worker is at the other end: frames follow.
pub const READY: &[u8] = b"FLUX-TUI BRIDGE 1 READY\n";
/// None runs, and none was to be started: nothing follows.
pub const NO_WORKER: &[u8] = b"FLUX-TUI BRIDGE 1 NO WORKER\n";

/// The most bytes that may come before either of them.
pub const BEFORE_MAX: usize = 64 << 10;
/// How much of the first line that came instead is kept, in bytes.
const FIRST_LINE: usize = 200;

/// What was found on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Neither yet.
    Waits,
    /// A worker; its frames begin at this place of the bytes that were given last.
    Ready(usize),
    /// No worker.
    NoWorker,
    /// [`BEFORE_MAX`] bytes of something else.
    TooMuch,
}

/// Looks for [`READY`] and [`NO_WORKER`] in bytes that come piece by piece. Of what comes before it keeps the first
/// line that is not empty, and as much of the end as may be the beginning of either.
#[derive(Debug, Default)]
pub struct Search {
    end: Vec<u8>,
    seen: usize,
    first: Vec<u8>,
    /// The first line is whole.
    complete: bool,
}

impl Search {
    /// Takes the next bytes.
    pub fn take(&mut self, bytes: &[u8]) -> Opening {
        let kept = self.end.len();
        self.end.extend_from_slice(bytes);
        let ready = find(&self.end, READY);
        let before = ready.or_else(|| find(&self.end, NO_WORKER)).unwrap_or(self.end.len());
        self.note(kept, before);
        if let Some(at) = ready {
            // It ends in the new bytes, or it would have been found before.
            return Opening::Ready((at + READY.len()).saturating_sub(kept));
        }
        if before < self.end.len() {
            return Opening::NoWorker;
        }
        self.seen += bytes.len();
        if self.seen > BEFORE_MAX {
            return Opening::TooMuch;
        }
        let keep = self.end.len().saturating_sub(NO_WORKER.len().max(READY.len()) - 1);
        self.end.drain(..keep);
        Opening::Waits
    }

    /// The first line of what came instead; empty when nothing did.
    #[must_use]
    pub fn first_line(&self) -> String {
        String::from_utf8_lossy(&self.first).trim().to_owned()
    }

    fn note(&mut self, from: usize, to: usize) {
        for byte in self.end.get(from..to).unwrap_or_default() {
            match byte {
                _ if self.complete => return,
                b'\n' | b'\r' => self.complete = !self.first.trim_ascii().is_empty(),
                _ if self.first.len() < FIRST_LINE => self.first.push(*byte),
                _ => {}
            }
        }
    }
}

fn find(bytes: &[u8], line: &[u8]) -> Option<usize> {
    bytes.windows(line.len()).position(|window| window == line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_wherever_it_is_cut() {
        let whole = [b"Welcome!\nFLUX-TUI BRIDGE 1 \xff motd", READY, b"\0\0\0\x01x"].concat();
        for cut in 0..=whole.len() {
            let mut search = Search::default();
            let begin = match (search.take(&whole[..cut]), cut) {
                (Opening::Ready(at), _) => at,
                (Opening::Waits, cut) => match search.take(&whole[cut..]) {
                    Opening::Ready(at) => cut + at,
                    other => panic!("{other:?} behind {cut}"),
                },
                (other, _) => panic!("{other:?} before {cut}"),
            };
            assert_eq!(&whole[begin..], b"\0\0\0\x01x", "cut at {cut}");
            assert!(cut < 8 || search.first_line() == "Welcome!", "{:?}", search.first_line());
        }
    }

    #[test]
    fn no_worker_is_told_from_a_worker() {
        let mut search = Search::default();
        assert_eq!(search.take(b"\n  \nhello"), Opening::Waits);
        assert_eq!(search.take(NO_WORKER), Opening::NoWorker);
    }

    #[test]
    fn what_never_ends_is_given_up_and_its_first_line_kept_short() {
        let mut search = Search::default();
        let piece = [b'x'; 4096];
        let pieces = (0..).take_while(|_| search.take(&piece) == Opening::Waits).count();
        assert_eq!(pieces, BEFORE_MAX / piece.len());
        assert_eq!(search.first_line().len(), FIRST_LINE);
        assert!(search.end.len() < 2 * piece.len());
    }
}
