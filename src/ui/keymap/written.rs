//! The keymap as a file: what `flux-tui keys` prints, to be changed and kept as `keymap.toml`.

use std::fmt::Write as _;

use super::{Context, KeyLine, Keymap};

/// What stands at the beginning.
const HEAD: &str = "\
# The keys of flux-tui's studio, as they are now. To change some, keep these lines of them in
# keymap.toml in the configuration's folder; what is not there stays as it is.
# A line gives an action its keys in a place: one, several, or [] for none.
";

impl Keymap {
    /// As a file that is read back as the same.
    #[must_use]
    pub fn written(&self) -> String {
        let mut text = format!("{HEAD}\npreset = \"{}\" # plain, vim\n", self.preset());
        for context in Context::ALL {
            let lines: Vec<_> = self.lines().iter().filter(|line| line.context == context).collect();
            if lines.is_empty() {
                continue;
            }
            // Writing to a string does not fail.
            let _ = writeln!(text, "\n[{}] # {}", context.name(), context.title().to_lowercase());
            for line in lines {
                let _ = writeln!(text, "{} = {} # {}", line.action.name(), keys(line), line.help);
            }
        }
        text
    }
}

fn keys(line: &KeyLine) -> String {
    let mut names: Vec<String> = line.keys.iter().map(|chord| quoted(&chord.written())).collect();
    // Terminals send Shift-Tab in two ways; it is one key.
    names.dedup();
    match &names[..] {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
