//! `--output`: where the copy of a picture goes, checked before anything is drawn.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Why an output path cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum TargetError {
    /// No file name in it.
    #[error("--output {path}: this names no file; give one, such as picture.png", path = .0.display())]
    NoName(PathBuf),
    /// A directory.
    #[error("--output {path}: this is a directory; name a file in it, such as {example}", path = path.display(), example = path.join("picture.png").display())]
    Directory { path: PathBuf },
    /// Its directory is not there.
    #[error("--output {path}: there is no directory {directory}; make it first", path = path.display(), directory = directory.display())]
    NoDirectory { path: PathBuf, directory: PathBuf },
    /// It cannot be written, or nothing can be made beside it.
    #[error("--output {path}: it cannot be written: {source}", path = path.display())]
    NotWritable { path: PathBuf, source: io::Error },
}

/// A file that can be written, as far as could be told beforehand.
#[derive(Debug)]
pub(in crate::cli) struct Target {
    /// As it was asked for.
    path: PathBuf,
    way: Way,
}

#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// Written beside this path under another name, then renamed, so that nobody sees half a file.
    Rename(PathBuf),
    /// Written as it is: a device or a pipe, which a rename would replace.
    Direct,
}

impl Target {
    /// The targets of `count` pictures: `path` itself, or with `-1`, `-2` … before its extension.
    ///
    /// # Errors
    /// The first that cannot be written.
    pub(in crate::cli) fn all(path: &Path, count: u32) -> Result<Vec<Self>, TargetError> {
        if count == 1 {
            return Ok(vec![Self::check(path)?]);
        }
        (1..=count).map(|number| Self::check(&numbered(path, number)?)).collect()
    }

    fn check(path: &Path) -> Result<Self, TargetError> {
        let unusable = |source| TargetError::NotWritable { path: path.to_owned(), source };
        let way = match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => return Err(TargetError::Directory { path: path.to_owned() }),
            // Opening a pipe would wait for its reader, so devices and pipes are taken on trust.
            Ok(meta) if !meta.is_file() => Way::Direct,
            Ok(_) => {
                // A rename replaces a file that may not be written to: that is not what was meant.
                OpenOptions::new().append(true).open(path).map_err(unusable)?;
                // Through a link the file is replaced and not the link.
                Way::Rename(fs::canonicalize(path).map_err(unusable)?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Way::Rename(path.to_owned()),
            Err(error) => return Err(unusable(error)),
        };
        if let Way::Rename(file) = &way {
            check_beside(path, file)?;
        }
        Ok(Self { path: path.to_owned(), way })
    }

    /// As it was asked for.
    pub(in crate::cli) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the whole file.
    ///
    /// # Errors
    /// What the system says; nothing is left behind then.
    pub(in crate::cli) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match &self.way {
            Way::Direct => OpenOptions::new().write(true).open(&self.path)?.write_all(bytes),
            Way::Rename(file) => {
                let part = part(file);
                let written = write_new(&part, bytes).and_then(|()| fs::rename(&part, file));
                if written.is_err() {
                    // The first error is the one to tell.
                    let _ = fs::remove_file(&part);
                }
                written
            }
        }
    }
}

/// Whether a file can be made in the directory of `file`; `path` is what was asked for.
fn check_beside(path: &Path, file: &Path) -> Result<(), TargetError> {
    if file.file_name().is_none() || ends_in_separator(path) {
        return Err(TargetError::NoName(path.to_owned()));
    }
    let directory = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err(TargetError::NoDirectory { path: path.to_owned(), directory: directory.to_owned() });
    }
    let part = part(file);
    create(&part)
        .and_then(|_| fs::remove_file(&part))
        .map_err(|source| TargetError::NotWritable { path: path.to_owned(), source })
}

fn ends_in_separator(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// The name under which a file is written until it is whole.
fn part(file: &Path) -> PathBuf {
    file.with_file_name(format!(".flux-tui-{}.part", std::process::id()))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create(path)?;
    file.write_all(bytes)?;
    // Not only in memory: a full disk must be told now, while it can be told.
    file.sync_all()
}

/// `picture.png` and 3 give `picture-3.png`.
fn numbered(path: &Path, number: u32) -> Result<PathBuf, TargetError> {
    let Some(stem) = path.file_stem().filter(|_| !ends_in_separator(path)) else {
        return Err(TargetError::NoName(path.to_owned()));
    };
    let mut name = OsString::from(stem);
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    Ok(path.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &Path) -> Result<Target, TargetError> {
        Target::all(path, 1).map(|mut targets| targets.remove(0))
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_is_written_whole_and_nothing_is_left_beside_it() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("测试 图.png");
        let target = one(&path).expect("it can be written");
        assert_eq!(names(home.path()), Vec::<String>::new(), "the check left something");
        target.write(b"png").expect("there is room");
        assert_eq!(fs::read(&path).expect("written"), b"png");
        assert_eq!(names(home.path()), ["测试 图.png"]);
    }

    #[test]
    fn a_link_stays_a_link() {
        let home = tempfile::tempdir().expect("a directory");
        let (file, link) = (home.path().join("file.png"), home.path().join("link.png"));
        fs::write(&file, "old").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        one(&link).expect("it can be written").write(b"new").expect("there is room");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read(&file).expect("there"), b"new");
    }

    #[test]
    fn a_missing_directory_a_directory_and_a_name_that_is_none_are_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let missing = home.path().join("no/such.png");
        assert!(matches!(one(&missing), Err(TargetError::NoDirectory { .. })));
        assert!(matches!(one(home.path()), Err(TargetError::Directory { .. })));
        assert!(matches!(one(&home.path().join("new/")), Err(TargetError::NoName(_))));
        assert!(matches!(one(Path::new("")), Err(TargetError::NoName(_))));
        assert!(matches!(Target::all(Path::new("/"), 2), Err(TargetError::NoName(_))));
    }

    #[test]
    fn a_file_below_a_file_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join("file"), "").expect("written");
        assert!(one(&home.path().join("file/x.png")).is_err());
    }

    #[test]
    fn a_full_device_is_told_and_never_replaced() {
        let target = one(Path::new("/dev/full")).expect("it looks writable");
        assert_eq!(target.way, Way::Direct);
        assert_eq!(target.write(b"png").expect_err("full").kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn numbers_go_before_the_extension() {
        let numbered = |path: &str, number| numbered(Path::new(path), number).expect("it has a name");
        assert_eq!(numbered("/a/b.tar.png", 2), Path::new("/a/b.tar-2.png"));
        assert_eq!(numbered("b", 10), Path::new("b-10"));
        assert_eq!(numbered(".hidden", 1), Path::new(".hidden-1"));
    }
}
