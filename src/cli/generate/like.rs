//! `--like`: what is not said is that of a picture which this program drew, its LoRAs by their content.

use std::path::Path;

use crate::cli::failure::Failure;
use crate::cli::show;
use crate::job::{Content, JobError, LoraChoice, PictureId, Prompt, Recipe, Tagged, UsedLora};
use crate::library::{Folder, Glance, png};
use crate::paths::Paths;

/// The recipe in a PNG, and which picture of the library that is, if it is one.
///
/// # Errors
/// When it cannot be read, or has none.
pub(super) fn recipe(path: &Path, paths: &Paths) -> Result<(Recipe, Option<PictureId>), Failure> {
    let bytes = show::read(path)?;
    let metadata = png::read(&bytes).map_err(|source| Failure::Png { path: path.to_owned(), source })?;
    let no = |reason: String| Failure::NoRecipe { path: path.to_owned(), reason };
    let lacks = || no("the picture has no recipe of flux-tui in it".to_owned());
    let recipe = metadata.recipe.ok_or_else(lacks)?.map_err(|error| no(error.to_string()))?;
    Ok((recipe, known(path, &bytes, paths)))
}

/// The picture is drawn all the same where the library does not say: it only does not remember what it came from.
fn known(path: &Path, bytes: &[u8], paths: &Paths) -> Option<PictureId> {
    let glance = Glance::at(&paths.library()).ok()??;
    let path = std::path::absolute(path).ok()?;
    glance.find(&Folder::new(paths.pictures()), &path, &Content::of(bytes)).ok()?
}

/// The text of a recipe's prompt without its tags, and all its LoRAs, each of which must have the content that it had.
///
/// # Errors
/// When the recipe's values are none that can be asked for.
pub(super) fn parts(recipe: &Recipe) -> Result<(Prompt, Vec<LoraChoice>), JobError> {
    let text = Tagged::read(recipe.written().as_str())?.text;
    let loras = recipe.loras.iter().map(UsedLora::again).collect::<Result<_, _>>()?;
    Ok((Prompt::new(text)?, loras))
}
