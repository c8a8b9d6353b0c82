//! The models: which there are, what there is of each, which are being fetched, and the picker over the panes.

use crate::model::{ModelInfo, ModelName};
use crate::ui::action::ListMove;
use crate::wire::message::{FetchProgress, FetchState, ModelFetch, ModelState, Standing};
use crate::wire::models::note;

/// The longest filter, in characters: names are shorter.
const FILTER_MAX: usize = 40;

/// The models and the picker.
#[derive(Debug, Clone, Default)]
pub struct ModelsPane {
    states: Vec<ModelState>,
    fetches: Vec<ModelFetch>,
    picker: Option<Picker>,
    /// The worker has been asked for the list, and has not answered.
    asked: bool,
    /// What is known may not be so any more.
    stale: bool,
}

/// The picker while it is open.
#[derive(Debug, Clone, Default)]
struct Picker {
    filter: String,
    chosen: Option<ModelName>,
    /// The person was asked whether to fetch the chosen one.
    asking: bool,
}

/// What Enter in the picker leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// New jobs are drawn with it.
    Chosen(ModelName),
    /// It is to be fetched.
    Fetch(ModelName),
    /// The person is asked first, or there is nothing to be done.
    Nothing,
}

impl ModelsPane {
    /// Opens the picker on a model. What is known is shown until the worker has said what there is now.
    pub fn open(&mut self, on: ModelName) {
        self.picker = Some(Picker { chosen: Some(on), ..Picker::default() });
        self.stale = true;
    }

    /// Closes the picker, or takes back its question. Whether it was open.
    pub fn escape(&mut self) -> bool {
        match &mut self.picker {
            Some(picker) if picker.asking => {
                picker.asking = false;
                true
            }
            _ => self.picker.take().is_some(),
        }
    }

    /// Closes the picker. Whether it was open.
    pub fn close(&mut self) -> bool {
        self.picker.take().is_some()
    }

    /// Whether the picker is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.picker.is_some()
    }

    /// Whether the person is asked whether to fetch the chosen model.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.picker.as_ref().is_some_and(|picker| picker.asking)
    }

    /// What is filtered by.
    #[must_use]
    pub fn filter(&self) -> &str {
        self.picker.as_ref().map_or("", |picker| &picker.filter)
    }

    /// The models that the filter lets through: each of its words is in the name, the description or the licence.
    #[must_use]
    pub fn rows(&self) -> Vec<&ModelState> {
        let filter = self.filter().to_lowercase();
        let fits = |state: &&ModelState| {
            let ModelInfo { name, about, license, .. } = &state.info;
            let text = format!("{name} {about} {license}").to_lowercase();
            filter.split_whitespace().all(|word| text.contains(word))
        };
        self.states.iter().filter(fits).collect()
    }

    /// The chosen row.
    #[must_use]
    pub fn chosen_row(&self) -> usize {
        let chosen = self.picker.as_ref().and_then(|picker| picker.chosen.as_ref());
        self.rows().iter().position(|state| Some(&state.info.name) == chosen).unwrap_or(0)
    }

    /// The chosen model.
    #[must_use]
    pub fn chosen(&self) -> Option<&ModelState> {
        self.rows().get(self.chosen_row()).copied()
    }

    /// Chooses another model.
    pub fn choose(&mut self, by: ListMove, page: usize) {
        self.choose_row(super::moved(self.chosen_row(), self.rows().len(), page, by));
    }

    /// Chooses the model of a row.
    pub fn choose_row(&mut self, row: usize) {
        let name = self.rows().get(row).map(|state| state.info.name.clone());
        if let (Some(picker), Some(name)) = (&mut self.picker, name) {
            picker.asking &= picker.chosen.as_ref() == Some(&name);
            picker.chosen = Some(name);
        }
    }

    /// Filters by one letter more.
    pub fn type_character(&mut self, typed: char) {
        if let Some(picker) = &mut self.picker {
            picker.asking = false;
            if picker.filter.chars().count() < FILTER_MAX && !typed.is_control() {
                picker.filter.push(typed);
            }
        }
    }

    /// Filters by one letter less.
    pub fn backspace(&mut self) {
        if let Some(picker) = &mut self.picker {
            picker.asking = false;
            picker.filter.pop();
        }
    }

    /// Enter on the chosen model.
    pub fn take(&mut self) -> Taken {
        let Some(state) = self.chosen() else { return Taken::Nothing };
        let name = state.info.name.clone();
        if state.is_ready() {
            self.picker = None;
            return Taken::Chosen(name);
        }
        let can_fetch = self.can_fetch();
        match &mut self.picker {
            Some(picker) if can_fetch => {
                picker.chosen = Some(name.clone());
                picker.asking = !picker.asking;
                if picker.asking { Taken::Nothing } else { Taken::Fetch(name) }
            }
            _ => Taken::Nothing,
        }
    }

    /// Whether the chosen model can be fetched and is not yet.
    #[must_use]
    pub fn can_fetch(&self) -> bool {
        let fetchable = |state: &ModelState| match &state.standing {
            Standing::Lacks(lacks) => lacks.fetch.is_some(),
            Standing::Ready => false,
        };
        self.chosen().is_some_and(fetchable) && self.to_cancel().is_none()
    }

    /// The chosen model, if it is being fetched or waits for it.
    #[must_use]
    pub fn to_cancel(&self) -> Option<ModelName> {
        let name = &self.chosen()?.info.name;
        self.fetch_of(name).filter(|fetch| !fetch.is_over()).map(|_| name.clone())
    }

    /// How far the fetching of a model is.
    #[must_use]
    pub fn fetch_of(&self, name: &ModelName) -> Option<&FetchState> {
        self.fetches.iter().find(|fetch| fetch.model == *name).map(|fetch| &fetch.state)
    }

    /// The model that is being fetched, and how far it is.
    #[must_use]
    pub fn running(&self) -> Option<(&ModelName, &FetchProgress)> {
        self.fetches.iter().find_map(|fetch| match &fetch.state {
            FetchState::Running(progress) => Some((&fetch.model, progress)),
            _ => None,
        })
    }

    /// Every fetch anew, by the worker's word.
    pub fn replace(&mut self, fetches: Vec<ModelFetch>) {
        (self.fetches, self.stale, self.asked) = (fetches, true, false);
    }

    /// A fetch has got further.
    pub fn note(&mut self, fetch: ModelFetch) {
        self.stale |= fetch.state.is_over();
        note(&mut self.fetches, fetch);
    }

    /// Whether the worker is to be asked for the list now.
    pub fn wants(&mut self) -> bool {
        let wants = self.is_open() && self.stale && !self.asked;
        if wants {
            (self.asked, self.stale) = (true, false);
        }
        wants
    }

    /// Takes the list; `None` when it could not be had. Gives those that can be drawn with.
    pub fn answered(&mut self, states: Option<Vec<ModelState>>) -> Option<Vec<ModelInfo>> {
        self.asked = false;
        self.states = states?;
        Some(self.states.iter().filter(|state| state.is_ready()).map(|state| state.info.clone()).collect())
    }

    /// How many models are known; none until the list has come.
    #[must_use]
    pub fn known(&self) -> usize {
        self.states.len()
    }
}
