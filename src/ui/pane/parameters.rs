//! The parameters: fields of text with a meaning, checked when they are left or used.
//!
//! A field that was not touched follows the model's defaults. Text that cannot be used stays as it
//! was typed, with what is wrong and the nearest value that works.

pub use super::parameter_wrong::{Problem, Why};
use crate::config::JobDefaults;
use crate::device::{DeviceChoice, LoadOptions, VramBudget};
use crate::job::{self, COUNT_MAX, GUIDANCE_MAX, Job, Recipe, STEPS_MAX, Seed, Size};
use crate::model::{ModelInfo, ModelName};

/// One of the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldName {
    /// Which model.
    Model,
    /// Pixels across.
    Width,
    /// Pixels down.
    Height,
    /// Evaluations of the transformer.
    Steps,
    /// The embedded guidance.
    Guidance,
    /// The seed, or -1.
    Seed,
    /// How many pictures.
    Count,
}

impl FieldName {
    /// Every field, in the order that the arrows go.
    pub const ALL: [Self; 7] =
        [Self::Model, Self::Width, Self::Height, Self::Steps, Self::Guidance, Self::Seed, Self::Count];
}

/// What one field holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Field {
    pub text: String,
    /// Being typed: not checked yet.
    pub editing: bool,
    /// Set by the person: no default replaces it.
    pub touched: bool,
}

/// All parameters, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Which model.
    pub model: ModelName,
    /// How large.
    pub size: Size,
    /// Evaluations of the transformer.
    pub steps: u32,
    /// The embedded guidance.
    pub guidance: f32,
    /// From which noise.
    pub seed: Seed,
    /// How many pictures.
    pub count: u32,
    /// Where.
    pub device: DeviceChoice,
    /// From a model that is loaded so.
    pub load: LoadOptions,
}

/// Budgets of a card's memory to choose from, in GiB, the largest first. Others can be had by configuration.
pub const BUDGETS: [u64; 15] = [80, 48, 32, 24, 16, 12, 11, 10, 9, 8, 7, 6, 5, 4, 2];

/// The parameters pane.
#[derive(Debug, Clone, PartialEq)]
pub struct ParametersPane {
    pub(super) fields: [Field; 7],
    chosen: FieldName,
    models: Vec<ModelInfo>,
    defaults: JobDefaults,
    /// The seed that was drawn last.
    pub last_seed: Option<u64>,
    /// The seed goes up after each job, by its pictures.
    pub(super) counts_up: bool,
}

impl ParametersPane {
    /// Before the worker has said which models there are; `defaults` are the person's.
    #[must_use]
    pub fn new(defaults: JobDefaults) -> Self {
        let mut pane = Self {
            fields: std::array::from_fn(|_| Field::default()),
            chosen: FieldName::Steps,
            models: Vec::new(),
            defaults,
            last_seed: None,
            counts_up: false,
        };
        pane.set(
            FieldName::Model,
            pane.defaults.model.as_ref().map_or(ModelName::NANO, ModelName::as_str).to_owned(),
        );
        pane.set(FieldName::Seed, Seed::Random.to_string());
        pane.set(FieldName::Count, "1".to_owned());
        pane.follow_model();
        pane
    }

    /// The worker says which models there are; the first is the default.
    pub fn offer(&mut self, models: Vec<ModelInfo>) {
        self.models = models;
        if self.known_model().is_none()
            && self.defaults.model.is_none()
            && !self.field(FieldName::Model).touched
        {
            let first = self.models.first().map(|model| model.name.to_string());
            first.into_iter().for_each(|name| self.set(FieldName::Model, name));
        }
        self.follow_model();
    }

    /// The same models, and the same last seed, as another pane knows.
    pub fn offer_as(&mut self, other: &Self) {
        self.last_seed = other.last_seed;
        self.offer(other.models.clone());
    }

    /// What a field holds, as typed. Empty until a model's defaults are known.
    #[must_use]
    pub fn text(&self, name: FieldName) -> &str {
        &self.field(name).text
    }

    /// The field that keys change.
    #[must_use]
    pub fn chosen(&self) -> FieldName {
        self.chosen
    }

    /// Whether the chosen field is being typed into.
    #[must_use]
    pub fn is_editing(&self) -> bool {
        self.field(self.chosen).editing
    }

    /// The chosen model.
    #[must_use]
    pub fn model(&self) -> ModelName {
        ModelName::new(self.text(FieldName::Model))
    }

    /// What is wrong with a field that is not being typed into.
    #[must_use]
    pub fn problem(&self, name: FieldName) -> Option<Problem> {
        let field = self.field(name);
        if field.editing || (field.text.is_empty() && !field.touched) { None } else { self.check(name).err() }
    }

    /// The first field that is wrong; the chosen one first.
    #[must_use]
    pub fn first_problem(&self) -> Option<Problem> {
        self.problem(self.chosen).or_else(|| FieldName::ALL.into_iter().find_map(|name| self.problem(name)))
    }

    /// Everything, if it can be drawn.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub fn settings(&self) -> Result<Settings, Problem> {
        FieldName::ALL.into_iter().try_for_each(|name| self.check(name))?;
        let wrong = |field| move |error| problem(field, Why::Job(error), None);
        let size = Size::new(self.number(FieldName::Width)?, self.number(FieldName::Height)?)
            .map_err(wrong(FieldName::Width))?;
        Ok(Settings {
            model: self.model(),
            size,
            steps: self.number(FieldName::Steps)?,
            guidance: self.guidance()?,
            seed: self.text(FieldName::Seed).parse().map_err(wrong(FieldName::Seed))?,
            count: self.number(FieldName::Count)?,
            device: self.defaults.device.unwrap_or_default(),
            load: self.defaults.load(),
        })
    }

    /// Chooses a field; what was typed into the old one is taken as it is.
    pub fn choose(&mut self, name: FieldName) {
        self.commit();
        self.chosen = name;
    }

    /// Chooses the field before or after.
    pub fn choose_next(&mut self, forwards: bool) {
        let index = self.chosen as usize;
        let next = if forwards { (index + 1).min(FieldName::ALL.len() - 1) } else { index.saturating_sub(1) };
        self.choose(FieldName::ALL[next]);
    }

    /// Ends typing.
    pub fn commit(&mut self) {
        let name = self.chosen;
        let field = &mut self.fields[name as usize];
        if std::mem::take(&mut field.editing) {
            field.text = field.text.trim().to_owned();
            if field.text.is_empty() {
                // An emptied field goes back to its default.
                field.touched = false;
                match name {
                    FieldName::Seed => field.text = Seed::Random.to_string(),
                    FieldName::Count => "1".clone_into(&mut field.text),
                    _ => self.follow_model(),
                }
            }
        }
    }

    /// Types a character; the first one replaces what was there. `false` when it fits no number.
    pub fn type_character(&mut self, typed: char) -> bool {
        let fits = match self.chosen {
            FieldName::Model => false,
            FieldName::Guidance => typed.is_ascii_digit() || typed == '.',
            FieldName::Seed => typed.is_ascii_digit() || typed == '-',
            _ => typed.is_ascii_digit(),
        };
        let field = &mut self.fields[self.chosen as usize];
        if fits {
            if !field.editing {
                field.text.clear();
            }
            field.editing = true;
            field.touched = true;
            // As long as the longest number, 2⁶⁴; more only hides what was typed.
            if field.text.len() < 20 {
                field.text.push(typed);
            }
        }
        fits
    }

    /// Pastes into the chosen field what fits there.
    pub fn paste(&mut self, text: &str) {
        for typed in text.trim().chars().take(20) {
            if !self.type_character(typed) {
                break;
            }
        }
    }

    /// Takes back a typed character.
    pub fn backspace(&mut self) {
        if self.chosen != FieldName::Model {
            let field = &mut self.fields[self.chosen as usize];
            field.editing = true;
            field.touched = true;
            field.text.pop();
        }
    }

    /// More or less, by so many of the field's own steps. Something wrong first becomes right.
    pub fn change(&mut self, by: i64) {
        self.commit();
        let name = self.chosen;
        if let Some(nearest) = self.problem(name).and_then(|problem| problem.nearest) {
            self.type_in(name, nearest);
            return;
        }
        let text = match name {
            FieldName::Model => return self.change_model(by),
            FieldName::Guidance => {
                let Ok(guidance) = self.guidance() else { return };
                shown((guidance + by as f32 * 0.1).clamp(0.0, GUIDANCE_MAX))
            }
            FieldName::Seed => match self.text(name).parse() {
                Ok(Seed::Fixed(0)) if by < 0 => Seed::Random.to_string(),
                Ok(Seed::Fixed(seed)) => seed.saturating_add_signed(by).to_string(),
                Ok(Seed::Random) if by > 0 => self.last_seed.unwrap_or(0).to_string(),
                _ => return,
            },
            FieldName::Width | FieldName::Height => {
                let Ok(pixels) = self.number(name) else { return };
                Size::nearest(moved(pixels, by * i64::from(job::SIZE_MULTIPLE))).to_string()
            }
            FieldName::Steps => {
                let Ok(steps) = self.number(name) else { return };
                moved(steps, by).clamp(1, STEPS_MAX).to_string()
            }
            FieldName::Count => {
                let Ok(count) = self.number(name) else { return };
                moved(count, by).clamp(1, COUNT_MAX).to_string()
            }
        };
        self.type_in(name, text);
    }

    /// How much of a card's memory new jobs may hold; `None` is what is free.
    #[must_use]
    pub fn budget(&self) -> Option<VramBudget> {
        self.defaults.vram_budget
    }

    /// The next smaller or larger budget of [`BUDGETS`] on a card of `total` bytes; beyond the largest there is none.
    pub fn change_budget(&mut self, more: bool, total: u64) {
        let now = self.defaults.vram_budget.map_or(u64::MAX, |VramBudget(bytes)| bytes);
        let mut on_card = BUDGETS.into_iter().map(|gib| gib << 30).filter(|bytes| *bytes < total);
        let next = if more {
            on_card.rfind(|bytes| *bytes > now)
        } else {
            on_card.find(|bytes| *bytes < now).or(self.defaults.vram_budget.map(|budget| budget.0))
        };
        self.defaults.vram_budget = next.map(VramBudget);
    }

    /// New jobs are drawn with this model; what nobody touched follows it.
    pub fn choose_model(&mut self, name: &ModelName) {
        self.type_in(FieldName::Model, name.to_string());
        self.follow_model();
    }

    /// Everything of a picture's but its prompt.
    pub fn restore(&mut self, recipe: &Recipe) {
        self.restore_settings(recipe);
        self.fix_seed(recipe.seed);
    }

    /// The same without its seed.
    pub fn restore_settings(&mut self, recipe: &Recipe) {
        self.type_in(FieldName::Model, recipe.model.to_string());
        self.type_in(FieldName::Width, recipe.size.width().to_string());
        self.type_in(FieldName::Height, recipe.size.height().to_string());
        self.type_in(FieldName::Steps, recipe.steps.to_string());
        self.type_in(FieldName::Guidance, shown(recipe.guidance));
    }

    /// Everything of a job's but its prompt.
    pub fn take(&mut self, job: &Job) {
        self.type_in(FieldName::Model, job.model.to_string());
        self.type_in(FieldName::Width, job.size.width().to_string());
        self.type_in(FieldName::Height, job.size.height().to_string());
        self.type_in(FieldName::Steps, job.steps().to_string());
        self.type_in(FieldName::Guidance, shown(job.guidance()));
        self.type_in(FieldName::Seed, job.seed.to_string());
        self.type_in(FieldName::Count, job.count().to_string());
    }

    fn field(&self, name: FieldName) -> &Field {
        &self.fields[name as usize]
    }

    fn set(&mut self, name: FieldName, text: String) {
        self.fields[name as usize].text = text;
    }

    pub(in crate::ui) fn type_in(&mut self, name: FieldName, text: String) {
        self.fields[name as usize] = Field { text, editing: false, touched: true };
    }

    fn known_model(&self) -> Option<&ModelInfo> {
        self.models.iter().find(|model| model.name.as_str() == self.text(FieldName::Model))
    }

    fn change_model(&mut self, by: i64) {
        if self.models.is_empty() {
            return;
        }
        let index = self.models.iter().position(|model| model.name == self.model()).unwrap_or(0) as i64;
        let next = (index + by.signum()).rem_euclid(self.models.len() as i64) as usize;
        let name = self.models[next].name.clone();
        self.choose_model(&name);
    }

    /// Fields that nobody touched take the person's defaults, or what suits the model.
    fn follow_model(&mut self) {
        let suits = self.known_model().map(|model| model.defaults);
        let values = [
            (
                FieldName::Width,
                self.defaults.width.or(suits.map(|suits| suits.size.width())).map(|value| value.to_string()),
            ),
            (
                FieldName::Height,
                self.defaults
                    .height
                    .or(suits.map(|suits| suits.size.height()))
                    .map(|value| value.to_string()),
            ),
            (
                FieldName::Steps,
                self.defaults.steps.or(suits.map(|suits| suits.steps)).map(|value| value.to_string()),
            ),
            (FieldName::Guidance, self.defaults.guidance.or(suits.map(|suits| suits.guidance)).map(shown)),
        ];
        for (name, value) in values {
            if let Some(value) = value.filter(|_| !self.field(name).touched) {
                self.set(name, value);
            }
        }
    }

    fn check(&self, name: FieldName) -> Result<(), Problem> {
        let wrong = |why, nearest: String| Err(problem(name, why, Some(nearest)));
        match name {
            FieldName::Model => match (self.known_model(), self.models.first()) {
                (None, Some(first)) => {
                    let known = self.models.iter().map(|model| model.name.to_string()).collect();
                    let text = self.text(name).to_owned();
                    wrong(Why::NoModel { text, known }, first.name.to_string())
                }
                _ => Ok(()),
            },
            FieldName::Width | FieldName::Height => {
                let pixels = self.number(name)?;
                let nearest = Size::nearest(pixels);
                if pixels == nearest {
                    return Ok(());
                }
                wrong(Why::Side(pixels), nearest.to_string())
            }
            FieldName::Steps => {
                let steps = self.number(name)?;
                let nearest = steps.clamp(1, STEPS_MAX).to_string();
                job::check_steps(steps).map(drop).or_else(|error| wrong(Why::Job(error), nearest))
            }
            FieldName::Count => {
                let count = self.number(name)?;
                let nearest = count.clamp(1, COUNT_MAX).to_string();
                job::check_count(count).map(drop).or_else(|error| wrong(Why::Job(error), nearest))
            }
            FieldName::Guidance => {
                let guidance = self.guidance()?;
                let nearest = shown(guidance.clamp(0.0, GUIDANCE_MAX));
                job::check_guidance(guidance).map(drop).or_else(|error| wrong(Why::Job(error), nearest))
            }
            FieldName::Seed => {
                let parsed: Result<Seed, _> = self.text(name).parse();
                parsed.map(drop).or_else(|error| wrong(Why::Job(error), Seed::Random.to_string()))
            }
        }
    }

    fn number(&self, name: FieldName) -> Result<u32, Problem> {
        let text = self.text(name);
        text.parse().map_err(|_| {
            // Only digits can be typed, so what does not parse is empty or too large.
            let nearest = if text.is_empty() { 1 } else { u32::MAX };
            let nearest = match name {
                FieldName::Width | FieldName::Height => Size::nearest(nearest.min(1 << 30)),
                FieldName::Steps => nearest.min(STEPS_MAX),
                _ => nearest.min(COUNT_MAX),
            };
            let why = if text.is_empty() { Why::Missing } else { Why::TooLarge(text.to_owned()) };
            problem(name, why, Some(nearest.to_string()))
        })
    }

    fn guidance(&self) -> Result<f32, Problem> {
        let text = self.text(FieldName::Guidance);
        text.parse()
            .map_err(|_| problem(FieldName::Guidance, Why::NoNumber(text.to_owned()), Some("3.5".to_owned())))
    }
}

fn problem(field: FieldName, why: Why, nearest: Option<String>) -> Problem {
    Problem { field, why, nearest }
}

fn moved(value: u32, by: i64) -> u32 {
    u32::try_from((i64::from(value) + by).clamp(0, i64::from(u32::MAX))).unwrap_or(0)
}

/// Guidance as a person writes it, to two places.
fn shown(guidance: f32) -> String {
    let rounded = (f64::from(guidance) * 100.0).round() / 100.0;
    if rounded.fract() == 0.0 { format!("{rounded:.1}") } else { rounded.to_string() }
}

#[cfg(test)]
#[path = "parameters_tests.rs"]
mod tests;
