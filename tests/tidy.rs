//! House rules that no lint knows: what every file opens with, how long it may be, and that each
//! dependency says why it is there.

use std::fs;
use std::path::{Path, PathBuf};

/// Longer files have more than one subject.
const LINES_MAX: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for directory in ["src", "tests", "benches"] {
        let directory = root().join(directory);
        if directory.is_dir() {
            collect(&directory, &mut files);
        }
    }
    assert!(files.len() > 20, "only {} sources were found", files.len());
    files
}

fn collect(directory: &Path, files: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            files.push((path.strip_prefix(root()).expect("below the root").to_owned(), text));
        }
    }
}

/// Every complaint of `check`, with the file's name.
fn complaints(check: impl Fn(&str) -> Option<String>) -> String {
    let lines: Vec<_> = sources()
        .iter()
        .filter_map(|(path, text)| check(text).map(|problem| format!("{}: {problem}", path.display())))
        .collect();
    lines.join("\n")
}

fn opening(text: &str) -> Option<String> {
    let says = text.lines().next().and_then(|line| line.strip_prefix("//! ")).unwrap_or_default();
    (says.trim().len() < 8).then(|| "must open with `//!` and what is in it".to_owned())
}

fn length(text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > LINES_MAX).then(|| format!("has {lines} lines; at most {LINES_MAX}: split it by subject"))
}

fn white_space(text: &str) -> Option<String> {
    let bad = |line: &str| line.contains('\t') || line.ends_with([' ', '\r']);
    text.lines().position(bad).map(|at| format!("line {} has a tab or a space at its end", at + 1))
}

/// Dependencies of a manifest that have no comment on their line.
fn unexplained(manifest: &str) -> Vec<String> {
    let (mut inside, mut names) = (false, Vec::new());
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies]");
        } else if inside && line.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            let why = line.rsplit_once('#').map_or("", |(_, why)| why.trim());
            if why.len() < 5 {
                names.extend(line.split('=').next().map(|name| name.trim().to_owned()));
            }
        }
    }
    names
}

#[test]
fn every_file_opens_with_what_is_in_it() {
    assert_eq!(complaints(opening), "");
}

#[test]
fn no_file_is_longer_than_a_subject() {
    assert_eq!(complaints(length), "");
}

#[test]
fn there_are_no_tabs_and_no_spaces_at_line_ends() {
    assert_eq!(complaints(white_space), "");
}

#[test]
fn every_dependency_says_why() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    assert_eq!(unexplained(&manifest), Vec::<String>::new());
}

#[test]
fn the_checks_see_what_they_look_for() {
    assert!(
        opening("use x;").is_some() && opening("//!\n").is_some() && opening("//! What is here.").is_none()
    );
    assert!(length(&"x\n".repeat(LINES_MAX + 1)).is_some() && length(&"x\n".repeat(LINES_MAX)).is_none());
    assert!(
        white_space("a\n\tb").is_some() && white_space("a \nb").is_some() && white_space("a\n\nb").is_none()
    );
    let manifest = "[package]\nname = 1\n[dependencies]\na = \"1\"\nb = \"1\" # because\n[dev-dependencies]\nc = \"1\" #";
    assert_eq!(unexplained(manifest), ["a", "c"]);
}
