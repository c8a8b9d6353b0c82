//! Memory that a freed model leaves behind goes back to the system: what the allocator keeps for itself, and pages of the
//! program's file, which are read again when they are needed: the built-in weights, and the code that drew.
#![allow(unsafe_code)] // advice to the allocator and to the system about pages; neither changes what memory holds

use std::ffi::c_void;

use rustix::mm::{Advice, madvise};

/// A multiple of the size of a page on every machine: 4, 16 or 64 KiB.
const PAGES: usize = 64 << 10;

/// Gives it back.
pub(super) fn give_back(built_in: impl Iterator<Item = &'static [u8]>) {
    trim();
    let_code_go();
    for bytes in built_in {
        // Only pages that are wholly within: what else is in the first and the last is somebody else's.
        let start = bytes.as_ptr().align_offset(PAGES);
        let Some(whole) = bytes.get(start..).map(|bytes| &bytes[..bytes.len() / PAGES * PAGES]) else {
            continue;
        };
        // SAFETY: the pages are constants of the program's file, mapped for reading; one that is asked for again is
        // read from that file, with the same bytes.
        let dropped = unsafe {
            madvise(whole.as_ptr().cast_mut().cast::<c_void>(), whole.len(), Advice::LinuxDontNeed)
        };
        if let Err(error) = dropped {
            tracing::debug!(%error, "pages of the built-in weights stay");
        }
    }
}

/// Lets the pages of the program's code go. Those that are still run come back from the page cache; those that only drawing
/// needs do not.
fn let_code_go() {
    let (Ok(maps), Ok(program)) = (std::fs::read_to_string("/proc/self/maps"), std::env::current_exe())
    else {
        return;
    };
    let Some(program) = program.to_str() else { return };
    for (from, bytes) in maps.lines().filter_map(|line| code(line, program)) {
        // SAFETY: the pages are mapped from the program's file for reading and running alone, never written: one that is
        // run again is read from that file, with the same bytes.
        let dropped = unsafe { madvise(from as *mut c_void, bytes, Advice::LinuxDontNeed) };
        if let Err(error) = dropped {
            tracing::debug!(%error, "pages of the program's code stay");
        }
    }
}

/// Where code of the program lies, and its bytes, if a line of `/proc/PID/maps` tells of such: `FROM-TO r-xp … PATH`. What
/// was ever written, relocated constants among it, is mapped otherwise.
fn code(line: &str, program: &str) -> Option<(usize, usize)> {
    let (range, rest) = line.split_once(' ')?;
    if !rest.starts_with("r-xp ") || !rest.ends_with(program) {
        return None;
    }
    let (from, to) = range.split_once('-')?;
    let at = |text| usize::from_str_radix(text, 16).ok();
    let (from, to) = (at(from)?, at(to)?);
    Some((from, to.checked_sub(from)?))
}

/// What the allocator keeps free in each thread's arena.
#[cfg(target_env = "gnu")]
fn trim() {
    unsafe extern "C" {
        fn malloc_trim(pad: usize) -> std::ffi::c_int;
    }
    // SAFETY: glibc's own function, safe on any thread at any time.
    unsafe { malloc_trim(0) };
}

/// Other C libraries give it back themselves, or have no way to be asked.
#[cfg(not(target_env = "gnu"))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_is_let_go() {
        let line = |mode: &str, path: &str| format!("1000-3000 {mode} 00001000 fd:00 42   {path}");
        assert_eq!(code(&line("r-xp", "/bin/it"), "/bin/it"), Some((0x1000, 0x2000)));
        for (mode, path) in
            [("r--p", "/bin/it"), ("rw-p", "/bin/it"), ("r-xp", "/lib/libc.so.6"), ("r-xp", "")]
        {
            assert_eq!(code(&line(mode, path), "/bin/it"), None, "{mode} {path}");
        }
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux tells it");
        let program = std::env::current_exe().expect("a path");
        let own = maps.lines().filter_map(|line| code(line, program.to_str().expect("text")));
        assert!(own.map(|(_, bytes)| bytes).sum::<usize>() > 0, "{maps}");
    }

    #[test]
    fn what_was_given_back_is_there_again_with_the_same_bytes() {
        static BYTES: &[u8] = include_bytes!("../../models/nano/ae.safetensors");
        let before = BYTES.to_vec();
        give_back([BYTES, &BYTES[..0], &BYTES[7..9]].into_iter());
        assert_eq!(BYTES, before);
    }
}
