//! Snippets: words to be put into a prompt, by name. Some sets of quality words are built in; a person's own are in
//! `snippets.toml` in the configuration's folder, one a line: `name = "text"`.

use std::path::Path;

use toml::de::DeTable;

use super::{ConfigProblem, read_small};

/// The longest text of a snippet, in bytes.
const TEXT_BYTES: usize = 16 << 10;
/// The most of a person's own.
const SNIPPETS_MAX: usize = 1000;

/// Words by a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// The name.
    pub name: String,
    /// The words.
    pub text: String,
    /// Whether it is a person's.
    pub own: bool,
}

/// Quality words. FLUX.1 reads sentences, so they say what is seen and are few.
const BUILT_IN: [(&str, &str); 8] = [
    ("quality: photo", "photograph, natural light, sharp focus, fine detail"),
    ("quality: portrait", "85 mm portrait, soft window light, shallow depth of field, natural skin texture"),
    ("quality: cinematic", "cinematic still, low key light, anamorphic lens, film grain"),
    ("quality: product", "studio product photograph, seamless background, softbox light, crisp edges"),
    ("quality: landscape", "wide landscape, golden hour, atmospheric haze, high dynamic range"),
    ("quality: illustration", "detailed illustration, clean line work, balanced composition, rich colour"),
    ("quality: ink", "ink wash painting, visible brush strokes, rice paper texture, generous empty space"),
    ("quality: 3d", "3d render, soft global illumination, physically based materials, subtle reflections"),
];

/// Those that are built in.
#[must_use]
pub fn built_in() -> Vec<Snippet> {
    let snippet = |(name, text): (&str, &str)| Snippet { name: name.into(), text: text.into(), own: false };
    BUILT_IN.into_iter().map(snippet).collect()
}

/// A person's own, in their order, and those that are built in. One of the same name takes the place of the other.
#[must_use]
pub fn load(config: &Path) -> (Vec<Snippet>, Vec<ConfigProblem>) {
    let path = config.join("snippets.toml");
    let (mut snippets, problems) = match read_small(&path) {
        Ok(None) => (Vec::new(), Vec::new()),
        Ok(Some(text)) => parse(&text, &path),
        Err(message) => (Vec::new(), vec![ConfigProblem { path, line: None, message }]),
    };
    let others = built_in().into_iter().filter(|it| snippets.iter().all(|own| own.name != it.name));
    let others: Vec<_> = others.collect();
    snippets.extend(others);
    (snippets, problems)
}

fn parse(text: &str, path: &Path) -> (Vec<Snippet>, Vec<ConfigProblem>) {
    let line =
        |at: usize| 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
    let problem = |at, message| ConfigProblem { path: path.to_owned(), line: Some(line(at)), message };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            return (
                Vec::new(),
                vec![problem(at, format!("{}; nothing of the file is used", error.message()))],
            );
        }
    };
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in table.get_ref() {
        let (at, name) = (name.span().start, name.get_ref().as_ref().to_owned());
        match value.get_ref().as_str() {
            None => {
                let kind = value.get_ref().type_str();
                problems.push(problem(at, format!("{name} is {kind}, it must be a text in quotes")));
            }
            Some(words) if words.trim().is_empty() => {
                problems.push(problem(at, format!("{name} is empty, it must have words")));
            }
            Some(words) if words.len() > TEXT_BYTES => {
                let message = format!("{name} has {} bytes, at most {TEXT_BYTES} are used", words.len());
                problems.push(problem(at, message));
            }
            Some(words) => found.push((at, Snippet { name, text: words.to_owned(), own: true })),
        }
    }
    // The table is in the order of names; a person's order is that of lines.
    found.sort_by_key(|(at, _)| *at);
    if let Some((at, _)) = found.get(SNIPPETS_MAX) {
        problems.push(problem(
            *at,
            format!("from here on snippets are left out: at most {SNIPPETS_MAX} are used"),
        ));
    }
    problems.sort_by_key(|problem| problem.line);
    (found.into_iter().take(SNIPPETS_MAX).map(|(_, snippet)| snippet).collect(), problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> (Vec<(String, String)>, Vec<String>) {
        let (snippets, problems) = parse(text, Path::new("snippets.toml"));
        let snippets = snippets.into_iter().map(|it| (it.name, it.text)).collect();
        (snippets, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_and_words_in_the_order_of_lines() {
        let (snippets, problems) =
            told("z = \"last letter\"\n\"水墨 风\" = \"ink wash\"\na = '''two\nlines'''\n");
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(
            snippets,
            [pair("z", "last letter"), pair("水墨 风", "ink wash"), pair("a", "two\nlines")]
        );
        assert_eq!(problems, [] as [String; 0]);
    }

    #[test]
    fn bad_lines_are_told_and_the_others_are_kept() {
        let (snippets, problems) = told("a = \"words\"\nb = 3\nc = \" \"\n[d]\nx = \"1\"\n");
        assert_eq!(snippets.len(), 1);
        for (line, what) in [("line 2", "b is integer"), ("line 3", "c is empty"), ("line 4", "d is table")] {
            assert!(problems.iter().any(|it| it.contains(line) && it.contains(what)), "{line}: {problems:?}");
        }
        let (snippets, problems) = told("a = \"words\"\nb = \n");
        assert!(snippets.is_empty() && problems.len() == 1 && problems[0].contains("line 2"), "{problems:?}");
    }

    #[test]
    fn ones_own_take_the_place_of_those_that_are_built_in() {
        let root = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(load(root.path()), (built_in(), Vec::new()));
        std::fs::write(root.path().join("snippets.toml"), "\"quality: ink\" = \"mine\"\n")
            .expect("there is room");
        let (snippets, _) = load(root.path());
        assert_eq!((snippets.len(), snippets[0].text.as_str()), (BUILT_IN.len(), "mine"));
    }
}
