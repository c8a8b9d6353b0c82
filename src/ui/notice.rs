//! What the person has to be told. A notice stays until it is dismissed, the newest in front.

use unicode_width::UnicodeWidthStr;

/// Notices that are kept; the oldest go.
const KEPT: usize = 20;
/// Rows that a notice may take.
const ROWS: usize = 3;

/// What the person has to be told.
#[derive(Debug, Clone, Default)]
pub struct Notices {
    list: Vec<Notice>,
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
}

impl Notices {
    /// Something was not done.
    pub fn error(&mut self, text: impl Into<String>) {
        self.push(Level::Error, text.into());
    }

    /// Something was done otherwise than asked.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.push(Level::Warning, text.into());
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

    /// Rows that the one in front takes in a window of `columns`.
    #[must_use]
    pub fn rows(&self, columns: u16) -> u16 {
        let Some((notice, _)) = self.current() else { return 0 };
        let width = usize::from(columns).saturating_sub(4).max(1);
        // Wrapping at words can take a row more than the width alone says.
        let full = notice.text.width().div_ceil(width);
        (if full > 1 { full + 1 } else { 1 }).min(ROWS) as u16
    }

    fn push(&mut self, level: Level, text: String) {
        let text: String = text.chars().map(|found| if found.is_control() { ' ' } else { found }).collect();
        let notice = Notice { level, text };
        self.list.retain(|known| *known != notice);
        self.list.push(notice);
        if self.list.len() > KEPT {
            self.list.remove(0);
        }
    }
}
