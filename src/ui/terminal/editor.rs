//! A person's own editor for the prompt: a file that nobody else can read, the editor over it, and what it left.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, Command};

use crate::job::PROMPT_BYTES;

/// What an editor left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The text, without the line end that editors add.
    pub text: String,
    /// Bytes beyond what a prompt may have.
    pub dropped: usize,
}

/// An editor that runs, and its file; the file goes with it.
#[derive(Debug)]
pub struct PromptEditor {
    name: String,
    child: Child,
    folder: Folder,
}

impl PromptEditor {
    /// Starts `$VISUAL`, `$EDITOR` or vi over a text. The terminal must have been given back.
    ///
    /// # Errors
    /// When there is no file for it, or it cannot be started.
    pub fn start(text: &str, keyboard: OwnedFd) -> Result<Self, EditorError> {
        let name = named(|name| std::env::var(name).ok());
        let folder = Folder::new(text).map_err(|error| EditorError::NoFile(error.to_string()))?;
        // The variable is a command with its words, as everywhere.
        let child = Command::new("sh")
            .args(["-c", &format!("{name} \"$1\""), "flux-tui"])
            .arg(folder.file())
            .stdin(Stdio::from(keyboard))
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| EditorError::NotStarted { name: name.clone(), error: error.to_string() })?;
        Ok(Self { name, child, folder })
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// What it left.
    ///
    /// # Errors
    /// When it failed, or its file cannot be read.
    pub fn finish(self, ended: io::Result<ExitStatus>) -> Result<Edited, EditorError> {
        let name = self.name;
        match ended {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(EditorError::Failed { name, status: status.to_string() }),
            Err(error) => return Err(EditorError::Lost { name, error: error.to_string() }),
        }
        read(self.folder.file()).map_err(|error| EditorError::Unreadable(error.to_string()))
    }
}

/// Why nothing came from the editor. What the system says of it is as it says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditorError {
    /// The prompt could not be written to a file.
    #[error("there is no file to edit: {0}")]
    NoFile(String),
    /// It did not start.
    #[error("the editor {name} could not be started: {error}")]
    NotStarted {
        /// Its command.
        name: String,
        /// What the system says.
        error: String,
    },
    /// It said that it failed.
    #[error("the editor {name} failed ({status})")]
    Failed {
        /// Its command.
        name: String,
        /// How it ended.
        status: String,
    },
    /// It could not be waited for.
    #[error("the editor {name} was lost: {error}")]
    Lost {
        /// Its command.
        name: String,
        /// What the system says.
        error: String,
    },
    /// Its file cannot be read, or is no text.
    #[error("what the editor left cannot be read: {0}")]
    Unreadable(String),
    /// The studio ends before it.
    #[error("the studio was told to end")]
    Ending,
}

/// The editor that a person has chosen.
fn named(variable: impl Fn(&str) -> Option<String>) -> String {
    let chosen = ["VISUAL", "EDITOR"].into_iter().filter_map(variable).find(|name| !name.trim().is_empty());
    chosen.unwrap_or_else(|| "vi".to_owned())
}

/// A file in a folder of its own, since editors write others beside it.
#[derive(Debug)]
struct Folder {
    folder: PathBuf,
    file: PathBuf,
}

impl Folder {
    fn new(text: &str) -> io::Result<Self> {
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(io::Error::other)?;
        let folder = std::env::temp_dir().join(format!("flux-tui-{:016x}", u64::from_le_bytes(name)));
        DirBuilder::new().mode(0o700).create(&folder)?;
        let made = Self { file: folder.join("prompt.txt"), folder };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&made.file)?;
        file.write_all(text.as_bytes())?;
        // Editors end the last line; what is added is taken off again.
        file.write_all(b"\n")?;
        Ok(made)
    }

    fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clear.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// No more than a prompt may have is read.
fn read(path: &Path) -> io::Result<Edited> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    file.take(PROMPT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.ends_with(b"\n") {
        bytes.pop();
    }
    bytes.truncate(PROMPT_BYTES);
    let dropped = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(bytes.len() + 1);
    // A character that was cut off at the end is none.
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if dropped > 0 && error.utf8_error().error_len().is_none() => {
            let end = error.utf8_error().valid_up_to();
            String::from_utf8_lossy(&error.as_bytes()[..end]).into_owned()
        }
        Err(error) => return Err(io::Error::other(format!("it is no text in UTF-8: {error}"))),
    };
    Ok(Edited { text, dropped })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_file_is_for_its_owner_alone_and_goes_with_the_editor() {
        let folder = Folder::new("a fox").expect("there is room");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&folder.folder), mode(folder.file())), (0o700, 0o600));
        assert_eq!(read(folder.file()).expect("text"), Edited { text: "a fox".into(), dropped: 0 });
        let gone = folder.folder.clone();
        drop(folder);
        assert!(!gone.exists());
    }

    #[test]
    fn what_is_read_is_bounded_and_must_be_text() {
        let folder = Folder::new("").expect("there is room");
        let left = |bytes: &[u8]| {
            fs::write(folder.file(), bytes).expect("there is room");
            read(folder.file())
        };
        assert_eq!(left(b"no end").expect("text").text, "no end");
        assert_eq!(left(b"two\n\n").expect("text").text, "two\n");
        assert_eq!(left(b"").expect("text"), Edited { text: String::new(), dropped: 0 });
        let long = left("字".repeat(PROMPT_BYTES / 3 + 10).as_bytes()).expect("text");
        assert_eq!(long.text.chars().count(), PROMPT_BYTES / 3);
        assert!(long.dropped >= 27, "{}", long.dropped);
        assert!(left(b"a\xff").expect_err("no text").to_string().contains("UTF-8"));
    }

    #[test]
    fn visual_goes_before_editor_and_vi_is_left() {
        let with = |pairs: &'static [(&str, &str)]| {
            named(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(with(&[("VISUAL", "code -w"), ("EDITOR", "nano")]), "code -w");
        assert_eq!(with(&[("VISUAL", " "), ("EDITOR", "nano")]), "nano");
        assert_eq!(with(&[]), "vi");
    }
}
