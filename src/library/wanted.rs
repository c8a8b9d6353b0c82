//! The models that are being fetched or wait for it: a worker that ends in between leaves them to the next.

use rusqlite::params;

use super::{Library, LibraryError};
use crate::model::ModelName;

impl Library {
    /// Remembers that a model is to be fetched; when this returns it is on disk. Behind those that wait already.
    ///
    /// # Errors
    /// Nothing was remembered then.
    pub fn want_model(&mut self, name: &ModelName) -> Result<(), LibraryError> {
        let wanted = "INSERT INTO wanted_models (name) VALUES (?1) ON CONFLICT (name) DO NOTHING";
        self.db.execute(wanted, params![name.as_str()]).map_err(self.fault("remembering a model"))?;
        Ok(())
    }

    /// Forgets a model: it is here, it failed, or a person wants it no more.
    ///
    /// # Errors
    /// It is remembered still.
    pub fn forget_model(&mut self, name: &ModelName) -> Result<(), LibraryError> {
        let forget = "DELETE FROM wanted_models WHERE name = ?1";
        self.db.execute(forget, params![name.as_str()]).map_err(self.fault("forgetting a model"))?;
        Ok(())
    }

    /// The models that are wanted, in the order in which they were asked for.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn wanted_models(&self) -> Result<Vec<ModelName>, LibraryError> {
        let fault = self.fault("reading which models are wanted");
        let mut all = self.db.prepare("SELECT name FROM wanted_models ORDER BY id").map_err(&fault)?;
        let names = all.query_map([], |row| row.get::<_, String>(0)).map_err(&fault)?;
        names.map(|name| name.map(ModelName::new)).collect::<Result<_, _>>().map_err(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;

    #[test]
    fn what_is_wanted_is_kept_once_in_order_and_after_the_library_was_closed() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        let name = ModelName::new;
        let mut library = Library::open(&paths).expect("it is new");
        for wanted in ["b", "a", "b", "c"] {
            library.want_model(&name(wanted)).expect("there is room");
        }
        library.forget_model(&name("a")).expect("there is room");
        drop(library);
        let library = Library::open(&paths).expect("it is ours");
        assert_eq!(library.wanted_models().expect("it can be read"), [name("b"), name("c")]);
    }
}
