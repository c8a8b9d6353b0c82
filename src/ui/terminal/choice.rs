//! Which protocol pictures are drawn by, from what is known of the terminal, and why.

use std::fmt;

use super::clipboard::Between;
use super::facts::{Facts, is_named, version};
use super::tmux::{Client, Tmux};
use crate::config::Graphics;
use crate::ui::picture::Protocol;

/// Since which version kitty knows placeholders.
const KITTY_PLACEHOLDERS: (u32, u32) = (0, 28);
/// Since which version tmux draws sixel, where it was built with it.
const TMUX_SIXEL: (u32, u32) = (3, 4);
/// Those who show iTerm2's pictures; of what else they answer, they have less.
const ITERM2S: [&str; 5] = ["iTerm2", "WezTerm", "mintty", "Konsole", "rio"];

/// A protocol, and why it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The protocol.
    pub protocol: Protocol,
    /// Why.
    pub why: Why,
}

/// Why a protocol was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A person wants it.
    Wanted,
    /// The terminal has kitty's graphics and is known to have placeholders.
    Placeholders,
    /// It is a kitty without placeholders.
    OldKitty,
    /// It is known for iTerm2's pictures.
    Iterm2,
    /// It says that it draws sixel.
    Sixel,
    /// It answered, and has no graphics that are known.
    NoGraphics,
    /// It has not answered.
    NoAnswer,
    /// It draws pictures, but nobody says how large a cell is.
    NoCell,
    /// tmux passes on to a terminal with placeholders.
    ThroughTmux,
    /// Every terminal that tmux has draws sixel, and tmux does.
    TmuxSixel,
    /// tmux does not pass on.
    TmuxKeeps,
    /// A terminal that tmux has is without graphics that can be passed on.
    TmuxClient,
    /// tmux could not be asked.
    TmuxUnasked,
    /// Nobody looks at tmux's session.
    TmuxAlone,
    /// GNU screen passes no pictures on.
    Screen,
    /// zellij says that it draws no sixel.
    Zellij,
    /// One multiplexer in another.
    Nested,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wanted => "as asked for",
            Self::Placeholders => "it answers kitty's question and knows placeholders",
            Self::OldKitty => "kitty before 0.28 has no placeholders: pictures lie over the cells",
            Self::Iterm2 => "this terminal is known for it",
            Self::Sixel => "it says so",
            Self::NoGraphics => "it says that it has no graphics",
            Self::NoAnswer => "it answers no questions",
            Self::NoCell => "it draws pictures but does not say how large a cell is",
            Self::ThroughTmux => "tmux passes it on to a terminal that knows placeholders",
            Self::TmuxSixel => "tmux and every terminal that is attached draw sixel",
            Self::TmuxKeeps => "tmux passes nothing on",
            Self::TmuxClient => "a terminal that is attached has no graphics that tmux could pass on",
            Self::TmuxUnasked => "tmux could not be asked which terminals are attached",
            Self::TmuxAlone => "no terminal is attached to tmux",
            Self::Screen => "screen passes no pictures on",
            Self::Zellij => "zellij says that it draws no sixel here",
            Self::Nested => "there is one multiplexer in another",
        })
    }
}

/// The protocol for this terminal; `has_cell` when it is known how large a cell is.
pub(super) fn choose(facts: &Facts, has_cell: bool) -> Choice {
    if let Some(protocol) = wanted(facts) {
        return Choice { protocol, why: Why::Wanted };
    }
    let (protocol, why) = found(facts);
    // A graphics protocol without a cell's size would draw over its neighbours.
    if protocol != Protocol::HalfBlocks && !has_cell {
        return Choice { protocol: Protocol::HalfBlocks, why: Why::NoCell };
    }
    Choice { protocol, why }
}

/// What the person wants, in the form that this terminal has.
fn wanted(facts: &Facts) -> Option<Protocol> {
    let name = facts.name().unwrap_or("");
    let in_tmux = facts.environment.between == Between::Tmux || is_named(name, "tmux");
    match facts.wanted {
        Graphics::Auto => None,
        Graphics::Kitty if in_tmux => Some(Protocol::KittyThroughTmux),
        Graphics::Kitty if is_named(name, "kitty") && !has_placeholders(name) => Some(Protocol::KittyPlaced),
        Graphics::Kitty => Some(Protocol::Kitty),
        Graphics::Iterm2 => Some(Protocol::Iterm2),
        Graphics::Sixel => Some(Protocol::Sixel),
        Graphics::HalfBlocks => Some(Protocol::HalfBlocks),
    }
}

/// Whether a terminal of this name and version knows kitty's placeholders: others answer its question too.
fn has_placeholders(name: &str) -> bool {
    let ghostty = is_named(name, "ghostty") || is_named(name, "xterm-ghostty");
    ghostty || (is_named(name, "kitty") && version(name) >= KITTY_PLACEHOLDERS)
}

fn found(facts: &Facts) -> (Protocol, Why) {
    let name = facts.name().unwrap_or("");
    if facts.environment.nested {
        return (Protocol::HalfBlocks, Why::Nested);
    }
    match facts.environment.between {
        Between::Tmux => return in_tmux(facts),
        Between::Screen => return (Protocol::HalfBlocks, Why::Screen),
        Between::Zellij => return in_zellij(facts),
        // One of another machine, with a line from it to here.
        Between::Nothing if is_named(name, "zellij") => return in_zellij(facts),
        Between::Nothing if is_named(name, "screen") => return (Protocol::HalfBlocks, Why::Screen),
        Between::Nothing if facts.environment.multiplexer || is_named(name, "tmux") => {
            return (Protocol::HalfBlocks, Why::TmuxUnasked);
        }
        Between::Nothing => {}
    }
    if facts.has_kitty_graphics() && has_placeholders(name) {
        (Protocol::Kitty, Why::Placeholders)
    } else if facts.has_kitty_graphics() && is_named(name, "kitty") {
        (Protocol::KittyPlaced, Why::OldKitty)
    } else if ITERM2S.iter().any(|known| is_named(name, known)) {
        (Protocol::Iterm2, Why::Iterm2)
    } else if facts.has_sixel() {
        (Protocol::Sixel, Why::Sixel)
    } else if facts.has_answered() {
        (Protocol::HalfBlocks, Why::NoGraphics)
    } else {
        (Protocol::HalfBlocks, Why::NoAnswer)
    }
}

/// zellij takes kitty's pictures but not their placeholders; its answer to the last question is about the terminal too.
fn in_zellij(facts: &Facts) -> (Protocol, Why) {
    match facts.has_sixel() {
        true => (Protocol::Sixel, Why::Sixel),
        false => (Protocol::HalfBlocks, Why::Zellij),
    }
}

/// All terminals that are attached get the same bytes: the least able of them counts. That tmux says that it draws sixel
/// only means that it was built with it.
fn in_tmux(facts: &Facts) -> (Protocol, Why) {
    let Some(Tmux { passes, clients }) = facts.tmux() else {
        return (Protocol::HalfBlocks, Why::TmuxUnasked);
    };
    let all = |can: fn(&Client) -> bool| clients.iter().all(can);
    let placeholders = all(|client| has_placeholders(&client.name));
    let sixel =
        facts.has_sixel() && facts.is_at_least("tmux", TMUX_SIXEL) && all(|client| client.has("sixel"));
    match (clients.is_empty(), placeholders, *passes) {
        (true, _, _) => (Protocol::HalfBlocks, Why::TmuxAlone),
        (_, true, true) => (Protocol::KittyThroughTmux, Why::ThroughTmux),
        _ if sixel => (Protocol::Sixel, Why::TmuxSixel),
        (_, true, false) => (Protocol::HalfBlocks, Why::TmuxKeeps),
        _ => (Protocol::HalfBlocks, Why::TmuxClient),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::event::Window;
    use crate::ui::input::Report;
    use crate::ui::terminal::facts::Environment;

    const WINDOW: Window = Window { columns: 80, rows: 24, pixels: Some((800, 480)) };
    const PASSES: &str = "pane\t1\t3.4\n";
    const KEEPS: &str = "pane\t0\t3.4\n";
    const KITTY: &str = "client\t1\tkitty(0.35.2)\txterm-kitty\t256,RGB\t9\t18\n";
    const OLD_KITTY: &str = "client\t2\tkitty(0.26.5)\txterm-kitty\t256,RGB\t9\t18\n";
    const GHOSTTY: &str = "client\t3\t\txterm-ghostty\t256,RGB\t9\t18\n";
    const FOOT: &str = "client\t4\tfoot(1.16.2)\tfoot\t256,RGB,sixel\t9\t18\n";
    const XTERM: &str = "client\t5\tXTerm(379)\txterm\t256\t9\t18\n";

    fn facts(between: Between, name: &str, sixel: bool) -> Facts {
        let environment = Environment { multiplexer: true, between, ..Environment::default() };
        let mut facts = Facts::new(environment, Graphics::Auto);
        facts.learn(&Report::Version(name.into()));
        facts.learn(&Report::Attributes(if sixel { vec![62, 4] } else { vec![62] }));
        facts
    }

    #[test]
    fn inside_tmux_by_what_it_says_of_the_least_able_terminal() {
        use Protocol::{HalfBlocks, KittyThroughTmux, Sixel};
        for (version, sixel, said, protocol, why) in [
            ("tmux 3.3a", false, vec![PASSES, KITTY], KittyThroughTmux, Why::ThroughTmux),
            ("tmux 3.4", false, vec![PASSES, KITTY, GHOSTTY], KittyThroughTmux, Why::ThroughTmux),
            ("tmux 3.4", true, vec![PASSES, KITTY], KittyThroughTmux, Why::ThroughTmux),
            ("tmux 3.3a", false, vec![KEEPS, KITTY], HalfBlocks, Why::TmuxKeeps),
            ("tmux 3.3a", false, vec![PASSES, OLD_KITTY], HalfBlocks, Why::TmuxClient),
            ("tmux 3.3a", false, vec![PASSES, KITTY, XTERM], HalfBlocks, Why::TmuxClient),
            ("tmux 3.4", true, vec![KEEPS, FOOT], Sixel, Why::TmuxSixel),
            ("tmux 3.4", true, vec![PASSES, FOOT, KITTY], HalfBlocks, Why::TmuxClient),
            ("tmux 3.4", true, vec![PASSES, XTERM], HalfBlocks, Why::TmuxClient),
            ("tmux 3.4", false, vec![PASSES, FOOT], HalfBlocks, Why::TmuxClient),
            ("tmux 3.3a", true, vec![PASSES, FOOT], HalfBlocks, Why::TmuxClient),
            ("tmux 3.4", true, vec![PASSES], HalfBlocks, Why::TmuxAlone),
        ] {
            let mut facts = facts(Between::Tmux, version, sixel);
            facts.learn_tmux(Some(Tmux::parse(&said.concat())));
            assert_eq!(facts.choice(WINDOW), Choice { protocol, why }, "{version} {sixel} {said:?}");
        }
        assert_eq!(facts(Between::Tmux, "tmux 3.4", true).choice(WINDOW).why, Why::TmuxUnasked);
    }

    #[test]
    fn inside_zellij_and_screen_and_one_in_another() {
        for (between, name, sixel, protocol, why) in [
            (Between::Zellij, "Zellij(0.41.2)", true, Protocol::Sixel, Why::Sixel),
            (Between::Zellij, "Zellij(0.41.2)", false, Protocol::HalfBlocks, Why::Zellij),
            (Between::Screen, "", true, Protocol::HalfBlocks, Why::Screen),
            (Between::Nothing, "tmux 3.4", true, Protocol::HalfBlocks, Why::TmuxUnasked),
        ] {
            let mut facts = facts(between, name, sixel);
            assert_eq!(facts.choice(WINDOW), Choice { protocol, why }, "{between:?} {name:?} {sixel}");
            facts.environment.nested = true;
            assert_eq!(facts.choice(WINDOW).protocol, Protocol::HalfBlocks);
        }
    }

    #[test]
    fn what_is_wanted_is_passed_through_tmux() {
        let mut inside = facts(Between::Nothing, "tmux 3.4", false);
        inside.wanted = Graphics::Kitty;
        assert_eq!(inside.choice(WINDOW).protocol, Protocol::KittyThroughTmux);
        inside.wanted = Graphics::Sixel;
        assert_eq!(inside.choice(WINDOW), Choice { protocol: Protocol::Sixel, why: Why::Wanted });
    }

    #[test]
    fn nothing_is_drawn_where_a_cell_has_no_size() {
        let mut inside = facts(Between::Tmux, "tmux 3.3a", false);
        let no_cell = KITTY.replace("9\t18", "0\t0");
        inside.learn_tmux(Some(Tmux::parse(&format!("{PASSES}{no_cell}"))));
        let window = Window { pixels: None, ..WINDOW };
        assert_eq!(inside.choice(window).why, Why::NoCell);
        inside.learn_tmux(Some(Tmux::parse(&format!("{PASSES}{KITTY}"))));
        assert_eq!(inside.means(window).cell, (9, 18));
    }
}
