//! The models: which there are, what there is of each, which are being fetched, and the picker over the panes.

use super::model_page::{Page, Subject};
use crate::model::{ModelInfo, ModelName};
use crate::ui::action::ListMove;
use crate::wire::held;
use crate::wire::message::{
    CheckProgress, CheckState, FetchProgress, FetchState, ModelCheck, ModelDetails, ModelFetch, ModelState,
    RemovalPlan, Standing,
};
use crate::wire::models::note;

/// The longest filter, in characters: names are shorter.
const FILTER_MAX: usize = 40;

/// The models and the picker.
#[derive(Debug, Clone, Default)]
pub struct ModelsPane {
    states: Vec<ModelState>,
    fetches: Vec<ModelFetch>,
    checks: Vec<ModelCheck>,
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
    /// What the person was asked about the chosen one.
    asked: Option<Asked>,
    /// What is told of a model in place of the list.
    page: Option<Page>,
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq)]
enum Asked {
    /// Whether to fetch the model.
    Fetch,
    /// Whether to remove it.
    Remove(Box<RemovalPlan>),
}

/// What Enter in the picker leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// New jobs are drawn with it.
    Chosen(ModelName),
    /// It is to be fetched.
    Fetch(ModelName),
    /// It is to be removed.
    Remove(ModelName),
    /// The person is asked first, or there is nothing to be done.
    Nothing,
}

impl ModelsPane {
    /// Opens the picker on a model. What is known is shown until the worker has said what there is now.
    pub fn open(&mut self, on: ModelName) {
        self.picker = Some(Picker { chosen: Some(on), ..Picker::default() });
        self.stale = true;
    }

    /// Takes back the picker's question, closes its page, or closes it. Whether it was open.
    pub fn escape(&mut self) -> bool {
        let Some(picker) = &mut self.picker else { return false };
        if picker.asked.take().is_none() && picker.page.take().is_none() {
            self.picker = None;
        }
        true
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
        self.picker.as_ref().is_some_and(|picker| picker.asked == Some(Asked::Fetch))
    }

    /// What would be removed, while the person is asked whether to.
    #[must_use]
    pub fn removal(&self) -> Option<&RemovalPlan> {
        match self.picker.as_ref()?.asked.as_ref()? {
            Asked::Remove(plan) => Some(plan),
            Asked::Fetch => None,
        }
    }

    /// The page that is shown in place of the list.
    #[must_use]
    pub fn page(&self) -> Option<&Page> {
        self.picker.as_ref()?.page.as_ref()
    }

    /// The same, to be scrolled.
    pub fn page_mut(&mut self) -> Option<&mut Page> {
        self.picker.as_mut()?.page.as_mut()
    }

    /// Opens a page of the chosen model, or closes it. The model that is to be asked about.
    pub fn turn(&mut self, subject: Subject) -> Option<ModelName> {
        let name = self.chosen()?.info.name.clone();
        let picker = self.picker.as_mut()?;
        picker.asked = None;
        if picker.page.take().is_some_and(|page| page.subject == subject) {
            return None;
        }
        picker.chosen = Some(name.clone());
        picker.page = Some(Page::new(name.clone(), subject));
        Some(name)
    }

    /// What the worker said of a model's files.
    pub fn described(&mut self, model: &ModelName, result: Result<Box<ModelDetails>, String>) {
        if let Some(page) = self.page_mut().filter(|page| page.model == *model) {
            page.details = Some(result);
        }
    }

    /// Asks whether to remove a model, if it is still the chosen one.
    pub fn ask_removal(&mut self, plan: Box<RemovalPlan>) {
        let chosen = self.chosen().is_some_and(|state| state.info.name == plan.model);
        if let Some(picker) = self.picker.as_mut().filter(|_| chosen) {
            picker.chosen = Some(plan.model.clone());
            picker.asked = Some(Asked::Remove(plan));
        }
    }

    /// How far the check of a model's files is, or what it found.
    #[must_use]
    pub fn check_of(&self, name: &ModelName) -> Option<&CheckState> {
        self.checks.iter().find(|check| check.model == *name).map(|check| &check.state)
    }

    /// The model whose files are checked, and how far that is.
    #[must_use]
    pub fn checking(&self) -> Option<(&ModelName, &CheckProgress)> {
        self.checks.iter().find_map(|check| match &check.state {
            CheckState::Running(progress) => Some((&check.model, progress)),
            _ => None,
        })
    }

    /// The chosen model, if it is being checked or waits for it.
    #[must_use]
    pub fn check_to_cancel(&self) -> Option<ModelName> {
        let name = &self.chosen()?.info.name;
        self.check_of(name).filter(|check| !check.is_over()).map(|_| name.clone())
    }

    /// A check has got further.
    pub fn note_check(&mut self, check: ModelCheck) {
        held::note(&mut self.checks, check);
    }

    /// What there is of the models may have changed.
    pub fn changed(&mut self) {
        self.stale = true;
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
            if picker.chosen.as_ref() != Some(&name) {
                picker.asked = None;
            }
            picker.chosen = Some(name);
        }
    }

    /// Filters by one letter more.
    pub fn type_character(&mut self, typed: char) {
        if let Some(picker) = &mut self.picker {
            (picker.asked, picker.page) = (None, None);
            if picker.filter.chars().count() < FILTER_MAX && !typed.is_control() {
                picker.filter.push(typed);
            }
        }
    }

    /// Filters by one letter less.
    pub fn backspace(&mut self) {
        if let Some(picker) = &mut self.picker {
            (picker.asked, picker.page) = (None, None);
            picker.filter.pop();
        }
    }

    /// Enter on the chosen model.
    pub fn take(&mut self) -> Taken {
        // A question is asked below the list.
        self.picker.iter_mut().for_each(|picker| picker.page = None);
        let Some(state) = self.chosen() else { return Taken::Nothing };
        let name = state.info.name.clone();
        if let Some(picker) =
            self.picker.as_mut().filter(|picker| matches!(picker.asked, Some(Asked::Remove(_))))
        {
            picker.asked = None;
            return Taken::Remove(name);
        }
        let Some(state) = self.chosen() else { return Taken::Nothing };
        if state.is_ready() {
            self.picker = None;
            return Taken::Chosen(name);
        }
        let can_fetch = self.can_fetch();
        match &mut self.picker {
            Some(picker) if can_fetch => {
                picker.chosen = Some(name.clone());
                if picker.asked.take() == Some(Asked::Fetch) {
                    return Taken::Fetch(name);
                }
                picker.asked = Some(Asked::Fetch);
                Taken::Nothing
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

    /// Every fetch and every check anew, by the worker's word.
    pub fn replace(&mut self, fetches: Vec<ModelFetch>, checks: Vec<ModelCheck>) {
        (self.fetches, self.checks) = (fetches, checks);
        (self.stale, self.asked) = (true, false);
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
