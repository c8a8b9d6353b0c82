//! `flux-tui show`: a picture and what it was drawn from, read from the file alone.

mod far;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::failure::Failure;
use super::{block_on, host, picture, stdout, text};
use crate::job::Recipe;
use crate::job::grid::GridRecipe;
use crate::library::png::{self, Metadata};
use crate::paths::Paths;

/// Show a picture and the parameters in it.
///
/// Reads PNG files of this program and of those that write A1111's `parameters`. The picture itself
/// is printed when standard output is a terminal.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A PNG file; with --host the path or the name of a picture in the library there.
    file: PathBuf,
    /// Print one JSON object instead: path, width, height, recipe (null when it is not ours) and
    /// parameters (the text for other tools, null when there is none).
    #[arg(long)]
    json: bool,
    /// Do not print the picture itself.
    #[arg(long)]
    no_display: bool,
    #[command(flatten)]
    host: host::Flag,
}

/// The largest file that is read. The largest picture of ours takes 12 MiB unpacked.
const FILE_MAX: u64 = 256 << 20;

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let host = args.host.host.as_ref().map(ToString::to_string);
    let (path, bytes) = match host {
        None => (args.file.clone(), read(&args.file)?),
        Some(_) => block_on(far::fetch(&args.host.endpoint(&Paths::from_env()?), &args.file))?,
    };
    let metadata = png::read(&bytes).map_err(|source| Failure::Png { path: path.clone(), source })?;
    if args.json {
        return stdout::json(&Told { host, ..object(&path, &metadata) });
    }
    if stdout::is_terminal()
        && !args.no_display
        && let Err(reason) = picture::print(&bytes)
    {
        text::complain("warning", &format!("the picture cannot be shown here: {reason}"));
    }
    if let Some(Err(problem)) = &metadata.recipe {
        text::complain("warning", &problem.to_string());
    }
    let place = host.map(|host| ("host", host));
    let rows: Vec<_> = place.into_iter().chain(rows(&path, &metadata)).collect();
    stdout::write(&text::table(&rows))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |source| Failure::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let too_large = |bytes| Failure::LargeFile { path: path.to_owned(), bytes, max: FILE_MAX };
    let known = file.metadata().map_err(unreadable)?.len();
    if known > FILE_MAX {
        return Err(too_large(known));
    }
    // A device may give more than it says.
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_MAX { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
}

/// A picture as `--json` tells it.
#[derive(Serialize)]
struct Told<'m> {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    path: String,
    width: u32,
    height: u32,
    recipe: Option<&'m Recipe>,
    parameters: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grid: Option<&'m GridRecipe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

fn object<'m>(path: &Path, metadata: &'m Metadata) -> Told<'m> {
    let recipe = metadata.recipe.as_ref();
    Told {
        host: None,
        path: path.to_string_lossy().into_owned(),
        width: metadata.width,
        height: metadata.height,
        recipe: recipe.and_then(|recipe| recipe.as_ref().ok()),
        parameters: metadata.parameters.as_deref(),
        grid: metadata.grid.as_ref().and_then(|grid| grid.as_ref().ok()),
        problem: recipe.and_then(|recipe| recipe.as_ref().err()).map(ToString::to_string),
    }
}

fn rows(path: &Path, metadata: &Metadata) -> Vec<(&'static str, String)> {
    let mut rows = vec![("file", path.display().to_string())];
    if let Some(Ok(grid)) = &metadata.grid {
        rows.extend(grid_rows(grid));
        return rows;
    }
    match (&metadata.recipe, &metadata.parameters) {
        (Some(Ok(recipe)), _) => rows.extend(recipe_rows(recipe)),
        (_, Some(parameters)) => {
            rows.push(("size", format!("{}×{}", metadata.width, metadata.height)));
            rows.push(("parameters", parameters.clone()));
        }
        (_, None) => {
            rows.push(("size", format!("{}×{}", metadata.width, metadata.height)));
            rows.push(("parameters", "none in this file".to_owned()));
        }
    }
    rows
}

fn grid_rows(grid: &GridRecipe) -> Vec<(&'static str, String)> {
    let job = &grid.order.job;
    let drawn = grid.cells.iter().filter(|cell| *cell == "drawn").count();
    let mut rows = vec![
        ("grid", format!("{}, {drawn} of {} drawn", grid.grid, grid.cells.len())),
        ("prompt", job.prompt.as_str().to_owned()),
        ("model", job.model.to_string()),
        ("size", job.size.to_string()),
        ("steps", job.steps().to_string()),
        ("guidance", job.guidance().to_string()),
        ("seed", grid.seed.to_string()),
    ];
    for (name, axis) in ["across", "down"].into_iter().zip(grid.order.axes()) {
        rows.push((name, format!("{}: {}", axis.parameter(), axis.values().join(", "))));
    }
    for (cell, word) in grid.cells.iter().enumerate().filter(|(_, word)| *word != "drawn") {
        rows.push(("not drawn", format!("{}: {word}", grid.order.place(cell))));
    }
    rows
}

pub(super) fn recipe_rows(recipe: &Recipe) -> Vec<(&'static str, String)> {
    let times = recipe.times;
    let mut rows = vec![
        ("prompt", recipe.prompt.as_str().to_owned()),
        ("model", recipe.model.to_string()),
        ("size", recipe.size.to_string()),
        ("steps", recipe.steps.to_string()),
        ("guidance", recipe.guidance.to_string()),
        ("seed", recipe.seed.to_string()),
        ("precision", recipe.precision.clone()),
        (
            "seconds",
            format!(
                "load {:.2}, encode {:.2}, denoise {:.2}, decode {:.2}",
                times.load, times.encode, times.denoise, times.decode
            ),
        ),
    ];
    if let Some(template) = &recipe.template {
        rows.insert(1, ("template", template.as_str().to_owned()));
    }
    for lora in &recipe.loras {
        let (file, hash) = (text::one_line(&lora.file, 80), lora.hash.short());
        let steps =
            if lora.steps.is_whole() { String::new() } else { format!(" in {} of the steps", lora.steps) };
        rows.push(("LoRA", format!("{file} at {}{steps}, hash {hash}", lora.strength)));
    }
    for count in &recipe.cuts {
        let cut = count.cut(recipe.prompt.as_str());
        if !cut.is_empty() {
            let what = text::one_line(cut, 60);
            rows.push(("not read", format!("by {} (limit {} tokens): {what}", count.encoder, count.limit)));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_others_shows_its_parameters() {
        let parameters = Some("a cat\nSteps: 20".to_owned());
        let metadata = Metadata { width: 64, height: 32, parameters, ..Metadata::default() };
        let text = text::table(&rows(Path::new("/a.png"), &metadata));
        assert_eq!(text, "file        /a.png\nsize        64×32\nparameters  a cat\n            Steps: 20\n");
    }

    #[test]
    fn a_picture_without_any_says_so() {
        let metadata = Metadata { width: 64, height: 32, ..Metadata::default() };
        let text = text::table(&rows(Path::new("/a.png"), &metadata));
        assert!(text.ends_with("parameters  none in this file\n"), "{text}");
    }
}
