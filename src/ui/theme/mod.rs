//! Themes: what each [`Role`] on the screen looks like. Views name roles, never colours.
//!
//! Two kinds of place hold all colour decisions: the built-in files of `themes/` and the
//! person's own in the configuration directory.

mod parse;
mod role;

pub use parse::{ThemeError, parse};
pub use role::Role;

use ratatui::style::{Modifier, Style};

use crate::config::read_small;
use crate::paths::Paths;

/// The built-in themes: name and file.
pub const BUILT_IN: [(&str, &str); 6] = [
    ("dark", include_str!("../../../themes/dark.toml")),
    ("light", include_str!("../../../themes/light.toml")),
    ("lagoon", include_str!("../../../themes/lagoon.toml")),
    ("paper", include_str!("../../../themes/paper.toml")),
    ("high-contrast", include_str!("../../../themes/high-contrast.toml")),
    ("ansi16", include_str!("../../../themes/ansi16.toml")),
];

/// Themes of a person's own that are read; nobody has more.
const OWN_MAX: usize = 200;

/// A theme by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// What it is called.
    pub name: String,
    /// What it is, or why it cannot be used.
    pub theme: Result<Theme, String>,
}

/// What each role looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    /// The name it is chosen by.
    pub name: String,
    /// One style a role, in the order of [`Role::ALL`].
    styles: [Style; Role::ALL.len()],
}

impl Theme {
    /// The style of a role.
    #[must_use]
    pub fn style(&self, role: Role) -> Style {
        self.styles[role as usize]
    }

    /// A theme by its name: the person's own file first, then a built-in one.
    ///
    /// # Errors
    /// [`ThemeError::Unknown`] names the themes there are; the others name the file and line.
    pub fn named(name: &str, paths: &Paths) -> Result<Self, ThemeError> {
        let file = paths.config.join("themes").join(format!("{name}.toml"));
        // A name is a file's name, not a path to somewhere else.
        let plain = !name.contains(['/', '\\', '\0']);
        if plain && file.is_file() {
            let text = read_small(&file).map_err(|reason| ThemeError::Read { file: file.clone(), reason })?;
            let text = text.unwrap_or_default();
            return parse(name, &text).map_err(|error| error.in_file(&file));
        }
        Self::built_in(name).ok_or_else(|| ThemeError::Unknown {
            name: name.to_owned(),
            known: BUILT_IN.map(|(name, _)| name).join(", "),
            directory: paths.config.join("themes"),
        })
    }

    /// Every theme: the built-in ones, as the person has them where they have their own of that
    /// name, and then the person's, by name.
    #[must_use]
    pub fn all(paths: &Paths) -> Vec<Named> {
        let folder = std::fs::read_dir(paths.config.join("themes")).into_iter().flatten().flatten();
        let own = folder.filter_map(|entry| {
            let path = std::path::PathBuf::from(entry.file_name());
            let is_theme = path.extension().is_some_and(|extension| extension == "toml");
            // What begins with a dot is an editor's.
            let name = path.file_stem().filter(|_| is_theme)?.to_str()?.to_owned();
            (!name.starts_with('.') && Self::is_new(&name)).then_some(name)
        });
        let mut own: Vec<String> = own.take(OWN_MAX).collect();
        own.sort();
        let built_in = BUILT_IN.iter().map(|(name, _)| (*name).to_owned());
        let named = |name: String| Named {
            theme: Self::named(&name, paths).map_err(|error| error.to_string()),
            name,
        };
        built_in.chain(own).map(named).collect()
    }

    fn is_new(name: &str) -> bool {
        BUILT_IN.iter().all(|(known, _)| *known != name)
    }

    /// Every built-in theme.
    #[must_use]
    pub fn all_built_in() -> Vec<Named> {
        let named = |(name, text): (&str, &str)| Named {
            name: name.to_owned(),
            theme: parse(name, text).map_err(|error| error.to_string()),
        };
        BUILT_IN.into_iter().map(named).collect()
    }

    /// A built-in theme.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        let (name, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        // A test parses each of them.
        parse(name, text).ok()
    }

    /// The theme that is used when none can be: the terminal's own colours, bold and reverse.
    #[must_use]
    pub fn plain() -> Self {
        let mut theme = Self { name: "plain".to_owned(), styles: [Style::new(); Role::ALL.len()] };
        for role in Role::ALL {
            theme.styles[role as usize] = Style::new().add_modifier(role.without_colour());
        }
        theme
    }

    /// The same theme as `NO_COLOR` wants it: no colour, only bold, reverse and the like.
    #[must_use]
    pub fn without_colour(&self) -> Self {
        let mut theme = self.clone();
        for role in Role::ALL {
            let style = &mut theme.styles[role as usize];
            *style = Style { fg: None, bg: None, ..*style }.add_modifier(role.without_colour());
        }
        theme
    }

    /// Whether any role has a colour.
    #[must_use]
    pub fn has_colour(&self) -> bool {
        self.styles.iter().any(|style| style.fg.is_some() || style.bg.is_some())
    }
}

impl Default for Theme {
    fn default() -> Self {
        Self::built_in("dark").unwrap_or_else(Self::plain)
    }
}

impl Role {
    /// What sets a role apart where there is no colour.
    fn without_colour(self) -> Modifier {
        match self {
            Self::TitleFocused | Self::Accent | Self::Key => Modifier::BOLD,
            Self::Error => Modifier::BOLD.union(Modifier::UNDERLINED),
            Self::Warning => Modifier::UNDERLINED,
            Self::Selection => Modifier::REVERSED,
            Self::BorderFocused => Modifier::BOLD,
            Self::Unread => Modifier::CROSSED_OUT,
            Self::Dim | Self::Border => Modifier::DIM,
            _ => Modifier::empty(),
        }
    }
}

#[cfg(test)]
mod tests;
