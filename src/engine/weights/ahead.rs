//! Reading ahead of use, for files on a network and for large ones that are not in the system's page cache: a mapping asks
//! for a few pages at a time and waits for each answer, so several threads read the file in large pieces, in order, into
//! the page cache, where the mapping finds them.
//!
//! From a FUSE file system that takes 2 ms a read, 512 MiB come at 17 MB/s through a mapping alone and at 275 MB/s so
//! (two busy cores, three runs each, nothing cached). From a local disk that gives 1.7 to 7.3 GB/s to reads of 16 MB, sixteen
//! threads had 1.4 GB/s through a mapping alone (`benches/PERFORMANCE.md`).
//!
//! `FLUX_TUI_READ_AHEAD` is `auto` (files on NFS, SMB, FUSE and their like, and what is not cached; the default), `always` or
//! `never`.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;

/// Bytes of one read.
const PIECE: u64 = 16 << 20;
/// Reads at a time.
const THREADS: usize = 4;
/// Shorter files on a disk of this machine come soon enough by their mapping.
const LONG: u64 = 64 << 20;
/// Pages of a file that are looked for in the cache.
const LOOKS: u64 = 32;
/// So many of them must be missing.
const MISSING: usize = 4;
const VARIABLE: &str = "FLUX_TUI_READ_AHEAD";

/// `f_type` of file systems that are on another machine or behind another process: NFS, SMB (three), FUSE, 9p, Ceph, AFS
/// (two), Lustre, GPFS. From `linux/magic.h` and the file systems' own sources.
const REMOTE: [u64; 11] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x6573_5546,
    0x0102_1997,
    0x00c3_6400,
    0x5346_414f,
    0x6b41_4653,
    0x0bd0_0bd0,
    0x4750_4653,
];

/// When to read ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Auto,
    Always,
    Never,
}

impl Choice {
    fn of(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("" | "auto") => Some(Self::Auto),
            Some("always") => Some(Self::Always),
            Some("never") => Some(Self::Never),
            Some(_) => None,
        }
    }

    /// Whether a file on a file system of this type is read ahead.
    fn holds(self, kind: Option<u64>) -> bool {
        match self {
            Self::Auto => kind.is_some_and(|kind| REMOTE.contains(&kind)),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

static CHOICE: LazyLock<Choice> = LazyLock::new(|| {
    let said = std::env::var(VARIABLE).ok();
    Choice::of(said.as_deref()).unwrap_or_else(|| {
        tracing::warn!("{VARIABLE} is {said:?}; it must be auto, always or never. Taken for auto");
        Choice::Auto
    })
});

/// Whether a file of so many bytes is one to read ahead now.
pub(super) fn wanted(file: &File, length: u64) -> bool {
    // The number is signed on some platforms, and has 32 bits that matter.
    let kind = rustix::fs::fstatfs(file).ok().map(|told| u64::from(told.f_type as u32));
    CHOICE.holds(kind) || *CHOICE == Choice::Auto && length >= LONG && missing(file, length) >= MISSING
}

/// How many of some pages of a file would have to be waited for. Where that cannot be asked, none.
fn missing(file: &File, length: u64) -> usize {
    let page = |look: u64| {
        let mut byte = [0];
        let buffer = &mut [IoSliceMut::new(&mut byte)];
        rustix::io::preadv2(file, buffer, length / LOOKS * look, rustix::io::ReadWriteFlags::NOWAIT)
    };
    (0..LOOKS).filter(|look| page(*look) == Err(rustix::io::Errno::AGAIN)).count()
}

/// A file that is being read ahead, until all of it was read or this is dropped.
#[derive(Debug)]
pub(super) struct Reading {
    stop: Arc<AtomicBool>,
}

impl Reading {
    /// Begins with the first `length` bytes of a file, but no more than memory is free: what would push out the
    /// beginning again is not read.
    pub fn begin(file: File, length: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let length = length.min(free_memory().unwrap_or(u64::MAX));
        let (file, next) = (Arc::new(file), Arc::new(AtomicU64::new(0)));
        for _ in 0..THREADS.min(usize::try_from(length.div_ceil(PIECE)).unwrap_or(THREADS)) {
            let (file, next, stop) = (Arc::clone(&file), Arc::clone(&next), Arc::clone(&stop));
            // Without the thread the file is read by its mapping, as every other.
            let _ = thread::Builder::new()
                .name("read ahead".to_owned())
                .spawn(move || read(&file, length, &next, &stop));
        }
        Self { stop }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Reads piece after piece; gives how many bytes. What cannot be read, the mapping will find.
fn read(file: &File, length: u64, next: &AtomicU64, stop: &AtomicBool) -> u64 {
    let mut buffer = vec![0; PIECE.min(length) as usize];
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let (start, mut at) = (next.fetch_add(PIECE, Ordering::Relaxed), 0);
        let piece = length.saturating_sub(start).min(PIECE) as usize;
        while at < piece {
            match file.read_at(&mut buffer[..piece - at], start + at as u64) {
                Ok(0) | Err(_) => return done + at as u64,
                Ok(read) => at += read,
            }
        }
        if piece == 0 {
            break;
        }
        done += piece as u64;
    }
    done
}

/// Bytes that the system can give without taking from anybody.
fn free_memory() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_on_a_network_are_read_ahead_and_others_by_choice() {
        let of = |text| Choice::of(text).expect("it is known");
        assert_eq!(Choice::of(Some("yes")), None);
        for (choice, nfs, ext4, unknown) in [
            (of(None), true, false, false),
            (of(Some("auto")), true, false, false),
            (of(Some("always")), true, true, true),
            (of(Some("never")), false, false, false),
        ] {
            let holds = [Some(0x6969), Some(0xef53), None].map(|kind| choice.holds(kind));
            assert_eq!(holds, [nfs, ext4, unknown], "{choice:?}");
        }
    }

    #[test]
    fn what_was_just_written_is_cached_and_what_was_let_go_is_not() {
        // Beside the sources: the usual temporary folder may be in memory.
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a folder");
        let path = folder.path().join("weights");
        std::fs::write(&path, vec![1; LONG as usize]).expect("it can be written");
        let file = File::open(&path).expect("it is there");
        assert_eq!(missing(&file, LONG), 0);
        file.sync_all().expect("it can be flushed");
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("it is a file");
        let gone = missing(&file, LONG);
        if gone == 0 {
            eprintln!("this file system does not let pages go, or cannot be asked");
            return;
        }
        assert!(gone >= MISSING && wanted(&file, LONG), "{gone}");
        assert!(!wanted(&file, LONG - 1), "it is short");
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        assert_eq!(read(&file, LONG, &next, &stop), LONG);
        assert_eq!(missing(&file, LONG), 0);
    }

    #[test]
    fn threads_together_read_every_byte_once_and_stop_when_told() {
        let file = tempfile::tempfile().expect("a file");
        let length = 2 * PIECE + 7;
        file.set_len(length).expect("a hole costs nothing");
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let read = || read(&file, length, &next, &stop);
        let done = thread::scope(|scope| {
            [scope.spawn(read), scope.spawn(read)].map(|one| one.join().expect("it ends"))
        });
        assert_eq!(done.iter().sum::<u64>(), length);
        stop.store(true, Ordering::Relaxed);
        next.store(0, Ordering::Relaxed);
        assert_eq!(read(), 0);
        assert!(free_memory().is_some_and(|bytes| bytes > 1 << 20), "{:?}", free_memory());
    }
}
