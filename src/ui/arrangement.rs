//! How the panes are arranged by a person's word, and what of it is remembered from one studio to the next.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::layout::Kind;
use super::pane::Pane;
use crate::config::read_small;
use crate::paths::Paths;

/// How the panes are arranged by a person's word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrangement {
    /// As it suits the window.
    #[default]
    Automatic,
    /// The picture beside the other panes.
    Wide,
    /// The picture on top.
    Tall,
    /// As a small window has it: the queue and the history share a box.
    Small,
}

impl Arrangement {
    /// Every one, by its name, in the order in which they are gone through.
    pub const ALL: [(&'static str, Self); 4] =
        [("automatic", Self::Automatic), ("wide", Self::Wide), ("tall", Self::Tall), ("small", Self::Small)];

    /// The kind that is wanted, where one is.
    #[must_use]
    pub fn kind(self) -> Option<Kind> {
        match self {
            Self::Automatic => None,
            Self::Wide => Some(Kind::Full),
            Self::Tall => Some(Kind::Upright),
            Self::Small => Some(Kind::Small),
        }
    }

    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|(_, known)| *known == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()].1
    }
}

impl fmt::Display for Arrangement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, known)| known == self).map_or("", |(name, _)| name))
    }
}

impl FromStr for Arrangement {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, known)| *known)
            .ok_or_else(|| format!("{text:?} is not one of {}", Self::ALL.map(|(name, _)| name).join(", ")))
    }
}

/// What is seen alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zoom {
    /// The pane that has the keys.
    Focus,
    /// The picture; the history has the keys, to go from one to the next. The pane had them before.
    Preview(Pane),
    /// Memory and load; the same.
    Memory(Pane),
}

/// The box that has the screen to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// A pane that takes keys.
    Pane(Pane),
    /// The picture.
    Preview,
    /// Memory and load.
    Memory,
}

impl Zoom {
    /// The box, when the keys are so.
    #[must_use]
    pub fn of(self, focus: Pane) -> Alone {
        match self {
            Self::Focus => Alone::Pane(focus),
            Self::Preview(_) => Alone::Preview,
            Self::Memory(_) => Alone::Memory,
        }
    }

    /// The pane that had the keys before, when another has them for it.
    #[must_use]
    pub fn before(self) -> Option<Pane> {
        match self {
            Self::Focus => None,
            Self::Preview(pane) | Self::Memory(pane) => Some(pane),
        }
    }
}

/// What is remembered from one studio to the next. Nothing fails for want of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// How the panes are arranged.
    pub layout: Arrangement,
    /// The first lines were shown.
    pub toured: bool,
}

impl Kept {
    /// What the last studio left; the default when there was none, or what it left cannot be read.
    #[must_use]
    pub fn load(paths: &Paths) -> Self {
        let text = read_small(&paths.studio()).ok().flatten();
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Leaves it for the next one: whole, or not at all.
    ///
    /// # Errors
    /// When the state's folder cannot be written to.
    pub fn save(&self, paths: &Paths) -> std::io::Result<()> {
        let text = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        write_whole(&paths.studio(), &text)
    }
}

/// Writes a file by rename, so that nobody finds half of it; its folder is made if need be.
///
/// # Errors
/// When the folder cannot be written to.
pub(super) fn write_whole(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.{}", std::process::id()));
    let written = std::fs::write(&new, bytes).and_then(|()| std::fs::rename(&new, file));
    written.inspect_err(|_| drop(std::fs::remove_file(&new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again_and_rubbish_is_nothing() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        assert_eq!(Kept::load(&paths), Kept::default());
        let kept = Kept { layout: Arrangement::Tall, toured: true };
        kept.save(&paths).expect("there is room");
        assert_eq!(Kept::load(&paths), kept);
        assert_eq!(std::fs::read_dir(&paths.state).expect("a folder").count(), 1, "nothing else is left");
        for text in ["", "[]", "{\"layout\":\"round\"}"] {
            std::fs::write(paths.state.join("studio.json"), text).expect("there is room");
            assert_eq!(Kept::load(&paths), Kept::default(), "{text:?}");
        }
        let later = "{\"layout\":\"small\",\"something\":[1]}";
        std::fs::write(paths.state.join("studio.json"), later).expect("there is room");
        assert_eq!(Kept::load(&paths).layout, Arrangement::Small, "of a later version what is known counts");
        std::fs::create_dir(root.path().join("closed")).expect("a folder");
        let file = root.path().join("closed").join("in").join("x");
        std::fs::write(root.path().join("closed/in"), "").expect("there is room");
        assert!(write_whole(&file, b"").is_err(), "a file is no folder");
    }

    #[test]
    fn going_on_comes_back() {
        let mut one = Arrangement::default();
        for (name, known) in Arrangement::ALL {
            assert_eq!((one, one.to_string().as_str(), name.parse()), (known, name, Ok(known)));
            one = one.next();
        }
        assert_eq!(one, Arrangement::default());
        assert!(
            "round".parse::<Arrangement>().is_err_and(|told| told.contains("automatic, wide, tall, small"))
        );
    }
}
