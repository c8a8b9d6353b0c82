//! The terminal as the system has it: the descriptor that keys come from, and the window's size.

use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, OwnedFd};

use crate::ui::event::Window;

/// The terminal to read keys from: standard input, or what the shell says is the terminal when standard input is something
/// else. `None` where standard output is a file or a pipe, or nothing is a terminal.
///
/// # Errors
/// What the system says about the descriptor.
pub fn controlling_terminal() -> io::Result<Option<OwnedFd>> {
    if !io::stdout().is_terminal() {
        return Ok(None);
    }
    if io::stdin().is_terminal() {
        return io::stdin().as_fd().try_clone_to_owned().map(Some);
    }
    Ok(std::fs::File::open("/dev/tty").ok().map(OwnedFd::from))
}

/// The window as it is now; 80x24 where nobody knows.
#[must_use]
pub fn window() -> Window {
    match crossterm::terminal::window_size() {
        Ok(size) if size.columns > 0 && size.rows > 0 => Window {
            columns: size.columns,
            rows: size.rows,
            pixels: (size.width > 0 && size.height > 0).then_some((size.width, size.height)),
        },
        _ => {
            let (columns, rows) = crossterm::terminal::size().unwrap_or((80, 24));
            Window { columns, rows, pixels: None }
        }
    }
}
