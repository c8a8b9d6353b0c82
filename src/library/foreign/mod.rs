//! What the pictures of other programs say of themselves, made into a [`Recipe`] as far as it goes.
//!
//! Nothing here touches the file system. What was read came from a PNG within the limits of [`super::png`]; every number
//! is checked as one that a person types.

mod a1111;
mod comfy;

use super::png::{self, PngError, RecipeError};
use crate::job::{Job, JobError, Origin, Prompt, Recipe, Seed, Size, Times, UsedLora};
use crate::model::ModelName;

/// Why a file cannot be a picture of the library.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unusable {
    /// Not a PNG that can be read.
    #[error(transparent)]
    Png(#[from] PngError),
    /// Ours, and not to be understood.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// Nothing in it.
    #[error(
        "it does not say how it was drawn: it has no recipe of flux-tui, no parameters and no prompt of ComfyUI"
    )]
    Silent,
    /// A workflow is a graph on a screen: what its nodes were given when it ran is not in it.
    #[error("it has a workflow of ComfyUI without the prompt that was run")]
    WorkflowOnly,
    /// Text that is not what the program writes.
    #[error("its {what} cannot be understood: {why}")]
    Text {
        /// `parameters`, `prompt of ComfyUI`.
        what: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// Something that every picture has is not said.
    #[error("its {what} does not say its {field}")]
    Lacks {
        /// As above.
        what: &'static str,
        /// Which.
        field: &'static str,
    },
    /// It was drawn in a way that nothing here can be.
    #[error(transparent)]
    Job(#[from] JobError),
}

/// What another program says of a picture.
#[derive(Debug, Default, PartialEq)]
struct Said {
    prompt: String,
    model: Option<String>,
    steps: Option<u32>,
    guidance: Option<f32>,
    seed: Option<u64>,
    /// As it was drawn; it may have been enlarged since.
    size: Option<(u32, u32)>,
    by: Option<String>,
}

/// What a picture was drawn from, and by which program, of the bytes of its file. Ours goes before what other tools read.
///
/// # Errors
/// Why it cannot be said.
pub fn examine(bytes: &[u8]) -> Result<(Recipe, Origin), Unusable> {
    let metadata = png::read(bytes)?;
    if let Some(recipe) = metadata.recipe {
        let recipe = recipe?;
        as_job(&recipe)?;
        return Ok((recipe, Origin::FluxTui));
    }
    let pixels = (metadata.width, metadata.height);
    if let Some(text) = &metadata.parameters {
        return Ok((a1111::read(text)?.recipe(a1111::WHAT, pixels)?, Origin::A1111));
    }
    if let Some(json) = &metadata.comfy {
        return Ok((comfy::read(json)?.recipe(comfy::WHAT, pixels)?, Origin::ComfyUi));
    }
    Err(if metadata.has_workflow { Unusable::WorkflowOnly } else { Unusable::Silent })
}

/// The job that would draw the same again, as far as that can be asked for.
///
/// # Errors
/// What cannot.
pub(super) fn as_job(recipe: &Recipe) -> Result<Job, JobError> {
    let Recipe { model, size, steps, guidance, seed, .. } = recipe.clone();
    let prompt = recipe.written().clone();
    let untagged = recipe.loras.iter().filter(|lora| !lora.tagged);
    let loras = untagged.map(UsedLora::again).collect::<Result<_, _>>()?;
    Job::new(prompt, model, size, steps, guidance, Seed::Fixed(seed), 1)?.with_loras(loras)
}

impl Said {
    fn recipe(self, what: &'static str, (width, height): (u32, u32)) -> Result<Recipe, Unusable> {
        let lacks = |field| Unusable::Lacks { what, field };
        // What it is, or else what it was drawn as before somebody enlarged it.
        let drawn = self.size.and_then(|(width, height)| Size::new(width, height).ok());
        let size = Size::new(width, height).or_else(|error| drawn.ok_or(error))?;
        let recipe = Recipe {
            template: None,
            prompt: Prompt::new(self.prompt)?,
            model: ModelName::new(self.model.as_deref().map_or("unknown", model_name)),
            size,
            steps: self.steps.ok_or(lacks("steps"))?,
            guidance: self.guidance.ok_or(lacks("guidance"))?,
            seed: self.seed.ok_or(lacks("seed"))?,
            precision: self.by.map_or("not known".to_owned(), |by| format!("not known, by {by}")),
            cuts: Vec::new(),
            times: Times::default(),
            loras: Vec::new(),
        };
        as_job(&recipe)?;
        Ok(recipe)
    }
}

/// A file's name without its folders, in the way of any system, and without the ending of weights.
fn model_name(text: &str) -> &str {
    let name = text.rsplit(['/', '\\']).next().unwrap_or(text);
    let endings = [".safetensors", ".sft", ".gguf", ".ckpt", ".pt"];
    let ending = endings.into_iter().find(|ending| name.ends_with(ending));
    let name = ending.and_then(|ending| name.strip_suffix(ending)).unwrap_or(name);
    if name.is_empty() { "unknown" } else { name }
}

#[cfg(test)]
mod tests;
