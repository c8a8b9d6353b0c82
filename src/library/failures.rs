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
    use crate::job::Content;
    use crate::library::samples::{self, Place};

    #[test]
    fn failures_count_up_until_a_picture_is_recorded() {
        let Place { mut library, root: _root } = Place::new();
        let job = samples::job("a lighthouse");
        let id = library.accept(&job, 1, 0).expect("there is room").id;
        let mut failed = || library.device_failed(id).expect("there is such a job");
        assert_eq!([failed(), failed()], [1, 2]);
        let recipe = samples::recipe(&job, 1);
        library.intend(id, 0, &recipe, Content::of(b""), &Zoned::now()).expect("there is room");
        library.record(id, 0).expect("it was noted");
        assert_eq!(library.device_failed(id).expect("there is such a job"), 1);
        assert!(library.device_failed(JobId(99)).is_err());
    }
}
