//! Files that are found on disk become pictures of the library, or are known to be some: by where they are, by what they
//! hold, or by the recipe in them.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Transaction, params, params_from_iter};

use super::foreign::as_job;
use super::jobs::columns_of;
use super::png::to_microseconds;
use super::{Folder, Library, LibraryError};
use crate::job::{
    Adoption, Content, FileRecord, FoundPicture, JobId, Origin, PictureId, Purpose, Recipe, Times,
};

/// The most records of one page.
pub const RECORDS_MAX: u32 = 1000;

impl Library {
    /// Takes pictures in, and says what became of each. A picture whose file was missing is one with the file that has its
    /// content, or our recipe of it. With `dry` nothing is changed and only said what would be.
    ///
    /// # Errors
    /// None of them was taken in then.
    pub fn adopt(
        &mut self,
        found: &[FoundPicture],
        purpose: Purpose,
        dry: bool,
    ) -> Result<Vec<Adoption>, LibraryError> {
        let fault = self.fault("taking pictures in");
        let change = self.db.transaction().map_err(&fault)?;
        let mut adoptions = Vec::with_capacity(found.len());
        for picture in found {
            let adopter = Adopter { change: &change, folder: &self.folder, purpose };
            adoptions.push(adopter.adopt(picture).map_err(&fault)?);
        }
        if !dry {
            change.commit().map_err(&fault)?;
        }
        Ok(adoptions)
    }

    /// What is known of the files of pictures, in the order of their numbers, after one: at most [`RECORDS_MAX`].
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn files(&self, after: Option<PictureId>, limit: u32) -> Result<Vec<FileRecord>, LibraryError> {
        let fault = self.fault("reading where pictures are");
        let mut query = self
            .db
            .prepare_cached("SELECT id, path, bytes, sha256 FROM pictures WHERE id > ?1 ORDER BY id LIMIT ?2")
            .map_err(&fault)?;
        let after = after.map_or(i64::MIN, |after| after.0);
        let rows = query
            .query_map((after, limit.min(RECORDS_MAX)), |row| {
                let (bytes, sha256): (Option<i64>, Option<[u8; 32]>) = (row.get(2)?, row.get(3)?);
                Ok(FileRecord {
                    picture: PictureId(row.get(0)?),
                    path: self.folder.path(Path::new(&row.get::<_, String>(1)?)),
                    content: bytes
                        .zip(sha256)
                        .map(|(bytes, sha256)| Content { bytes: bytes.cast_unsigned(), sha256 }),
                })
            })
            .map_err(&fault)?;
        rows.collect::<rusqlite::Result<_>>().map_err(fault)
    }
}

/// Takes in one file after the other.
pub(super) struct Adopter<'a> {
    pub change: &'a Transaction<'a>,
    pub folder: &'a Folder,
    pub purpose: Purpose,
}

impl Adopter<'_> {
    pub fn adopt(&self, found: &FoundPicture) -> rusqlite::Result<Adoption> {
        let Some(path) = self.folder.kept(&found.path) else {
            return Ok(Adoption::Refused("its path is not UTF-8: rename it".to_owned()));
        };
        if let Some(known) = self.at(&path)? {
            return self.known(known, found.content);
        }
        if self.is_being_written(&path)? {
            return Ok(Adoption::Refused("it is just being drawn".to_owned()));
        }
        let same = match found.content.map_or(Ok(None), |content| self.same_content(&content))? {
            None if found.origin == Origin::FluxTui => self.same_drawing(&found.recipe)?,
            same => same,
        };
        if let Some(id) = same {
            let from = self.path(id)?;
            return match from.is_file() {
                true => Ok(Adoption::Copy(id)),
                false => self.moved(id, from, &path, found.content),
            };
        }
        if self.purpose == Purpose::Find {
            return Ok(Adoption::Foreign);
        }
        match as_job(&found.recipe) {
            Ok(_) => self.take(found, &path).map(Adoption::Taken),
            Err(error) => Ok(Adoption::Refused(error.to_string())),
        }
    }

    fn at(&self, path: &str) -> rusqlite::Result<Option<(PictureId, Option<[u8; 32]>)>> {
        let there = "SELECT id, sha256 FROM pictures WHERE path = ?1";
        self.change.query_row(there, [path], |row| Ok((PictureId(row.get(0)?), row.get(1)?))).optional()
    }

    fn is_being_written(&self, path: &str) -> rusqlite::Result<bool> {
        let noted = "SELECT EXISTS (SELECT 1 FROM writing WHERE path = ?1)";
        self.change.query_row(noted, [path], |row| row.get(0))
    }

    fn known(
        &self,
        (id, hash): (PictureId, Option<[u8; 32]>),
        content: Option<Content>,
    ) -> rusqlite::Result<Adoption> {
        let Some(content) = content else { return Ok(Adoption::Known(id)) };
        let complete = match hash {
            None => true,
            Some(hash) => hash != content.sha256 && self.purpose == Purpose::Repair,
        };
        if !complete {
            return Ok(Adoption::Known(id));
        }
        let set = "UPDATE pictures SET bytes = ?2, sha256 = ?3 WHERE id = ?1";
        self.change.execute(set, params![id.0, content.bytes.cast_signed(), content.sha256])?;
        Ok(Adoption::Completed(id))
    }

    /// A picture with this content: one that is missing before others.
    fn same_content(&self, content: &Content) -> rusqlite::Result<Option<PictureId>> {
        let same = "SELECT id FROM pictures WHERE sha256 = ?1 AND bytes = ?2 ORDER BY id";
        let ids = self.ids(same, params![content.sha256, content.bytes.cast_signed()])?;
        self.missing_first(&ids)
    }

    /// A picture that was drawn just so. Its times tell it from another of the same seed.
    fn same_drawing(&self, recipe: &Recipe) -> rusqlite::Result<Option<PictureId>> {
        let same = "SELECT pictures.id FROM pictures JOIN jobs ON jobs.id = job WHERE pictures.seed = ?1 AND \
                    prompt = ?2 AND model = ?3 AND width = ?4 AND height = ?5 AND steps = ?6 AND origin = 'flux-tui'";
        let Recipe { model, size, steps, seed, .. } = recipe;
        let prompt = recipe.written();
        let values =
            params![seed.cast_signed(), prompt.as_str(), model.as_str(), size.width(), size.height(), steps];
        let mut ids = Vec::new();
        for id in self.ids(same, values)? {
            if self.times(id)? == to_microseconds(recipe.times) {
                ids.push(id);
            }
        }
        self.missing_first(&ids)
    }

    fn ids(&self, query: &str, values: impl rusqlite::Params) -> rusqlite::Result<Vec<PictureId>> {
        let mut query = self.change.prepare_cached(query)?;
        query.query_map(values, |row| row.get(0).map(PictureId))?.collect()
    }

    fn times(&self, id: PictureId) -> rusqlite::Result<Times> {
        let times = "SELECT load, encode, denoise, decode FROM pictures WHERE id = ?1";
        let times = self.change.query_row(times, [id.0], |row| {
            Ok(Times { load: row.get(0)?, encode: row.get(1)?, denoise: row.get(2)?, decode: row.get(3)? })
        })?;
        Ok(to_microseconds(times))
    }

    fn missing_first(&self, ids: &[PictureId]) -> rusqlite::Result<Option<PictureId>> {
        for id in ids {
            if !self.path(*id)?.is_file() {
                return Ok(Some(*id));
            }
        }
        Ok(ids.first().copied())
    }

    fn path(&self, id: PictureId) -> rusqlite::Result<PathBuf> {
        let path: String =
            self.change.query_row("SELECT path FROM pictures WHERE id = ?1", [id.0], |row| row.get(0))?;
        Ok(self.folder.path(Path::new(&path)))
    }

    fn moved(
        &self,
        id: PictureId,
        from: PathBuf,
        to: &str,
        content: Option<Content>,
    ) -> rusqlite::Result<Adoption> {
        let set = "UPDATE pictures SET path = ?2, bytes = ?3, sha256 = ?4 WHERE id = ?1";
        let (bytes, sha256) = columns(content);
        self.change.execute(set, params![id.0, to, bytes, sha256])?;
        Ok(Adoption::Moved { picture: id, from })
    }

    fn take(&self, found: &FoundPicture, path: &str) -> rusqlite::Result<PictureId> {
        let FoundPicture { content, written_at, recipe, origin, .. } = found;
        let (job, index) = self.place(found, path)?;
        let (bytes, sha256) = columns(*content);
        let Times { load, encode, denoise, decode } = recipe.times;
        // Numbers, names and hashes: JSON holds them.
        let cuts = serde_json::to_string(&recipe.cuts).unwrap_or_default();
        let loras = serde_json::to_string(&recipe.loras).unwrap_or_default();
        self.change.execute(
            "INSERT INTO pictures (job, idx, seed, precision, cuts, load, encode, denoise, decode, path, finished_at, \
             loras, bytes, sha256, origin, drawn) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
            params![
                job.0,
                index,
                recipe.seed.cast_signed(),
                recipe.precision,
                cuts,
                load,
                encode,
                denoise,
                decode,
                path,
                written_at,
                loras,
                bytes,
                sha256,
                origin.name(),
                recipe.drawn(),
            ],
        )?;
        let id = PictureId(self.change.last_insert_rowid());
        super::pictures::end_if_drawn(self.change, job, id)?;
        Ok(id)
    }

    /// The job that a picture is of, and which of its pictures. One of ours under the name that we gave it goes back to
    /// the job that the name says; any other gets a job of its own, which is over.
    fn place(&self, found: &FoundPicture, path: &str) -> rusqlite::Result<(JobId, u32)> {
        let named = (found.origin == Origin::FluxTui && Path::new(path).is_relative())
            .then(|| Folder::job_of(Path::new(path)))
            .flatten();
        if let Some((job, index)) = named {
            match self.fits(job, index, &found.recipe)? {
                Some(true) => {
                    let more = "UPDATE jobs SET count = MAX(count, 1 + (SELECT COUNT(*) FROM pictures \
                                WHERE job = ?1)) WHERE id = ?1 AND state = 'done'";
                    self.change.execute(more, [job.0])?;
                    return Ok((job, index));
                }
                None => return Ok((insert_job(self.change, Some(job), found)?, index)),
                Some(false) => {}
            }
        }
        Ok((insert_job(self.change, None, found)?, 0))
    }

    /// Whether a job asks for such a picture and lacks it; `None` when there is no such job.
    fn fits(&self, job: JobId, index: u32, recipe: &Recipe) -> rusqlite::Result<Option<bool>> {
        let fits = "SELECT prompt = ?3 AND model = ?4 AND width = ?5 AND height = ?6 AND steps = ?7 AND \
                    NOT EXISTS (SELECT 1 FROM pictures WHERE job = ?1 AND idx = ?2) FROM jobs WHERE id = ?1";
        let Recipe { model, size, steps, .. } = recipe;
        let prompt = recipe.written();
        let values =
            params![job.0, index, prompt.as_str(), model.as_str(), size.width(), size.height(), steps];
        self.change.query_row(fits, values, |row| row.get(0)).optional()
    }
}

fn columns(content: Option<Content>) -> (Option<i64>, Option<[u8; 32]>) {
    content.map(|content| (content.bytes.cast_signed(), content.sha256)).unzip()
}

/// A job for one picture that was drawn already.
pub(super) fn insert_job(
    change: &Connection,
    id: Option<JobId>,
    found: &FoundPicture,
) -> rusqlite::Result<JobId> {
    // It was looked at before.
    let job =
        as_job(&found.recipe).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let row = columns_of(&job, found.recipe.seed);
    change.execute(
        "INSERT INTO jobs (prompt, model, width, height, steps, guidance, seed, first_seed, count, device, precision, \
         vram_budget, t5, loras, parent, prompt_key, wildcards, merge_loras, state, accepted_at, ended_at, id, \
         rank) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, 'done', ?19, ?19, \
         ?20, \
         (SELECT COALESCE(MAX(rank), 0) + 1 FROM jobs))",
        params_from_iter(row.into_iter().chain([found.written_at.into(), id.map(|id| id.0).into()])),
    )?;
    Ok(JobId(change.last_insert_rowid()))
}

#[cfg(test)]
mod tests;
