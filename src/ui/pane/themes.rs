//! The themes: which there are, which one is wanted, and the picker that shows them as they are.

use crate::ui::action::ListMove;
use crate::ui::theme::{Named, Theme};

/// The themes and their picker.
#[derive(Debug, Clone)]
pub struct ThemesPane {
    known: Vec<Named>,
    /// The one that was asked for; `None` for one that suits the terminal.
    pub wanted: Option<String>,
    /// The command line asked for it: what the configuration says does not count.
    pub fixed: bool,
    picker: Option<Picker>,
}

#[derive(Debug, Clone)]
struct Picker {
    chosen: usize,
    /// What was worn before it was opened.
    before: Theme,
}

impl Default for ThemesPane {
    fn default() -> Self {
        Self { known: Theme::all_built_in(), wanted: None, fixed: false, picker: None }
    }
}

impl ThemesPane {
    /// Every theme, the built-in ones first.
    #[must_use]
    pub fn known(&self) -> &[Named] {
        &self.known
    }

    /// The theme of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Named> {
        self.known.iter().find(|named| named.name == name)
    }

    /// The files have changed: these are the themes now. The picker stays on the one it is on.
    pub fn replace(&mut self, known: Vec<Named>) {
        let on = self.chosen().map(|named| named.name.clone());
        self.known = known;
        let at = on.and_then(|on| self.known.iter().position(|named| named.name == on));
        self.picker.iter_mut().for_each(|picker| picker.chosen = at.unwrap_or(0));
    }

    /// Opens the picker on a theme.
    pub fn open(&mut self, on: &Theme) {
        let chosen = self.known.iter().position(|named| named.name == on.name).unwrap_or(0);
        self.picker = Some(Picker { chosen, before: on.clone() });
    }

    /// Closes the picker. What was worn before it, when it was open.
    pub fn close(&mut self) -> Option<Theme> {
        self.picker.take().map(|picker| picker.before)
    }

    /// Whether the picker is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.picker.is_some()
    }

    /// The chosen row.
    #[must_use]
    pub fn chosen_row(&self) -> usize {
        self.picker.as_ref().map_or(0, |picker| picker.chosen)
    }

    /// The chosen theme, while the picker is open.
    #[must_use]
    pub fn chosen(&self) -> Option<&Named> {
        self.known.get(self.picker.as_ref()?.chosen)
    }

    /// Chooses another one.
    pub fn choose(&mut self, by: ListMove) {
        let row = super::moved(self.chosen_row(), self.known.len(), self.known.len(), by);
        self.choose_row(row);
    }

    /// Chooses the one of a row.
    pub fn choose_row(&mut self, row: usize) {
        if row < self.known.len() {
            self.picker.iter_mut().for_each(|picker| picker.chosen = row);
        }
    }
}
