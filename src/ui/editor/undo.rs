//! Changes that can be taken back. Typing in one go is one change, a word at a time.

/// What is kept, in bytes of text: a prompt at its limit can be replaced a few times.
const KEPT_BYTES: usize = 8 << 20;

/// One replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    pub at: usize,
    pub removed: String,
    pub inserted: String,
    pub cursor_before: usize,
}

impl Edit {
    fn bytes(&self) -> usize {
        // A fixed part each, so that a million one-letter changes are bounded too.
        self.removed.len() + self.inserted.len() + size_of::<Self>()
    }

    /// Whether `next` continues this change: a letter after a letter, a deletion after a deletion.
    fn takes(&self, next: &Self) -> bool {
        let types = self.removed.is_empty() && next.removed.is_empty();
        let deletes = self.inserted.is_empty() && next.inserted.is_empty();
        if types {
            let begins_word = next.inserted.starts_with(|found: char| !found.is_whitespace())
                && self.inserted.ends_with(char::is_whitespace);
            next.at == self.at + self.inserted.len() && next.inserted.len() <= 4 && !begins_word
        } else {
            deletes
                && next.removed.len() <= 4
                && (next.at + next.removed.len() == self.at || next.at == self.at)
        }
    }

    fn take(&mut self, next: Self) {
        self.inserted.push_str(&next.inserted);
        if next.at < self.at {
            self.removed.insert_str(0, &next.removed);
            self.at = next.at;
        } else {
            self.removed.push_str(&next.removed);
        }
    }
}

/// The changes made, and those taken back.
#[derive(Debug, Clone, Default)]
pub(super) struct Undo {
    done: std::collections::VecDeque<Edit>,
    undone: Vec<Edit>,
    bytes: usize,
    closed: bool,
}

impl Undo {
    /// The next change begins anew.
    pub fn close(&mut self) {
        self.closed = true;
    }

    pub fn record(&mut self, edit: Edit) {
        self.undone.clear();
        let open = !std::mem::take(&mut self.closed);
        match self.done.back_mut().filter(|last| open && last.takes(&edit)) {
            Some(last) => {
                self.bytes += edit.removed.len() + edit.inserted.len();
                last.take(edit);
            }
            None => {
                self.bytes += edit.bytes();
                self.done.push_back(edit);
            }
        }
        while self.bytes > KEPT_BYTES && self.done.len() > 1 {
            self.bytes -= self.done.pop_front().map_or(0, |edit| edit.bytes());
        }
    }

    pub fn undo(&mut self) -> Option<Edit> {
        self.closed = true;
        let edit = self.done.pop_back()?;
        self.bytes -= edit.bytes();
        self.undone.push(edit.clone());
        Some(edit)
    }

    pub fn redo(&mut self) -> Option<Edit> {
        self.closed = true;
        let edit = self.undone.pop()?;
        self.bytes += edit.bytes();
        self.done.push_back(edit.clone());
        Some(edit)
    }
}
