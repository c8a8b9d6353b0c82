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

const PROGRAM: &str = env!("CARGO_BIN_EXE_flux-tui");

/// The studio in a terminal of its own.
fn open(home: &Home) -> Terminal {
    open_with(home, |_| {})
}

/// The same with something more in its environment.
fn open_with(home: &Home, more: impl FnOnce(&mut CommandBuilder)) -> Terminal {
    let mut command = CommandBuilder::new(PROGRAM);
    for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "COLORTERM"] {
        command.env_remove(name);
    }
    command.env("HOME", home.path());
    command.cwd(home.path());
    more(&mut command);
    Terminal::start(command)
}
