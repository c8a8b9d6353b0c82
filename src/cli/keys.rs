//! `flux-tui keys`: the keymap as a file, and what is wrong with the one there is.

use super::failure::Failure;
use super::{stdout, text};
use crate::paths::Paths;
use crate::ui::keymap::{Keymap, Preset};

/// Print the studio's keys as a file to start from
///
/// What is printed can be kept, whole or in part, as `keymap.toml` in the configuration's folder. What is wrong
/// with the file that is there is said on the standard error, with its line.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The keys of a preset, plain or vim, whatever the file says
    #[arg(long, value_name = "NAME")]
    preset: Option<Preset>,
}

/// Prints the keymap.
///
/// # Errors
/// When there is no home directory, or the standard output takes nothing.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let keymap = match args.preset {
        Some(preset) => Keymap::new(preset),
        None => {
            let (keymap, problems) = Keymap::load(&Paths::from_env()?.config);
            problems.iter().for_each(|problem| text::complain("warning", &problem.to_string()));
            keymap
        }
    };
    stdout::write(&keymap.written())
}
