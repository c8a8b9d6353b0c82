//! What is known of the terminal, and by which means pictures are drawn on it.
//!
//! Environment variables do not cross SSH, so a terminal is identified by asking it. The questions
//! go out after the first frame and the answers come whenever they come; until then, and for ever
//! where none comes, pictures are half-blocks.

use crate::config::Graphics;
use crate::ui::event::Window;
use crate::ui::input::Report;
use crate::ui::picture::Means;
use crate::ui::terminal::choice::{Choice, choose};
use crate::ui::terminal::clipboard::Between;
use crate::ui::terminal::colours::Depth;
use crate::ui::terminal::tmux::Tmux;

/// A cell's shape where the terminal does not say: twice as high as wide.
const USUAL_CELL: (u16, u16) = (10, 20);

/// The questions. DA1 is last: every terminal answers it, so its answer ends the round.
pub const QUESTIONS: &str = concat!(
    "\x1b[>q",                                    // XTVERSION
    "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\", // kitty graphics
    "\x1b[14t",                                   // the text area in pixels
    "\x1b[16t",                                   // a cell in pixels
    "\x1b]11;?\x1b\\",                            // the background
    "\x1b[?2026$p",                               // synchronized update
    "\x1b[c",                                     // DA1
);

/// What the environment says. Read once, at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `TERM`.
    pub term: String,
    /// Inside tmux, screen or zellij, as far as the environment tells.
    pub multiplexer: bool,
    /// What has to be passed through.
    pub between: Between,
    /// One multiplexer within another: nobody knows which is the inner one.
    pub nested: bool,
    /// In Windows Terminal, which gives its session to what it starts.
    pub windows_terminal: bool,
    /// `SSH_CONNECTION` is set.
    pub ssh: bool,
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// How many colours there are, as far as the environment tells.
    pub depth: Depth,
}

impl Environment {
    /// Of this process.
    #[must_use]
    pub fn read() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let term = std::env::var("TERM").unwrap_or_default();
        let around = ["TMUX", "STY", "ZELLIJ"].into_iter().filter(|name| set(name)).count();
        let multiplexer = around > 0 || term.starts_with("tmux") || term.starts_with("screen");
        let depth = Depth::of(&std::env::var("COLORTERM").unwrap_or_default(), &term);
        Self {
            multiplexer,
            between: Between::read(),
            nested: around > 1,
            windows_terminal: set("WT_SESSION"),
            ssh: set("SSH_CONNECTION"),
            no_color: set("NO_COLOR"),
            depth,
            term,
        }
    }

    /// Whether a line may lie between here and the terminal: from within a multiplexer it is not known who looks from where.
    #[must_use]
    pub fn may_be_far(&self) -> bool {
        self.ssh || self.multiplexer
    }

    /// Whether the terminal understands questions. The Linux console and teletypes print them.
    #[must_use]
    pub fn can_be_asked(&self) -> bool {
        !matches!(self.term.as_str(), "" | "linux" | "dumb" | "vt52")
    }

    /// Whether not even half-blocks can be shown, as far as its name tells.
    #[must_use]
    pub fn has_no_pictures(&self) -> bool {
        matches!(self.term.as_str(), "" | "dumb" | "vt52")
    }

    /// Whether the terminal has no more than sixteen colours, as far as its name tells.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        matches!(self.term.as_str(), "linux" | "xterm-16color" | "vt100" | "vt220" | "ansi" | "dumb" | "")
    }
}

/// What is known of the terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// What the environment says.
    pub environment: Environment,
    /// What the person wants.
    pub wanted: Graphics,
    pub(super) name: Option<String>,
    pub(super) kitty_graphics: bool,
    pub(super) sixel: bool,
    /// Whether it has answered the last question, which every terminal does.
    answered: bool,
    /// Whether it draws what comes between two marks at once (mode 2026).
    synchronized: bool,
    /// What tmux says, where it was asked and has answered.
    pub(super) tmux: Option<Tmux>,
    cell: Option<(u16, u16)>,
    area: Option<(u16, u16)>,
    background: Option<[u8; 3]>,
}

impl Facts {
    /// Before anything was answered.
    #[must_use]
    pub fn new(environment: Environment, wanted: Graphics) -> Self {
        Self { environment, wanted, ..Self::default() }
    }

    /// Takes an answer.
    pub fn learn(&mut self, report: &Report) {
        match report {
            Report::Attributes(attributes) => {
                self.answered = true;
                self.sixel = attributes.iter().skip(1).any(|found| *found == 4);
            }
            Report::Version(name) => self.name = Some(name.clone()),
            Report::KittyGraphics(ok) => self.kitty_graphics = *ok,
            Report::CellPixels { width, height } => self.cell = positive(*width, *height),
            Report::AreaPixels { width, height } => self.area = positive(*width, *height),
            Report::Background(rgb) => self.background = Some(*rgb),
            Report::Mode { mode: 2026, state } => self.synchronized = matches!(state, 1 | 2),
            Report::Mode { .. } | Report::Arrived => {}
        }
    }

    /// Takes what tmux says; whether it is something else than before: then other terminals may be looking.
    pub fn learn_tmux(&mut self, tmux: Option<Tmux>) -> bool {
        let changed = self.tmux != tmux;
        self.tmux = tmux;
        changed
    }

    /// Whether it has answered a whole round of questions.
    #[must_use]
    pub fn has_answered(&self) -> bool {
        self.answered
    }

    /// What it calls itself.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What tmux says.
    #[must_use]
    pub fn tmux(&self) -> Option<&Tmux> {
        self.tmux.as_ref()
    }

    /// Its background.
    #[must_use]
    pub fn background(&self) -> Option<[u8; 3]> {
        self.background
    }

    /// Whether it draws a frame at once.
    #[must_use]
    pub fn is_synchronized(&self) -> bool {
        self.synchronized
    }

    /// Whether it draws sixel, as it says.
    #[must_use]
    pub fn has_sixel(&self) -> bool {
        self.sixel
    }

    /// Whether it has answered the question of kitty's graphics protocol.
    #[must_use]
    pub fn has_kitty_graphics(&self) -> bool {
        self.kitty_graphics
    }

    /// Whether it calls itself so, and has this version or a later one: the first two numbers in its name.
    #[must_use]
    pub fn is_at_least(&self, known: &str, since: (u32, u32)) -> bool {
        let name = self.name.as_deref().unwrap_or("");
        is_named(name, known) && version(name) >= since
    }

    /// Forgets the answers: the questions are asked again, perhaps to another terminal.
    pub fn forget(&mut self) {
        *self = Self::new(self.environment.clone(), self.wanted);
    }

    /// Whether the background is light; `None` while nobody knows.
    #[must_use]
    pub fn is_light(&self) -> Option<bool> {
        let [red, green, blue] = self.background?.map(u32::from);
        // Luminance by the weights of BT.709, in thousandths.
        Some(red * 213 + green * 715 + blue * 72 > 128_000)
    }

    /// How many colours there are. A terminal that says who it is (XTVERSION) has all of them, or
    /// brings them to what it has by itself; over SSH its environment is not known.
    #[must_use]
    pub fn depth(&self) -> Depth {
        match self.environment.depth {
            Depth::Indexed if self.name.is_some() => Depth::True,
            depth => depth,
        }
    }

    /// By which means pictures are drawn in this window.
    #[must_use]
    pub fn means(&self, window: Window) -> Means {
        let Choice { protocol, .. } = self.choice(window);
        Means { protocol, cell: self.cell(window).unwrap_or(USUAL_CELL) }
    }

    /// By which protocol, and why.
    #[must_use]
    pub fn choice(&self, window: Window) -> Choice {
        choose(self, self.cell(window).is_some())
    }

    /// One cell in pixels: as the terminal says, or the window divided by its cells.
    /// Within tmux as tmux knows it.
    #[must_use]
    pub fn cell(&self, window: Window) -> Option<(u16, u16)> {
        let divided = |(width, height): (u16, u16)| {
            positive(width.checked_div(window.columns)?, height.checked_div(window.rows)?)
        };
        let told =
            self.cell.or_else(|| window.pixels.and_then(divided)).or_else(|| self.area.and_then(divided));
        told.or_else(|| self.tmux.as_ref()?.clients.iter().find_map(|client| client.cell))
    }
}

fn positive(width: u16, height: u16) -> Option<(u16, u16)> {
    (width > 0 && height > 0).then_some((width, height))
}

/// Whether a terminal's name is this one: `kitty(0.35.2)` is kitty.
pub(super) fn is_named(name: &str, known: &str) -> bool {
    name.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known))
}

/// The first two numbers in a name: `kitty(0.35.2)` is 0, 35.
pub(super) fn version(name: &str) -> (u32, u32) {
    let mut numbers = name.split(|found: char| !found.is_ascii_digit()).filter_map(|text| text.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::picture::Protocol;

    const WINDOW: Window = Window { columns: 80, rows: 24, pixels: None };

    fn protocol(environment: Environment, name: &str, kitty: bool, sixel: bool) -> Protocol {
        let mut facts = Facts::new(environment, Graphics::Auto);
        if !name.is_empty() {
            facts.learn(&Report::Version(name.into()));
        }
        facts.learn(&Report::KittyGraphics(kitty));
        facts.learn(&Report::CellPixels { width: 8, height: 16 });
        facts.learn(&Report::Attributes(if sixel { vec![62, 4] } else { vec![62] }));
        facts.means(WINDOW).protocol
    }

    #[test]
    fn terminals_by_what_they_answer() {
        let here = Environment::default();
        for (name, kitty, sixel, expected) in [
            ("kitty(0.35.2)", true, false, Protocol::Kitty),
            ("kitty(0.26.5)", true, false, Protocol::KittyPlaced),
            ("kitty(0.26.5)", false, false, Protocol::HalfBlocks),
            ("ghostty 1.1.0", true, false, Protocol::Kitty),
            ("WezTerm 20240203-110809", true, true, Protocol::Iterm2),
            ("iTerm2 3.5.0", true, true, Protocol::Iterm2),
            ("XTerm(379)", false, true, Protocol::Sixel),
            ("", false, true, Protocol::Sixel),
            ("foot(1.16.2)", false, true, Protocol::Sixel),
            ("tmux 3.3a", false, true, Protocol::HalfBlocks),
            ("", false, false, Protocol::HalfBlocks),
        ] {
            assert_eq!(protocol(here.clone(), name, kitty, sixel), expected, "{name:?}");
        }
        let inside = Environment { multiplexer: true, ..here };
        assert_eq!(protocol(inside, "kitty(0.35.2)", true, true), Protocol::HalfBlocks);
    }

    #[test]
    fn nothing_answered_is_half_blocks() {
        let facts = Facts::new(Environment::default(), Graphics::Auto);
        assert_eq!(facts.means(WINDOW), Means { protocol: Protocol::HalfBlocks, cell: USUAL_CELL });
    }

    #[test]
    fn sixel_without_a_cell_size_is_half_blocks_unless_it_was_asked_for() {
        let mut facts = Facts::new(Environment::default(), Graphics::Auto);
        facts.learn(&Report::Attributes(vec![62, 4]));
        assert_eq!(facts.means(WINDOW).protocol, Protocol::HalfBlocks);
        let pixels = Window { pixels: Some((804, 484)), ..WINDOW };
        assert_eq!(facts.means(pixels), Means { protocol: Protocol::Sixel, cell: (10, 20) });
        facts.wanted = Graphics::Sixel;
        assert_eq!(facts.means(WINDOW).protocol, Protocol::Sixel);
    }

    #[test]
    fn a_background_is_light_or_dark() {
        let mut facts = Facts::default();
        assert_eq!(facts.is_light(), None);
        facts.learn(&Report::Background([0xfd, 0xf6, 0xe3]));
        assert_eq!(facts.is_light(), Some(true));
        facts.learn(&Report::Background([0x1c, 0x1c, 0x1c]));
        assert_eq!(facts.is_light(), Some(false));
    }
}
