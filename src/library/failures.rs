//! How often a device has failed in a row while a job was drawn: what outlives the workers that it ended.

use rusqlite::params;

use super::{Library, LibraryError};
use crate::job::JobId;

impl Library {
    /// Notes that a device failed while a job was drawn, and says how often in a row by now. A picture of the job that is
    /// recorded ends the row.
    ///
    /// # Errors
    /// Nothing was noted then.
    pub fn device_failed(&mut self, id: JobId) -> Result<u32, LibraryError> {
        let fault = self.fault("noting that a device failed");
        self.db
            .query_row(
                "UPDATE jobs SET device_failures = device_failures + 1 WHERE id = ?1 RETURNING device_failures",
                params![id.0],
                |row| row.get(0),
            )
            .map_err(fault)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Zoned;

    use super::*;
    use crate::job::{Job, Prompt, Recipe, Seed, Size, Times};
    use crate::model::ModelName;
    use crate::paths::Paths;

    #[test]
    fn failures_count_up_until_a_picture_is_recorded() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut library = Library::open(&Paths::under(root.path())).expect("it is new");
        let prompt = Prompt::new("a lighthouse").expect("it is short");
        let (model, size) = (ModelName::new("dev"), Size::new(512, 512).expect("it is on the grid"));
        let job =
            Job::new(prompt.clone(), model.clone(), size, 4, 3.5, Seed::Fixed(1), 2).expect("it is one");
        let id = library.accept(&job, 1, 0).expect("there is room").id;
        let mut failed = || library.device_failed(id).expect("there is such a job");
        assert_eq!([failed(), failed()], [1, 2]);
        let recipe = Recipe {
            prompt,
            model,
            size,
            steps: 4,
            guidance: 3.5,
            seed: 1,
            precision: "fp8".to_owned(),
            cuts: Vec::new(),
            times: Times::default(),
            loras: Vec::new(),
        };
        library.intend(id, 0, &recipe, &Zoned::now()).expect("there is room");
        library.record(id, 0).expect("it was noted");
        assert_eq!(library.device_failed(id).expect("there is such a job"), 1);
        assert!(library.device_failed(JobId(99)).is_err());
    }
}
