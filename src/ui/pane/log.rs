//! The log: what worker and studio told in this session, each with its time. It is kept in memory only.

use std::collections::VecDeque;
use std::time::Instant;

use crate::ui::action::ListMove;
use crate::ui::notice::Level;

/// Entries that are kept; the oldest go.
const KEPT: usize = 500;

/// What was told.
#[derive(Debug, Clone, Default)]
pub struct LogPane {
    entries: VecDeque<Entry>,
    /// A moment and what the clock said then.
    clock: Option<(Instant, jiff::Zoned)>,
    /// Open, scrolled so many rows up from the end.
    open: Option<usize>,
}

/// One thing that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Instant,
    /// How bad it is; `None` for what only happened.
    pub level: Option<Level>,
    /// What.
    pub text: String,
}

impl LogPane {
    /// Sets the clock that times are told by.
    pub fn set_clock(&mut self, at: Instant, time: jiff::Zoned) {
        self.clock = Some((at, time));
    }

    /// Notes something.
    pub fn note(&mut self, at: Instant, level: Option<Level>, text: String) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { at, level, text });
    }

    /// Everything that is kept, the oldest first.
    #[must_use]
    pub fn entries(&self) -> &VecDeque<Entry> {
        &self.entries
    }

    /// The time of a moment, `15:04:05`; empty without a clock.
    #[must_use]
    pub fn time(&self, at: Instant) -> String {
        let Some((known, time)) = &self.clock else { return String::new() };
        let since = at.saturating_duration_since(*known);
        let time = jiff::SignedDuration::try_from(since).ok().and_then(|since| time.checked_add(since).ok());
        time.map_or_else(String::new, |time| time.strftime("%H:%M:%S").to_string())
    }

    /// Opens it at its end, or closes it.
    pub fn toggle(&mut self) {
        self.open = if self.open.is_some() { None } else { Some(0) };
    }

    /// Closes it. Whether it was open.
    pub fn close(&mut self) -> bool {
        self.open.take().is_some()
    }

    /// The rows that it is scrolled up from its end, while it is open.
    #[must_use]
    pub fn scrolled(&self) -> Option<usize> {
        self.open
    }

    /// Scrolls; it has so many rows, and a page of them is seen.
    pub fn scroll(&mut self, by: ListMove, rows: usize, page: usize) {
        let Some(up) = self.open else { return };
        let last = rows.saturating_sub(page);
        let first = last.saturating_sub(up);
        self.open = Some(last - super::moved(first, last + 1, page, by));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_go_and_the_times_are_those_of_the_clock() {
        let mut log = LogPane::default();
        let now = Instant::now();
        assert_eq!(log.time(now), "");
        let time = "2026-03-01T23:59:58[UTC]".parse().expect("a time");
        log.set_clock(now, time);
        assert_eq!(log.time(now + Duration::from_secs(3)), "00:00:01");
        for index in 0..KEPT + 2 {
            log.note(now, None, index.to_string());
        }
        assert_eq!((log.entries().len(), log.entries()[0].text.as_str()), (KEPT, "2"));
    }

    #[test]
    fn it_opens_at_its_end_and_scrolls_within_its_rows() {
        let mut log = LogPane::default();
        log.scroll(ListMove::Up, 30, 10);
        assert_eq!(log.scrolled(), None);
        log.toggle();
        log.scroll(ListMove::Down, 30, 10);
        assert_eq!(log.scrolled(), Some(0));
        log.scroll(ListMove::Up, 30, 10);
        log.scroll(ListMove::PageUp, 30, 10);
        assert_eq!(log.scrolled(), Some(11));
        log.scroll(ListMove::First, 30, 10);
        assert_eq!(log.scrolled(), Some(20));
        log.scroll(ListMove::Last, 30, 10);
        assert_eq!(log.scrolled(), Some(0));
        log.scroll(ListMove::First, 5, 10);
        assert_eq!(log.scrolled(), Some(0), "all of it is seen");
    }
}
