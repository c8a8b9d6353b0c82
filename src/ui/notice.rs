//! What the person has to be told. A notice stays until it is dismissed, the newest in front.

use super::language::Language;
use super::view::text::wrap;

/// Notices that are kept; the oldest go.
const KEPT: usize = 20;
/// Rows that a notice may take.
const ROWS: usize = 3;

/// What the person has to be told.
#[derive(Debug, Clone, Default)]
pub struct Notices {
    list: Vec<Notice>,
    connection: Option<String>,
    /// What the log does not have yet.
    unlogged: Vec<Notice>,
}

/// One thing to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How bad it is.
    pub level: Level,
    /// What, which, and what would work.
    pub text: String,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something was not done.
    Error,
    /// Something was done otherwise than asked.
    Warning,
    /// Something that was waited for is there.
    News,
}

impl Notices {
    /// Something was not done.
    pub fn error(&mut self, text: impl Into<String>) {
        self.push(Level::Error, &text.into());
    }

    /// Something was done otherwise than asked.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.push(Level::Warning, &text.into());
    }

    /// Something that was waited for is there.
    pub fn tell(&mut self, text: impl Into<String>) {
        self.push(Level::News, &text.into());
    }

    /// The one in front, and how many are behind it.
    #[must_use]
    pub fn current(&self) -> Option<(&Notice, usize)> {
        self.list.last().map(|notice| (notice, self.list.len() - 1))
    }

    /// The one in front has been read; `false` when there is none.
    pub fn dismiss(&mut self) -> bool {
        self.list.pop().is_some()
    }

    /// What was told since this was asked last.
    pub fn told(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.unlogged)
    }

    /// What is to be read now: a notice, or what is wrong with the connection.
    #[must_use]
    pub fn front(&self, language: Language) -> Option<(Level, String)> {
        match self.current() {
            Some((notice, 0)) => Some((notice.level, notice.text.clone())),
            Some((notice, behind)) => Some((notice.level, language.notice_more(&notice.text, behind))),
            None => self.connection.clone().map(|trouble| (Level::Error, trouble)),
        }
    }

    /// What is wrong with the connection, for as long as it is.
    pub fn connection(&mut self, trouble: Option<String>) {
        self.connection = trouble.map(|text| plain(&text));
    }

    /// What is to be read now, in lines for a window of `columns`.
    #[must_use]
    pub fn lines(&self, columns: u16, ellipsis: &str, language: Language) -> Vec<String> {
        let width = columns.saturating_sub(4).max(1);
        self.front(language).map_or_else(Vec::new, |(_, text)| wrap(&text, width, ROWS, ellipsis))
    }

    fn push(&mut self, level: Level, text: &str) {
        let notice = Notice { level, text: plain(text) };
        self.unlogged.push(notice.clone());
        self.list.retain(|known| *known != notice);
        self.list.push(notice);
        if self.list.len() > KEPT {
            self.list.remove(0);
        }
    }
}

/// On one line.
fn plain(text: &str) -> String {
    text.chars().map(|found| if found.is_control() { ' ' } else { found }).collect()
}
