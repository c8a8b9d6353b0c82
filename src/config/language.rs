//! The language of the studio's own words: what a person chooses, and what the environment says where they choose nothing.

use std::fmt;
use std::str::FromStr;

/// The variables that say a language, the first that is set and not empty counts (POSIX, `setlocale`).
const VARIABLES: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

/// Which language the studio speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum LanguageChoice {
    /// By the environment.
    #[default]
    Auto,
    /// English.
    English,
    /// Simplified Chinese.
    Chinese,
}

impl LanguageChoice {
    /// Every choice, by the name it is written with, in the order in which they are gone through.
    pub const ALL: [(&'static str, Self); 3] =
        [("auto", Self::Auto), ("en", Self::English), ("zh", Self::Chinese)];

    /// The names, as sentences list them.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }

    /// What the environment asks for: [`Self::English`] or [`Self::Chinese`]. `variable` reads one.
    #[must_use]
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let said = VARIABLES.into_iter().filter_map(&variable).find(|value| !value.is_empty());
        let chinese = said.is_some_and(|locale| is_simplified(&locale));
        // The Linux console has no signs for Chinese.
        let console = variable("TERM").is_some_and(|term| term == "linux");
        if chinese && !console { Self::Chinese } else { Self::English }
    }
}

/// Whether a locale, `zh_CN.UTF-8@variant`, is Chinese in simplified signs, in an encoding that has them all. Without an
/// encoding it is UTF-8: the studio writes nothing else.
fn is_simplified(locale: &str) -> bool {
    let locale = locale.split('@').next().unwrap_or_default().to_lowercase().replace('-', "_");
    let (place, encoding) = locale.split_once('.').unwrap_or((&locale, "utf8"));
    let mut parts = place.split('_');
    let chinese = parts.next() == Some("zh");
    let simplified = match parts.next() {
        None => true,
        Some(part) => matches!(part, "cn" | "sg" | "hans"),
    };
    chinese && simplified && matches!(encoding, "utf8" | "utf_8")
}

impl fmt::Display for LanguageChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, choice)| choice == self).map_or("auto", |(name, _)| name))
    }
}

impl FromStr for LanguageChoice {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| format!("{text:?} is not one of {}", Self::names()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales_are_read_as_people_and_systems_write_them() {
        for locale in [
            "zh_CN.UTF-8",
            "zh_CN.utf8",
            "zh_CN",
            "zh_SG.UTF-8",
            "zh-Hans",
            "zh_Hans_CN.UTF-8",
            "zh",
            "zh.UTF-8",
        ] {
            assert!(is_simplified(locale), "{locale}");
        }
        for locale in [
            "",
            "C",
            "C.UTF-8",
            "POSIX",
            "en_US.UTF-8",
            "zh_TW.UTF-8",
            "zh_HK",
            "zh-Hant",
            "zh_CN.GB18030",
            "zhx",
        ] {
            assert!(!is_simplified(locale), "{locale}");
        }
    }

    #[test]
    fn the_first_variable_that_says_something_counts() {
        let choice = |set: &[(&str, &str)]| {
            let found =
                |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, it)| (*it).to_owned());
            LanguageChoice::of_environment(found)
        };
        let (english, chinese) = (LanguageChoice::English, LanguageChoice::Chinese);
        assert_eq!(choice(&[]), english);
        assert_eq!(choice(&[("LANG", "zh_CN.UTF-8")]), chinese);
        assert_eq!(choice(&[("LC_MESSAGES", "en_US.UTF-8"), ("LANG", "zh_CN.UTF-8")]), english);
        assert_eq!(choice(&[("LC_ALL", "C"), ("LC_MESSAGES", "zh_CN.UTF-8")]), english);
        assert_eq!(choice(&[("LC_ALL", ""), ("LC_MESSAGES", "zh_CN.UTF-8"), ("LANG", "C")]), chinese);
        assert_eq!(choice(&[("LANG", "zh_CN.UTF-8"), ("TERM", "linux")]), english);
    }

    #[test]
    fn choices_lead_back_from_their_names() {
        for (name, choice) in LanguageChoice::ALL {
            assert_eq!((choice.to_string().as_str(), name.parse()), (name, Ok(choice)));
        }
        let told = "french".parse::<LanguageChoice>().expect_err("no such language");
        assert_eq!(told, "\"french\" is not one of auto, en, zh");
    }
}
