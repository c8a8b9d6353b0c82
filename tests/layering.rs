//! Who may import whom: the table in `src/lib.rs` is read and every source is held to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What the table says about one module.
#[derive(Debug, PartialEq)]
enum Rule {
    Only(Vec<String>),
    AllBut(Vec<String>),
}

impl Rule {
    fn allows(&self, module: &str) -> bool {
        match self {
            Self::Only(names) => names.iter().any(|name| name == module),
            Self::AllBut(names) => names.iter().all(|name| name != module),
        }
    }
}

type Rules = BTreeMap<String, Rule>;

/// The rules in the `//!` table of `lib.rs`.
fn rules(lib: &str) -> Rules {
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! |")).filter(|row| row.contains("[`"));
    let mut rules = Rules::new();
    for row in rows {
        let (left, right) = row.split_once('|').expect("a row has two cells");
        let modules = quoted(left);
        let rule = rule(right.trim().trim_end_matches('|').trim(), &modules);
        for module in &modules {
            let names = match &rule {
                Rule::Only(names) => Rule::Only(names.clone()),
                Rule::AllBut(names) => Rule::AllBut(names.clone()),
            };
            assert!(rules.insert(module.clone(), names).is_none(), "{module} is twice in the table");
        }
    }
    rules
}

/// The names in `` [`name`] ``.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rule(text: &str, modules: &[String]) -> Rule {
    let text = text.split(['(', ';']).next().unwrap_or_default().trim();
    let names = |text: &str| {
        text.replace(" and ", ", ").split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>()
    };
    if let Some(more) = text.strip_prefix("each other") {
        let more = more.trim_start_matches(',').trim();
        let more = if more.is_empty() { Vec::new() } else { names(more) };
        Rule::Only(modules.iter().cloned().chain(more).collect())
    } else if text == "nothing of ours" {
        Rule::Only(Vec::new())
    } else if text == "all" {
        Rule::AllBut(Vec::new())
    } else if let Some(but) = text.strip_prefix("all but ") {
        Rule::AllBut(names(but))
    } else {
        Rule::Only(names(text))
    }
}

/// The source without comments and without what is in string and character literals.
fn code(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if next == '"' {
            string_length(rest)
        } else if let Some(raw) = raw_string_length(rest, &code) {
            raw
        } else if next == '\'' {
            character_length(rest)
        } else {
            0
        };
        if skipped == 0 {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    code
}

/// The length of the string literal that `rest` begins with.
fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of the raw string literal that `rest` begins with, if it does.
fn raw_string_length(rest: &str, before: &str) -> Option<usize> {
    if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') && !before.ends_with('b') {
        return None;
    }
    let hashes = rest.strip_prefix('r')?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    hashes[count..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(count));
    let body = 2 + count;
    Some(rest[body..].find(&close).map_or(rest.len(), |end| body + end + close.len()))
}

/// The length of the character literal that `rest` begins with; 0 for a lifetime.
fn character_length(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => {
            rest[2..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 3)
        }
        Some(_) => characters.next().filter(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

/// The modules that follow `root` (`crate::` or `flux_tui::`) in the code, grouped uses included.
fn imports(code: &str, root: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(root) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        found.extend(first_names(code[at + root.len()..].trim_start()));
    }
    found
}

/// `a::b` gives a; `{a::{b, c}, d}` gives a and d.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        (end > 0).then(|| text[..end].to_owned())
    };
    let Some(group) = path.strip_prefix('{') else { return name(path).into_iter().collect() };
    let (mut depth, mut start, mut names) = (1, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            names.extend(name(&group[start..at]));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// What a chain of `super::` reaches beyond the crate's root, when a file lies `depth` modules deep.
fn escapes(code: &str, depth: usize) -> Vec<String> {
    let chain = "super::".repeat(depth);
    imports(code, &chain).into_iter().filter(|name| name != "super").collect()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.append(&mut sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The module path of a file below `src`: `cli/generate/mod.rs` gives cli, generate.
fn modules(file: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    names
}

fn violations(rules: &Rules, file: &Path, source: &str) -> Vec<String> {
    let modules = modules(file);
    let own = modules.first().expect("a file has a name");
    let Some(rule) = rules.get(own) else {
        return vec![format!("{}: module {own} is not in the table of src/lib.rs", file.display())];
    };
    let code = code(source);
    let mut used = imports(&code, "crate::");
    used.extend(escapes(&code, modules.len()).into_iter().filter(|name| rules.contains_key(name)));
    let forbidden =
        used.iter().filter(|name| *name != own && rules.contains_key(*name) && !rule.allows(name));
    forbidden.map(|name| format!("{}: {own} may not import {name}", file.display())).collect()
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_module_imports_only_what_the_table_allows() {
    let rules = rules(&read(&src().join("lib.rs")));
    assert!(rules.len() >= 12, "the table of src/lib.rs was not understood: {rules:?}");
    let mut found = Vec::new();
    for path in sources(&src()) {
        let file = path.strip_prefix(src()).expect("below src").to_owned();
        if file != Path::new("lib.rs") && file != Path::new("main.rs") {
            found.append(&mut violations(&rules, &file, &read(&path)));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn main_uses_only_cli() {
    let used = imports(&code(&read(&src().join("main.rs"))), "flux_tui::");
    assert_eq!(used, ["cli"]);
}

#[test]
fn every_name_in_the_table_is_a_module_of_the_table() {
    let rules = rules(&read(&src().join("lib.rs")));
    for (module, rule) in &rules {
        let (Rule::Only(names) | Rule::AllBut(names)) = rule;
        for name in names {
            assert!(rules.contains_key(name), "{module}'s row names {name}, which has no row");
        }
    }
}

#[test]
fn only_the_engine_uses_candle_and_tokenizers() {
    for path in sources(&src()) {
        let code = code(&read(&path));
        let inside = path.starts_with(src().join("engine")) || path == src().join("engine.rs");
        for name in ["candle_core", "candle_nn", "candle_transformers", "tokenizers::"] {
            assert!(inside || !code.contains(name), "{} uses {name}", path.display());
        }
    }
}

#[test]
fn this_test_sees_every_way_to_import() {
    let rules = rules(
        "//! | [`a`], [`b`] | nothing of ours |\n//! | [`c`] | all but a |\n//! | [`d`] | a, c (why) |\n\
         //! | [`e`], [`f`] | each other, a |",
    );
    let seen = |file: &str, source: &str| violations(&rules, Path::new(file), source).len();
    assert_eq!(seen("a.rs", "use crate::b::X;"), 1);
    assert_eq!(seen("a.rs", "use crate::{\n b::{c, X}, d };"), 2);
    assert_eq!(seen("a/x.rs", "fn f() { crate::c::g() }"), 1);
    assert_eq!(seen("a/x.rs", "use super::super::c;"), 1);
    assert_eq!(seen("a.rs", "use super::c;"), 1);
    assert_eq!(seen("a/x.rs", "use super::c; use super::{b};"), 0);
    assert_eq!(seen("a.rs", "// crate::b\n/* crate::b */ const S: &str = \"crate::b \\\" crate::b\";"), 0);
    assert_eq!(
        seen("a.rs", "const S: &str = r#\"crate::b \" crate::c\"#; fn f<'x>(c: char) { c == '\"'; }"),
        0
    );
    assert_eq!(seen("a.rs", "const Q: char = '\"'; use crate::b; const R: char = '\\'';"), 1);
    assert_eq!(seen("a.rs", "use crate::a::X; use mycrate::b; use crate::Error;"), 0);
    assert_eq!(seen("c.rs", "use crate::{a, b, d};"), 1);
    assert_eq!(seen("d.rs", "use crate::{a, b, c};"), 1);
    assert_eq!(seen("e.rs", "use crate::{a, b, c, d, f};"), 3);
    assert_eq!(seen("new.rs", ""), 1);
}
