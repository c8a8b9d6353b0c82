//! Iterating on prompts in the real program, in a real terminal, by keys alone.

mod editor;
#[path = "../home/mod.rs"]
mod home;
mod prompts;
mod seeds;
#[path = "../terminal/mod.rs"]
mod terminal;
mod wildcards;

use home::Home;
use portable_pty::CommandBuilder;
use terminal::Terminal;

/// The studio in a terminal of its own.
fn open(home: &Home) -> Terminal {
    open_with(home, |_| {})
}

/// The same with something more in its environment.
fn open_with(home: &Home, more: impl FnOnce(&mut CommandBuilder)) -> Terminal {
    let mut command = home.studio();
    more(&mut command);
    Terminal::start(command)
}
