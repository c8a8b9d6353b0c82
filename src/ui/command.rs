//! Commands of the palette that say more than a key can: `size 768x512`, `seed 7`, `theme paper`.

use super::arrangement::Arrangement;
use super::language::Language;
use super::pane::parameters::FieldName;
use crate::config::LanguageChoice;
use crate::job::{Seed, Size};
use crate::model::ModelName;

/// What the palette can be told in words.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// New jobs are drawn with this model.
    Model(ModelName),
    /// The parameters are to be so.
    Set(Vec<(FieldName, String)>),
    /// This theme, for good.
    Theme(String),
    /// The panes are arranged so.
    Layout(Arrangement),
    /// This language, for good.
    Language(LanguageChoice),
}

/// One command's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Its name.
    pub name: &'static str,
    /// What follows it.
    pub argument: &'static str,
    /// What it does.
    pub help: &'static str,
}

/// Every command.
pub const FORMS: [Form; 9] = [
    Form { name: "model", argument: "NAME", help: "draw with this model" },
    Form { name: "size", argument: "768x512", help: "pixels across and down" },
    Form { name: "steps", argument: "20", help: "steps a picture" },
    Form { name: "guidance", argument: "3.5", help: "how closely the prompt is followed" },
    Form { name: "seed", argument: "7", help: "this seed; random for another each time" },
    Form { name: "count", argument: "4", help: "pictures a job" },
    Form { name: "theme", argument: "NAME", help: "this theme; auto for one by the terminal" },
    Form { name: "layout", argument: "NAME", help: "automatic, wide, tall or small" },
    Form { name: "language", argument: "NAME", help: "this language; auto for that of the environment" },
];

impl Command {
    /// What was typed, if it begins with a command's name and says something more.
    ///
    /// `None` when it does not; otherwise the command, or what is wrong with its argument, in a language.
    #[must_use]
    pub fn parse(text: &str, language: Language) -> Option<Result<Self, String>> {
        let (name, argument) = text.trim_start().split_once(char::is_whitespace)?;
        let argument = argument.trim();
        let form = FORMS.into_iter().find(|form| form.name == name).filter(|_| !argument.is_empty())?;
        let one = |field| Ok(Self::Set(vec![(field, argument.to_owned())]));
        Some(match form.name {
            "model" => Ok(Self::Model(ModelName::new(argument))),
            "size" => size(argument, language),
            "steps" => one(FieldName::Steps),
            "guidance" => one(FieldName::Guidance),
            "seed" if argument == "random" => {
                Ok(Self::Set(vec![(FieldName::Seed, Seed::Random.to_string())]))
            }
            "seed" => one(FieldName::Seed),
            "count" => one(FieldName::Count),
            "theme" => Ok(Self::Theme(argument.to_owned())),
            "language" => argument
                .parse()
                .map(Self::Language)
                .map_err(|_| language.wrong_language(format_args!("{argument:?}"), LanguageChoice::names())),
            _ => argument.parse().map(Self::Layout).map_err(|_| {
                let known = Arrangement::ALL.map(|(name, _)| name).join(", ");
                language.wrong_layout(format_args!("{argument:?}"), known)
            }),
        })
    }
}

/// `768x512`, `768×512` or `768 512`; one number is a square.
fn size(argument: &str, language: Language) -> Result<Command, String> {
    let mut sides = argument.split(['x', 'X', '×', '*', ' ']).filter(|side| !side.is_empty());
    let side = |text: &str| text.parse::<u32>().map_err(|_| language.wrong_pixels(format_args!("{text:?}")));
    let width = side(sides.next().unwrap_or_default())?;
    let height = sides.next().map_or(Ok(width), side)?;
    if sides.next().is_some() {
        return Err(language.wrong_size(format_args!("{argument:?}")));
    }
    Size::new(width, height).map_err(|error| language.job_error(&error))?;
    Ok(Command::Set(vec![(FieldName::Width, width.to_string()), (FieldName::Height, height.to_string())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Result<Command, String>> {
        Command::parse(text, Language::English)
    }

    #[test]
    fn what_is_no_command_is_searched_for_instead() {
        for text in ["", "size", "size ", "sizes 3", "draw again"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn arguments_as_people_write_them() {
        let set = |fields: &[(FieldName, &str)]| {
            let fields = fields.iter().map(|(field, text)| (*field, (*text).to_owned()));
            Some(Ok(Command::Set(fields.collect())))
        };
        let size = set(&[(FieldName::Width, "768"), (FieldName::Height, "512")]);
        for text in ["size 768x512", " size  768×512 ", "size 768 512", "size 768 x 512"] {
            assert_eq!(parse(text), size, "{text:?}");
        }
        assert_eq!(parse("size 512"), set(&[(FieldName::Width, "512"), (FieldName::Height, "512")]));
        assert_eq!(parse("seed random"), set(&[(FieldName::Seed, "-1")]));
        assert_eq!(parse("steps 30"), set(&[(FieldName::Steps, "30")]));
        assert_eq!(parse("layout tall"), Some(Ok(Command::Layout(Arrangement::Tall))));
        assert_eq!(parse("theme paper"), Some(Ok(Command::Theme("paper".to_owned()))));
        assert_eq!(parse("language zh"), Some(Ok(Command::Language(LanguageChoice::Chinese))));
    }

    #[test]
    fn a_wrong_argument_says_what_would_do() {
        for (text, told) in [
            ("size big", "\"big\" is not a number"),
            ("size 1x2x3", "one is written 768x512"),
            ("size 100", "100"),
            ("layout round", "layout \"round\" is not one of automatic, wide, tall, small"),
            ("language french", "language \"french\" is not one of auto, en, zh"),
        ] {
            let wrong = parse(text).expect("a command").expect_err("a wrong one");
            assert!(wrong.contains(told), "{text:?}: {wrong}");
        }
    }
}
