//! From prompt and parameters to a job. A draft holds both as they were when Enter was pressed, so
//! that a job asked for before the worker answers is the one that was on the screen.

use super::language::Language;
use super::pane::parameters::{FieldName, ParametersPane};
use crate::job::template::Template;
use crate::job::{Job, JobError, LoraChoice, PictureId, Prompt, Seed, Wildcards, check_tags};

/// Which seed a job is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedWish {
    /// What the field says.
    AsSet,
    /// A new random one.
    New,
    /// The one that was drawn last.
    Last,
    /// This one.
    This(u64),
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    prompt: String,
    parameters: ParametersPane,
    seed: SeedWish,
    parent: Option<PictureId>,
    loras: Vec<LoraChoice>,
    wildcards: Wildcards,
}

/// Why a draft is no job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong and what would work, in the language of the studio.
    pub message: String,
    /// The field that it is about; the prompt where it is none.
    pub field: Option<FieldName>,
}

impl Draft {
    /// Of what is on the screen, iterated from a picture or not.
    #[must_use]
    pub fn new(prompt: &str, parameters: &ParametersPane, seed: SeedWish, parent: Option<PictureId>) -> Self {
        let (loras, wildcards) = (Vec::new(), Wildcards::default());
        Self { prompt: prompt.to_owned(), parameters: parameters.clone(), seed, parent, loras, wildcards }
    }

    /// The same with these LoRAs beside those of the prompt's tags.
    #[must_use]
    pub fn with_loras(self, loras: Vec<LoraChoice>) -> Self {
        Self { loras, ..self }
    }

    /// The same with the lines of its wildcards.
    #[must_use]
    pub fn with_wildcards(self, wildcards: Wildcards) -> Self {
        Self { wildcards, ..self }
    }

    /// Its prompt.
    #[must_use]
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// Which seed it is to have.
    #[must_use]
    pub fn seed(&self) -> SeedWish {
        self.seed
    }

    /// Whether its prompt names wildcards.
    #[must_use]
    pub fn names_wildcards(&self) -> bool {
        Template::parse(&self.prompt).is_ok_and(|template| !template.wildcards().is_empty())
    }

    /// The worker has said which models there are: untouched fields follow them.
    #[must_use]
    pub fn with_models(mut self, parameters: &ParametersPane) -> Self {
        self.parameters.offer_as(parameters);
        self
    }

    /// Whether the prompt can be drawn at all, before anything is known of models.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_prompt(&self, language: Language) -> Result<Prompt, Wrong> {
        let prompt = Prompt::new(self.prompt.as_str());
        let checked = prompt.and_then(|prompt| {
            check_tags(&prompt)?;
            Template::parse(prompt.as_str())?;
            Ok(prompt)
        });
        checked.map_err(|error| Wrong { message: language.job_error(&error), field: None })
    }

    /// The job.
    ///
    /// # Errors
    /// The prompt or the first field that cannot be drawn.
    pub fn job(&self, language: Language) -> Result<Job, Wrong> {
        let prompt = self.check_prompt(language)?;
        let settings = self.parameters.settings().map_err(|problem| Wrong {
            message: match &problem.nearest {
                Some(nearest) => language.wrong_nearest(problem.message(language), nearest),
                None => problem.message(language),
            },
            field: Some(problem.field),
        })?;
        let seed = match (self.seed, self.parameters.last_seed) {
            (SeedWish::AsSet, _) => settings.seed,
            (SeedWish::New, _) => Seed::Random,
            (SeedWish::This(seed), _) => Seed::Fixed(seed),
            (SeedWish::Last, Some(last)) => Seed::Fixed(last),
            (SeedWish::Last, None) => {
                let message = language.no_last_seed().to_owned();
                return Err(Wrong { message, field: None });
            }
        };
        let field = |field| move |message: String| Wrong { message, field };
        let job = Job::new(
            prompt,
            settings.model,
            settings.size,
            settings.steps,
            settings.guidance,
            seed,
            settings.count,
        )
        .map(|job| job.placed(settings.device, settings.load).iterated_from(self.parent))
        .map_err(|error| field(Some(FieldName::Steps))(language.job_error(&error)))?;
        self.with_words(job).map_err(|error| field(None)(language.job_error(&error)))
    }

    fn with_words(&self, job: Job) -> Result<Job, JobError> {
        let job = job.with_loras(self.loras.clone())?.with_wildcards(self.wildcards.clone());
        job.check_words()?;
        Ok(job)
    }
}
