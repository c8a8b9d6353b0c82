//! A theme's file: a palette of named colours, and a style for every role.
//!
//! A role is a colour (`accent = "sky"`) or a table (`{ fg = "sky", bg = "default", bold = true }`).
//! A colour is a palette name, `#rrggbb`, a number from 0 to 255, one of the sixteen ANSI names
//! (`red`, `bright-red`, …) or `default` for the terminal's own.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;
use toml::Spanned;

use super::{Role, Theme};

/// Why a theme cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThemeError {
    /// No such theme.
    #[error("there is no theme {name:?}; there are {known}, and files in {}", directory.display())]
    Unknown {
        /// What was asked for.
        name: String,
        /// The built-in ones.
        known: String,
        /// Where a person's own are.
        directory: PathBuf,
    },
    /// The file cannot be read.
    #[error("{}: {reason}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file does not say what it must.
    #[error("theme {name}, line {line}: {message}")]
    Content {
        /// The theme's name, or its file.
        name: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong and what is allowed.
        message: String,
    },
}

impl ThemeError {
    pub(super) fn in_file(self, file: PathBuf) -> Self {
        match self {
            Self::Content { line, message, .. } => {
                Self::Content { name: file.display().to_string(), line, message }
            }
            other => other,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    palette: BTreeMap<String, Spanned<Colour>>,
    roles: Spanned<BTreeMap<Spanned<String>, Spanned<RawStyle>>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Colour {
    Name(String),
    Number(u8),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawStyle {
    Foreground(Colour),
    Table(StyleTable),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct StyleTable {
    fg: Option<Colour>,
    bg: Option<Colour>,
    bold: bool,
    dim: bool,
    italic: bool,
    underlined: bool,
    reversed: bool,
    crossed_out: bool,
}

/// Parses a theme's text.
///
/// # Errors
/// [`ThemeError::Content`] with the line of what is wrong, and for a missing role its name.
pub fn parse(name: &str, text: &str) -> Result<Theme, ThemeError> {
    let fail = |offset: usize, message: String| ThemeError::Content {
        name: name.to_owned(),
        line: 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count(),
        message,
    };
    let file: File = toml::from_str(text)
        .map_err(|error| fail(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
    let mut palette = BTreeMap::new();
    for (key, colour) in &file.palette {
        let parsed = absolute(colour.get_ref()).map_err(|message| fail(colour.span().start, message))?;
        palette.insert(key.as_str(), parsed);
    }
    let mut theme = Theme { name: name.to_owned(), styles: [Style::new(); Role::ALL.len()] };
    let mut missing: Vec<Role> = Role::ALL.to_vec();
    for (key, style) in file.roles.get_ref() {
        let role = Role::ALL.into_iter().find(|role| role.name() == key.get_ref()).ok_or_else(|| {
            let known = Role::ALL.map(Role::name).join(", ");
            fail(key.span().start, format!("{:?} is not a role; there are {known}", key.get_ref()))
        })?;
        missing.retain(|other| *other != role);
        theme.styles[role as usize] =
            self::style(style.get_ref(), &palette).map_err(|message| fail(style.span().start, message))?;
    }
    if let Some(role) = missing.first() {
        return Err(fail(file.roles.span().start, format!("the role {:?} is missing", role.name())));
    }
    Ok(theme)
}

type Palette<'p> = BTreeMap<&'p str, Option<Color>>;

fn style(raw: &RawStyle, palette: &Palette<'_>) -> Result<Style, String> {
    let table = match raw {
        RawStyle::Foreground(colour) => {
            return Ok(Style { fg: colour_of(colour, palette)?, ..Style::new() });
        }
        RawStyle::Table(table) => table,
    };
    let colour =
        |colour: &Option<Colour>| colour.as_ref().map_or(Ok(None), |colour| colour_of(colour, palette));
    let mut style = Style { fg: colour(&table.fg)?, bg: colour(&table.bg)?, ..Style::new() };
    let modifiers = [
        (table.bold, Modifier::BOLD),
        (table.dim, Modifier::DIM),
        (table.italic, Modifier::ITALIC),
        (table.underlined, Modifier::UNDERLINED),
        (table.reversed, Modifier::REVERSED),
        (table.crossed_out, Modifier::CROSSED_OUT),
    ];
    for (_, modifier) in modifiers.into_iter().filter(|(wanted, _)| *wanted) {
        style = style.add_modifier(modifier);
    }
    Ok(style)
}

fn colour_of(colour: &Colour, palette: &Palette<'_>) -> Result<Option<Color>, String> {
    match colour {
        Colour::Name(name) if palette.contains_key(name.as_str()) => Ok(palette[name.as_str()]),
        other => absolute(other),
    }
}

const ANSI: [(&str, Color); 16] = [
    ("black", Color::Black),
    ("red", Color::Red),
    ("green", Color::Green),
    ("yellow", Color::Yellow),
    ("blue", Color::Blue),
    ("magenta", Color::Magenta),
    ("cyan", Color::Cyan),
    ("white", Color::Gray),
    ("bright-black", Color::DarkGray),
    ("bright-red", Color::LightRed),
    ("bright-green", Color::LightGreen),
    ("bright-yellow", Color::LightYellow),
    ("bright-blue", Color::LightBlue),
    ("bright-magenta", Color::LightMagenta),
    ("bright-cyan", Color::LightCyan),
    ("bright-white", Color::White),
];

/// A colour without a palette; `None` is the terminal's own.
fn absolute(colour: &Colour) -> Result<Option<Color>, String> {
    let name = match colour {
        Colour::Number(number) => return Ok(Some(Color::Indexed(*number))),
        Colour::Name(name) => name.as_str(),
    };
    if name == "default" {
        return Ok(None);
    }
    if let Some((_, colour)) = ANSI.iter().find(|(known, _)| *known == name) {
        return Ok(Some(*colour));
    }
    hex(name).map(Some).ok_or_else(|| {
        let names = ANSI.map(|(name, _)| name).join(", ");
        format!("{name:?} is not a colour: a palette name, #rrggbb, 0 to 255, default, or one of {names}")
    })
}

fn hex(text: &str) -> Option<Color> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
    let channel = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
    Some(Color::Rgb(channel(0)?, channel(2)?, channel(4)?))
}
