//! `flux-tui doctor terminal`: what the terminal is, how pictures get onto it and why, and a test card.

use std::fmt::Write as _;

use super::super::failure::Failure;
use super::super::{block_on, stdout, studio};
use crate::config::{Config, Graphics};
use crate::paths::Paths;
use crate::ui::event::Window;
use crate::ui::picture::{Protocol, card};
use crate::ui::terminal::ask::{AskError, Found, ask};
use crate::ui::terminal::choice::Why;
use crate::ui::terminal::clipboard::Between;
use crate::ui::terminal::colours::Depth;
use crate::ui::terminal::device::window;
use crate::ui::terminal::facts::{Environment, Facts};
use crate::ui::terminal::tmux::Tmux;

/// Ask this terminal what it is, say how pictures are drawn on it and why, and show a test card.
///
/// Waits two seconds for answers at the most, five over SSH.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// How the card is shown, where the terminal's answers mislead
    #[arg(long, value_name = "HOW", value_parser = studio::graphics())]
    graphics: Option<Graphics>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let configured =
        || Paths::from_env().map_or(Graphics::Auto, |paths| Config::load(&paths.config).0.graphics);
    let wanted = args.graphics.unwrap_or_else(configured);
    let found = block_on(async {
        ask(Environment::read(), wanted).await.map_err(|error| match error {
            AskError::Interrupted => Failure::Interrupted,
            other => Failure::Terminal(other),
        })
    })?;
    let window = window();
    stdout::write(&page(&found, window))?;
    if found.facts.environment.has_no_pictures() {
        return stdout::line("No card is shown: TERM says that this terminal has no colours.");
    }
    let (means, depth) = (found.facts.means(window), found.facts.depth());
    let card = card::print(means, (window.columns, window.rows), depth).map_err(Failure::TestCard)?;
    stdout::write(&card)?;
    stdout::line(
        "Above: eight bars of colour from white to black, a ramp of grey below them, and over both an orange \
         circle that is round. If it is not, try --graphics halfblocks.",
    )
}

/// What was found, a line each.
fn page(found: &Found, window: Window) -> String {
    let facts = &found.facts;
    let environment = &facts.environment;
    let term = if environment.term.is_empty() { "(not set)" } else { &environment.term };
    let said = match (found.answered, environment.can_be_asked()) {
        (Some(time), _) => format!("answered within {} ms", time.as_millis()),
        (None, true) => "did not answer".to_owned(),
        (None, false) => "not asked: TERM says that it would print the questions".to_owned(),
    };
    let name = facts.name().unwrap_or("does not say its name");
    let cell = facts
        .cell(window)
        .map_or_else(|| "not known".to_owned(), |(width, height)| format!("{width}x{height} pixels"));
    let background = facts.background().map(|[red, green, blue]| {
        let shade = if facts.is_light() == Some(true) { "light" } else { "dark" };
        format!("#{red:02x}{green:02x}{blue:02x}, {shade}")
    });
    let choice = facts.choice(window);
    let mut rows = vec![
        ("terminal", format!("{name}; TERM={term}")),
        ("questions", said),
        ("window", format!("{}x{} cells", window.columns, window.rows)),
        ("cell", cell),
        ("colours", colours(facts).to_owned()),
        ("background", background.unwrap_or_else(|| "not known".to_owned())),
        ("synchronized", yes(facts.is_synchronized()).to_owned()),
        ("kitty graphics", yes(facts.has_kitty_graphics()).to_owned()),
        ("sixel", yes(facts.has_sixel()).to_owned()),
    ];
    rows.extend(around(facts).map(|text| ("inside", text)));
    rows.push(("pictures", format!("{}: {}", protocol(choice.protocol), choice.why)));
    rows.extend(advice(choice.why).map(|text| ("better", text.to_owned())));
    rows.iter().fold(String::new(), |mut page, (about, says)| {
        let _ = writeln!(page, "{about:14}  {says}");
        page
    })
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn colours(facts: &Facts) -> &'static str {
    match facts.depth() {
        Depth::True => "24 bits",
        Depth::Indexed => "256",
        Depth::Sixteen => "16",
    }
}

/// What stands between, as far as it is known.
fn around(facts: &Facts) -> Option<String> {
    match facts.environment.between {
        Between::Nothing if facts.environment.multiplexer => Some("a multiplexer, as TERM says".to_owned()),
        Between::Nothing => None,
        Between::Screen => Some("GNU screen".to_owned()),
        Between::Zellij => Some("zellij".to_owned()),
        Between::Tmux => Some(facts.tmux().map_or_else(|| "tmux, which could not be asked".to_owned(), tmux)),
    }
}

fn tmux(tmux: &Tmux) -> String {
    let names: Vec<&str> = tmux.clients.iter().map(|client| client.name.as_str()).collect();
    let attached = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    format!("tmux; attached: {attached}; allow-passthrough: {}", if tmux.passes { "on" } else { "off" })
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::HalfBlocks => "half-blocks",
        Protocol::Kitty => "kitty's, by placeholders",
        Protocol::KittyThroughTmux => "kitty's, by placeholders through tmux",
        Protocol::KittyPlaced => "kitty's, over the cells",
        Protocol::Iterm2 => "iTerm2's",
        Protocol::Sixel => "sixel",
    }
}

/// What would make pictures better.
fn advice(why: Why) -> Option<&'static str> {
    Some(match why {
        Why::TmuxKeeps => "`tmux set -g allow-passthrough on`, and that line without `tmux` in tmux.conf",
        Why::TmuxClient => {
            "attach with kitty 0.28 or later or with ghostty, or draw sixel with tmux 3.4 or later that has it"
        }
        Why::TmuxUnasked => {
            "if the terminal knows kitty's placeholders and tmux passes them on: --graphics kitty"
        }
        Why::TmuxAlone => "attach to the session, then press Ctrl-L in the studio",
        Why::NoCell => "a terminal that answers CSI 16 t; if it draws sixel all the same: --graphics sixel",
        Why::NoAnswer => "if it draws pictures all the same: --graphics kitty, iterm2 or sixel",
        Why::NoGraphics => {
            "kitty, ghostty, WezTerm, iTerm2, foot, xterm -ti vt340 and others draw real pixels"
        }
        Why::OldKitty => "kitty 0.28 or later, whose pictures go with the text, also inside tmux",
        Why::Screen => "tmux with `set -g allow-passthrough on`",
        Why::Zellij => "a terminal that draws sixel around zellij",
        Why::Nested => "one multiplexer alone, or --graphics if you know what passes",
        Why::Wanted | Why::Placeholders | Why::Iterm2 | Why::Sixel | Why::ThroughTmux | Why::TmuxSixel => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::input::Report;

    const WINDOW: Window = Window { columns: 80, rows: 24, pixels: Some((800, 480)) };

    #[test]
    fn it_says_what_is_in_the_way_and_what_would_help() {
        let environment = Environment {
            term: "tmux-256color".to_owned(),
            multiplexer: true,
            between: Between::Tmux,
            ..Environment::default()
        };
        let mut facts = Facts::new(environment, Graphics::Auto);
        facts.learn(&Report::Version("tmux 3.4".to_owned()));
        facts.learn(&Report::Background([30, 30, 46]));
        facts.learn(&Report::Attributes(vec![1, 2]));
        facts.learn_tmux(Some(Tmux::parse(
            "pane\toff\t3.4\nclient\t1\tkitty(0.35.2)\txterm-kitty\tRGB\t9\t18\n",
        )));
        let found = Found { facts, answered: Some(std::time::Duration::from_millis(12)) };
        let page = page(&found, WINDOW);
        for line in [
            "terminal        tmux 3.4; TERM=tmux-256color\n",
            "questions       answered within 12 ms\n",
            "cell            10x20 pixels\n",
            "background      #1e1e2e, dark\n",
            "inside          tmux; attached: kitty(0.35.2); allow-passthrough: off\n",
            "pictures        half-blocks: tmux passes nothing on\n",
            "better          `tmux set -g allow-passthrough on`",
        ] {
            assert!(page.contains(line), "no {line:?} in\n{page}");
        }
    }
}
