//! Pictures in a library of their own, for the tests of its parts.

use std::path::{Path, PathBuf};

use jiff::Zoned;

use super::{Folder, Library, png};
use crate::device::PrecisionChoice;
use crate::job::{Content, Job, JobId, Picture, Prompt, Recipe, Seed, Size, Times};
use crate::model::ModelName;

/// A library in a directory that goes with it.
pub(super) struct Place {
    pub root: tempfile::TempDir,
    pub library: Library,
}

impl Place {
    /// Empty.
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let library = open(root.path());
        Self { root, library }
    }

    /// Closed and opened again.
    pub fn reopen(self) -> Library {
        drop(self.library);
        open(self.root.path())
    }

    /// A new library for the same pictures; the one before is away.
    pub fn fresh(&self) -> Library {
        let root = self.root.path().join("fresh");
        std::fs::create_dir(&root).expect("it can be made");
        Library::open_in(&root.join("library.sqlite3"), Folder::new(self.root.path().join("pictures")))
            .expect("it opens")
    }

    /// A picture of the prompt; its file is no PNG.
    pub fn picture(&mut self, prompt: &str) -> Picture {
        picture(&mut self.library, &job(prompt))
    }

    /// A picture of the prompt and the seed; its file is a PNG with its recipe.
    pub fn drawn(&mut self, prompt: &str, seed: u64) -> Picture {
        let mut job = job(prompt);
        job.seed = Seed::Fixed(seed);
        let id = self.library.accept(&job, seed, 0).expect("there is room").id;
        write(&mut self.library, id, 0, &recipe(&job, seed))
    }
}

/// A PNG with a recipe.
pub(super) fn png(recipe: &Recipe) -> Vec<u8> {
    let size = recipe.size;
    png::encode(&vec![128; 3 * size.width() as usize * size.height() as usize], recipe)
        .expect("the pixels fit")
}

/// A picture of a job, drawn.
pub(super) fn write(library: &mut Library, job: JobId, index: u32, recipe: &Recipe) -> Picture {
    let bytes = png(recipe);
    let name = library.intend(job, index, recipe, Content::of(&bytes), &Zoned::now()).expect("there is room");
    library.folder().write(&name, &bytes).expect("there is room");
    library.record(job, index).expect("it was noted").0
}

/// All pictures below a library's directory, sorted.
pub(super) fn files(root: &Path) -> Vec<PathBuf> {
    let days = std::fs::read_dir(root.join("pictures")).expect("there are some");
    let files = days.flat_map(|day| std::fs::read_dir(day.expect("an entry").path()).expect("a directory"));
    let mut files: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
    files.sort();
    files
}

/// The library in a directory.
pub(super) fn open(root: &Path) -> Library {
    Library::open_in(&root.join("library.sqlite3"), Folder::new(root.join("pictures"))).expect("it opens")
}

/// A small job for one picture of the model `dev`, in fp8, with seed 1.
pub(super) fn job(prompt: &str) -> Job {
    let (prompt, size) = (Prompt::new(prompt).expect("text"), Size::new(64, 48).expect("on the grid"));
    let job = Job::new(prompt, ModelName::new("dev"), size, 4, 3.5, Seed::Fixed(1), 1).expect("it is one");
    job.placed(Default::default(), PrecisionChoice::Fp8)
}

/// What a job's picture is drawn from.
pub(super) fn recipe(job: &Job, seed: u64) -> Recipe {
    Recipe {
        template: None,
        prompt: job.prompt.clone(),
        model: job.model.clone(),
        size: job.size,
        steps: job.steps(),
        guidance: job.guidance(),
        seed,
        precision: "fp8".to_owned(),
        cuts: Vec::new(),
        times: Times::default(),
        loras: Vec::new(),
    }
}

/// The first picture of a job, drawn.
pub(super) fn picture(library: &mut Library, job: &Job) -> Picture {
    let seed = match job.seed {
        Seed::Fixed(seed) => seed,
        Seed::Random => 1,
    };
    let id = library.accept(job, seed, 0).expect("there is room").id;
    let (recipe, bytes) = (recipe(job, seed), format!("picture {id}").into_bytes());
    let name = library.intend(id, 0, &recipe, Content::of(&bytes), &Zoned::now()).expect("there is room");
    library.folder().write(&name, &bytes).expect("there is room");
    library.record(id, 0).expect("it was noted").0
}
