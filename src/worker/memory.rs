//! Memory that a freed model leaves behind goes back to the system: what the allocator keeps for itself, and the pages of
//! the built-in weights, which are in the program's file and are read again when they are needed.
#![allow(unsafe_code)] // advice to the allocator and to the system about pages; neither changes what memory holds

use std::ffi::c_void;

use rustix::mm::{Advice, madvise};

/// A multiple of the size of a page on every machine: 4, 16 or 64 KiB.
const PAGES: usize = 64 << 10;

/// Gives it back.
pub(super) fn give_back(built_in: impl Iterator<Item = &'static [u8]>) {
    trim();
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
    fn what_was_given_back_is_there_again_with_the_same_bytes() {
        static BYTES: &[u8] = include_bytes!("../../models/nano/ae.safetensors");
        let before = BYTES.to_vec();
        give_back([BYTES, &BYTES[..0], &BYTES[7..9]].into_iter());
        assert_eq!(BYTES, before);
    }
}
