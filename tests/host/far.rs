//! Two homes and a line between them.

use std::path::{Path, PathBuf};
use std::process::Command;

use portable_pty::CommandBuilder;

use crate::home::{Home, Ran, finish, start};
use crate::terminal::Terminal;

/// How the machine is called.
pub const HOST: &str = "ann@server";

/// What stands in place of ssh: options and the machine's name are kept for the tests, what goes before a shell's command
/// is said, and the command is run where the worker lives.
const SSH: &str = r#"#!/bin/sh
echo "$@" >> "$LINE/asked"
while [ "$1" != -- ]; do shift; done
[ "$2" = ann@server ] || { echo "ssh: Could not resolve hostname $2" >&2; exit 255; }
shift 2
[ ! -e "$LINE/cut" ] || { echo "ssh: connect to host server port 22: No route to host" >&2; exit 255; }
[ ! -e "$LINE/greeting" ] || cat "$LINE/greeting"
echo $$ > "$LINE/pid"
export HOME="$FAR"
exec sh -c "exec $*"
"#;

/// A person's home here, and one on the other machine.
pub struct Line {
    pub near: Home,
    pub far: Home,
    /// The script, and what it leaves and looks for.
    folder: tempfile::TempDir,
}

impl Line {
    pub fn new() -> Self {
        let line =
            Self { near: Home::new(), far: Home::new(), folder: tempfile::tempdir().expect("a folder") };
        line.write("ssh", SSH);
        let ssh = line.folder.path().join("ssh");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(ssh, executable).expect("it is ours");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_flux-tui"), line.folder.path().join("flux-tui"))
            .expect("there is room");
        line
    }

    /// Puts something where the script looks.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("there is room");
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder.path().join(name)).expect("it is there");
    }

    /// What ssh was asked, a line each time.
    pub fn asked(&self) -> Vec<String> {
        let asked = std::fs::read_to_string(self.folder.path().join("asked")).unwrap_or_default();
        asked.lines().map(str::to_owned).collect()
    }

    /// The configuration here.
    pub fn configure(&self, text: &str) {
        let folder = self.near.path().join(".config/flux-tui");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("config.toml"), text).expect("there is room");
    }

    fn environment(&self) -> [(&'static str, PathBuf); 3] {
        let folder = self.folder.path();
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display());
        [("PATH", path.into()), ("LINE", folder.to_owned()), ("FAR", self.far.path().to_owned())]
    }

    /// The program here.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.near.command(arguments);
        command.envs(self.environment());
        command
    }

    /// Runs the program here to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        finish(start(&mut self.command(arguments)))
    }

    /// Opens the studio here, for the worker there.
    pub fn studio(&self, arguments: &[&str]) -> Terminal {
        let command = self.command(arguments);
        let mut builder = CommandBuilder::new(command.get_program());
        builder.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => builder.env(name, value),
                None => builder.env_remove(name),
            }
        }
        builder.cwd(self.near.path());
        Terminal::start(builder)
    }

    /// Kills what carries the line, as a dropped connection does.
    pub fn break_off(&self) {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).expect("a line was made");
        let killed = Command::new("kill").args(["-9", pid.trim()]).status();
        assert!(killed.expect("kill is there").success());
    }

    /// That nothing was left on this machine but what the studio itself remembers: no worker was here.
    pub fn nothing_here(&self) {
        let mut folders = vec![self.near.path().join(".local")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    assert!(path.ends_with("flux-tui/studio.json"), "{} is there", path.display());
                }
            }
        }
    }
}

/// The pixels of a PNG.
pub fn pixels(path: &Path) -> Vec<u8> {
    image::open(path).expect("a picture").to_rgb8().into_raw()
}
