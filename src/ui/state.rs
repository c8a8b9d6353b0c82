//! All that the studio knows, grouped by pane. Views read it, only [`super::update`] changes it.

use std::time::Instant;

use ratatui::layout::Size;

use super::arrangement::{Kept, Zoom};
use super::event::Window;
use super::glyphs::Glyphs;
use super::keymap::Keymap;
use super::language::{Language, Languages};
use super::layout::Layout;
use super::notice::Notices;
use super::pane::Pane;
use super::pane::editing::Editing;
use super::pane::gallery::GalleryPane;
use super::pane::history::HistoryPane;
use super::pane::log::LogPane;
use super::pane::loras::LorasPane;
use super::pane::memory::MemoryPane;
use super::pane::models::ModelsPane;
use super::pane::overlay::Overlay;
use super::pane::palette::PalettePane;
use super::pane::parameters::ParametersPane;
use super::pane::preview::PreviewPane;
use super::pane::prompt::PromptPane;
use super::pane::prompts::PromptList;
use super::pane::queue::QueuePane;
use super::pane::themes::ThemesPane;
use super::telling::Messages;
use super::terminal::facts::Facts;
use super::terminal::line::Line;
use super::theme::Theme;
use crate::config::JobDefaults;
use crate::wire::message::EngineStatus;

/// All that the studio knows.
#[derive(Debug)]
pub struct State {
    /// What to draw.
    pub prompt: PromptPane,
    /// How.
    pub parameters: ParametersPane,
    /// A job that both are changing.
    pub editing: Option<Box<Editing>>,
    /// Memory, load, temperature.
    pub memory: MemoryPane,
    /// The picture.
    pub preview: PreviewPane,
    /// What waits.
    pub queue: QueuePane,
    /// What was drawn.
    pub history: HistoryPane,
    /// The gallery.
    pub gallery: GalleryPane,
    /// Which models there are, and which are being fetched.
    pub models: ModelsPane,
    /// Which LoRAs there are, and which the draft has.
    pub loras: LorasPane,
    /// A list that lies over the panes.
    pub overlay: Overlay,
    /// The connection, and who is at its other end.
    pub worker: Worker,
    /// What the person has to be told.
    pub notices: Notices,
    /// Which pane has the keys, and what lies over them.
    pub view: ViewState,
    /// Theme and signs.
    pub look: Look,
    /// What everything is said in.
    pub language: Language,
    /// Why in that.
    pub languages: Languages,
    /// What keys mean.
    pub keys: Keymap,
    /// Everything by its name.
    pub palette: PalettePane,
    /// Which themes there are.
    pub themes: ThemesPane,
    /// What was told.
    pub log: LogPane,
    /// What is known of the terminal.
    pub terminal: Facts,
    /// What is known of the line to it.
    pub line: Line,
    /// What a person who looks elsewhere has to be told.
    pub messages: Messages,
    /// The moment of the last event.
    pub now: Instant,
}

/// Which pane has the keys, and what lies over them.
#[derive(Debug, Clone, Copy, Default)]
pub struct ViewState {
    /// The window.
    pub window: Window,
    /// The pane that has the keys.
    pub focus: Pane,
    /// The help is open, scrolled by so many rows.
    pub help: Option<usize>,
    /// What is seen alone.
    pub zoom: Option<Zoom>,
    /// What is remembered from one studio to the next.
    pub kept: Kept,
    /// The terminal's window, or the multiplexer's, has not the focus.
    pub elsewhere: bool,
    /// Pictures were drawn since.
    pub unseen: bool,
    /// The first lines for someone who is here for the first time are shown.
    pub tour: bool,
}

/// The connection, and who is at its other end.
#[derive(Debug, Default)]
pub struct Worker {
    /// The connection.
    pub link: Link,
    /// The machine that it is on, when it is another.
    pub host: Option<String>,
    /// What computes, the best device first.
    pub engines: Vec<EngineStatus>,
    /// Jobs that were asked for before there was a connection.
    pub unsent: Vec<super::draft::Draft>,
}

/// The connection to the worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Link {
    /// A worker is being looked for or started.
    #[default]
    Connecting,
    /// There is one.
    Up,
    /// There is none.
    Down {
        /// Why, and what would help.
        reason: String,
        /// When it is tried again.
        retry_at: Instant,
    },
}

/// Theme and signs.
#[derive(Debug, Clone)]
pub struct Look {
    /// What roles look like.
    pub theme: Theme,
    /// Signs and borders.
    pub glyphs: Glyphs,
    /// The theme follows the terminal's background.
    pub automatic: bool,
}

impl State {
    /// As it is before anything has happened.
    #[must_use]
    pub fn new(look: Look, terminal: Facts, defaults: JobDefaults, now: Instant) -> Self {
        Self {
            prompt: PromptPane::default(),
            parameters: ParametersPane::new(defaults),
            editing: None,
            memory: MemoryPane::default(),
            preview: PreviewPane::new(),
            queue: QueuePane::default(),
            history: HistoryPane::default(),
            gallery: GalleryPane::default(),
            models: ModelsPane::default(),
            loras: LorasPane::default(),
            overlay: Overlay::None,
            worker: Worker::default(),
            notices: Notices::default(),
            view: ViewState::default(),
            look,
            language: Language::default(),
            languages: Languages::default(),
            keys: Keymap::default(),
            palette: PalettePane::default(),
            themes: ThemesPane::default(),
            log: LogPane::default(),
            line: Line::new(terminal.environment.may_be_far()),
            terminal,
            messages: Messages::default(),
            now,
        }
    }

    /// Whether something lies over the panes and takes their keys.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        let mine = self.palette.is_open() || self.themes.is_open() || self.log.scrolled().is_some();
        mine || self.view.help.is_some()
            || self.models.is_open()
            || self.loras.is_open()
            || self.overlay.is_open()
    }

    /// Whether something lies over the picker of LoRAs too.
    #[must_use]
    pub fn is_picker_covered(&self) -> bool {
        let named = self.palette.is_open() || self.themes.is_open();
        named || self.log.scrolled().is_some() || self.view.help.is_some()
    }

    /// Where everything is.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let window = self.view.window;
        let notice = self.notices.lines(window.columns, self.look.glyphs.ellipsis, self.language);
        let view = &self.view;
        let alone = view.zoom.map(|zoom| zoom.of(view.focus));
        let size = Size::new(window.columns, window.rows);
        Layout::arranged(size, notice.len() as u16, view.kept.layout, alone)
    }

    /// When [`super::event::Event::Tick`] is wanted.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let counts = match self.worker.link {
            Link::Up => self.prompt.counts.deadline(&self.prompt.editor, &self.parameters.model()),
            _ => None,
        };
        // What is due already was seen to by the last update; only what is to come needs a tick.
        let prompts = self.overlay.prompts().and_then(PromptList::due);
        let loras = self.loras.deadline().filter(|_| self.worker.link == Link::Up);
        let preview = self.preview.deadline(self.line.preview_at(self.now), self.now);
        let all = [counts, preview, self.countdown(), prompts, loras];
        all.into_iter().flatten().filter(|due| *due > self.now).min()
    }

    /// A path of the worker's for a person, marked with its machine as `scp` writes it.
    #[must_use]
    pub fn marked(&self, path: &str) -> String {
        self.worker.host.as_ref().map_or_else(|| path.to_owned(), |host| format!("{host}:{path}"))
    }

    /// When the seconds to the next try change.
    fn countdown(&self) -> Option<Instant> {
        let Link::Down { retry_at, .. } = &self.worker.link else { return None };
        let left = retry_at.checked_duration_since(self.now).filter(|left| !left.is_zero())?;
        let rest = std::time::Duration::from_nanos(u64::from(left.subsec_nanos()));
        Some(self.now + rest.max(std::time::Duration::from_millis(50)))
    }
}
