//! Themes: the built-in ones are whole, wrong ones are named by line, colour can be left out.

use ratatui::style::Color;

use super::*;

#[test]
fn every_built_in_theme_defines_every_role_and_has_colour() {
    for (name, text) in BUILT_IN {
        let theme = parse(name, text).unwrap_or_else(|error| panic!("{error}"));
        assert!(theme.has_colour(), "{name}");
        assert_ne!(theme.style(Role::Error), theme.style(Role::Text), "{name}: an error must stand out");
        assert_ne!(theme.style(Role::Accent), theme.style(Role::Text), "{name}: the accent must stand out");
        assert_ne!(theme.style(Role::Selection), theme.style(Role::Text), "{name}");
    }
}

#[test]
fn the_sixteen_colour_theme_uses_sixteen_colours() {
    let theme = Theme::built_in("ansi16").expect("a built-in theme");
    for role in Role::ALL {
        let style = theme.style(role);
        for colour in [style.fg, style.bg].into_iter().flatten() {
            assert!(!matches!(colour, Color::Rgb(..) | Color::Indexed(_)), "{}: {colour:?}", role.name());
        }
    }
}

#[test]
fn without_colour_no_role_has_any_and_focus_is_still_seen() {
    for (name, _) in BUILT_IN {
        let theme = Theme::built_in(name).expect("a built-in theme").without_colour();
        assert!(!theme.has_colour(), "{name}");
        assert_ne!(theme.style(Role::Border), theme.style(Role::BorderFocused));
        assert_ne!(theme.style(Role::Title), theme.style(Role::TitleFocused));
        assert_ne!(theme.style(Role::Selection), theme.style(Role::Text));
        assert_ne!(theme.style(Role::Error), theme.style(Role::Text));
    }
}

fn dark_with(from: &str, to: &str) -> Result<Theme, ThemeError> {
    let text = BUILT_IN[0].1;
    assert!(text.contains(from), "the dark theme has {from:?}");
    parse("mine", &text.replacen(from, to, 1))
}

#[test]
fn a_missing_role_is_named() {
    let line = BUILT_IN[0].1.lines().find(|line| line.starts_with("spark")).expect("a line for spark");
    let error = dark_with(line, "").expect_err("a role is missing").to_string();
    assert!(error.contains("\"spark\" is missing"), "{error}");
}

#[test]
fn an_unknown_role_and_a_wrong_colour_are_named_with_their_line() {
    let line = BUILT_IN[0].1.lines().position(|line| line.starts_with("spark")).expect("spark") + 1;
    let error = dark_with("spark", "sparkle").expect_err("no such role").to_string();
    assert!(error.contains(&format!("line {line}:")) && error.contains("memory-free"), "{error}");
    let whole = BUILT_IN[0].1.lines().find(|line| line.starts_with("spark")).expect("spark");
    let error = dark_with(whole, "spark = \"reddish\"").expect_err("no such colour").to_string();
    assert!(error.contains(&format!("line {line}:")) && error.contains("bright-red"), "{error}");
}

#[test]
fn a_persons_own_file_comes_first_and_an_unknown_name_lists_what_there_is() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let paths = Paths::under(root.path());
    let directory = paths.config.join("themes");
    std::fs::create_dir_all(&directory).expect("a directory can be made");
    std::fs::write(directory.join("dark.toml"), BUILT_IN[1].1).expect("a file can be written");
    let mine = Theme::named("dark", &paths).expect("a whole theme");
    assert_eq!(mine.styles, Theme::built_in("light").expect("built in").styles);
    let error = Theme::named("solarised", &paths).expect_err("no such theme").to_string();
    assert!(error.contains("dark, light, lagoon, paper, high-contrast, ansi16"), "{error}");
    assert!(Theme::named("../../etc/passwd", &paths).is_err());
}

#[test]
fn all_themes_are_listed_with_what_is_wrong_with_them() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let paths = Paths::under(root.path());
    let directory = paths.config.join("themes");
    assert_eq!(Theme::all(&paths), Theme::all_built_in());
    std::fs::create_dir_all(&directory).expect("a directory can be made");
    for (name, text) in
        [("zinc", BUILT_IN[0].1), ("broken", "[roles]\n"), (".dark", ""), ("dark", BUILT_IN[1].1)]
    {
        std::fs::write(directory.join(format!("{name}.toml")), text).expect("a file can be written");
    }
    std::fs::write(directory.join("notes.txt"), "").expect("a file can be written");
    let all = Theme::all(&paths);
    let names: Vec<&str> = all.iter().map(|named| named.name.as_str()).collect();
    assert_eq!(names, ["dark", "light", "lagoon", "paper", "high-contrast", "ansi16", "broken", "zinc"]);
    assert_eq!(
        all[0].theme.as_ref().map(|theme| theme.styles),
        Ok(Theme::built_in("light").expect("light").styles)
    );
    assert!(all[6].theme.as_ref().is_err_and(|why| why.contains("is missing")), "{:?}", all[6]);
}
