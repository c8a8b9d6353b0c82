//! `flux-tui worker unit`: a unit for `systemd --user` that runs the worker.

use std::ffi::OsStr;
use std::path::Path;

use super::failure::Failure;
use super::stdout;

/// What decides where the worker keeps things, in a unit as in a shell.
const DIRECTORIES: [&str; 4] = ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"];

/// Prints the unit for this program and this environment.
///
/// # Errors
/// When the program's own path is not known, or the output is closed.
pub(super) fn run() -> Result<(), Failure> {
    let program =
        std::env::current_exe().map_err(|source| Failure::Read { path: "/proc/self/exe".into(), source })?;
    let set = DIRECTORIES.into_iter().filter_map(|name| {
        let value = std::env::var_os(name)?;
        Path::new(&value).is_absolute().then_some((name, value))
    });
    stdout::write(&unit(&program, set))
}

fn unit(program: &Path, environment: impl Iterator<Item = (&'static str, impl AsRef<OsStr>)>) -> String {
    let environment: String = environment
        .map(|(name, value)| {
            format!("Environment=\"{name}={}\"\n", quoted(&value.as_ref().to_string_lossy()))
        })
        .collect();
    // A `$` is a variable's only where a command line is read.
    let program = quoted(&program.to_string_lossy()).replace('$', "$$");
    format!(
        "# Save as ~/.config/systemd/user/flux-tui.service, then `systemctl --user enable --now flux-tui`.\n\
         # `loginctl enable-linger` lets it go on after the last logout and start with the machine.\n\
         # It ends by itself after `end_after` in [worker] of config.toml; \"never\" keeps it.\n\
         [Unit]\n\
         Description=flux-tui worker: draws with FLUX.1, keeps the queue and the library\n\
         \n\
         [Service]\n\
         Type=exec\n\
         ExecStart=\"{program}\" worker run\n\
         {environment}\
         Restart=on-failure\n\
         RestartSec=5\n\
         TimeoutStopSec=30\n\
         UMask=0077\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n"
    )
}

/// As systemd reads it between double quotes.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_runs_this_program_with_these_directories_whatever_they_are_called() {
        let program = Path::new("/opt/100% \"good\"/$flux-tui");
        let text = unit(program, [("XDG_DATA_HOME", "/数据 目录/50%")].into_iter());
        for line in [
            "ExecStart=\"/opt/100%% \\\"good\\\"/$$flux-tui\" worker run",
            "Environment=\"XDG_DATA_HOME=/数据 目录/50%%\"",
            "Restart=on-failure",
            "[Install]",
        ] {
            assert!(text.lines().any(|there| there == line), "{line} is not in\n{text}");
        }
        assert_eq!(text.lines().filter(|line| line.starts_with('[')).count(), 3, "{text}");
    }
}
