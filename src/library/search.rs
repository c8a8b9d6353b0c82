//! Finding pictures: by the words of their prompts, by marks, model and time; and the seeds of a prompt.

use rusqlite::types::Value;

use super::jobs::RowError;
use super::{Library, LibraryError};
use crate::job::{Picture, PictureId, PictureQuery, Rating, Size, TriedSeed, prompt_key};
use crate::model::ModelName;

/// Letters that the index of prompts needs: it is of three in a row.
const INDEXED: usize = 3;
/// The most seeds of one prompt that are told, the best first.
pub const SEEDS_MAX: u32 = 1000;

/// As good as what is said of a picture or of its grid.
const GOOD: &str = "(rating >= ? OR jobs.grid IN (SELECT id FROM grids WHERE rating >= ?))";
const FAVOURITE: &str = "(favourite = 1 OR jobs.grid IN (SELECT id FROM grids WHERE favourite = 1))";

impl Library {
    /// A page of the pictures that a query means, newest first: at most `limit` and [`PAGE_MAX`](super::PAGE_MAX), fewer
    /// where prompts are very long, none only when there are no more. What is beyond the first 16 Ki characters of a
    /// prompt is not searched for words of three letters and more.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn search(&self, query: &PictureQuery, limit: u32) -> Result<Vec<Picture>, LibraryError> {
        let mut wanted = Wanted::default();
        wanted.plain(if query.trashed { "trashed_at IS NOT NULL" } else { "trashed_at IS NULL" });
        if let Some(before) = query.before {
            let (at, id) = self.age(before)?;
            wanted.with("(finished_at, pictures.id) < (?, ?)", [at.into(), id.into()]);
        }
        wanted.text(query.text.words());
        for tag in &query.tags {
            let tag = tag.as_str().to_owned();
            wanted.with("pictures.id IN (SELECT picture FROM tags WHERE tag = ?)", [tag.into()]);
        }
        if query.rating > Rating::default() {
            let least = i64::from(query.rating.get());
            wanted.with(GOOD, [least.into(), least.into()]);
        }
        if query.favourite {
            wanted.plain(FAVOURITE);
        }
        if let Some(model) = &query.model {
            wanted.with("model = ?", [model.as_str().to_owned().into()]);
        }
        if let Some(parent) = query.parent {
            wanted.with("jobs.parent = ?", [parent.0.into()]);
        }
        if let Some(grid) = query.grid {
            wanted.with("jobs.grid = ?", [grid.0.into()]);
        }
        if let Some(since) = query.since {
            wanted.with("finished_at >= ?", [since.into()]);
        }
        if let Some(until) = query.until {
            wanted.with("finished_at < ?", [until.into()]);
        }
        let Wanted { conditions, values } = wanted;
        let which = format!("WHERE {} ORDER BY finished_at DESC, pictures.id DESC", conditions.join(" AND "));
        self.select(&which, values, limit)
    }

    /// When a picture was finished, and its number: what a page goes on from. Of one that is not there any more it is
    /// the time of the one before it.
    fn age(&self, id: PictureId) -> Result<(i64, i64), LibraryError> {
        let at =
            "SELECT COALESCE((SELECT finished_at FROM pictures WHERE id <= ?1 ORDER BY id DESC LIMIT 1), 0)";
        let at = self.db.query_row(at, [id.0], |row| row.get(0)).map_err(self.fault("reading pictures"))?;
        Ok((at, id.0))
    }

    /// The seeds that were tried for a prompt, whatever its white space: favourites first, then the best rated, then the
    /// latest; at most [`SEEDS_MAX`].
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn seeds(&self, prompt: &str) -> Result<Vec<TriedSeed>, LibraryError> {
        let fault = self.fault("reading seeds");
        let mut query = self
            .db
            .prepare_cached(
                "SELECT pictures.seed, rating, favourite, pictures.id, path, trashed_at IS NOT NULL, model, width, \
                 height, finished_at FROM jobs JOIN pictures ON job = jobs.id WHERE prompt_key = ?1 \
                 ORDER BY favourite DESC, rating DESC, finished_at DESC, pictures.id DESC LIMIT ?2",
            )
            .map_err(&fault)?;
        let mut rows = query.query((prompt_key(prompt), SEEDS_MAX)).map_err(&fault)?;
        let mut seeds = Vec::new();
        while let Some(row) = rows.next().map_err(&fault)? {
            match self.tried(row) {
                Ok(seed) => seeds.push(seed),
                Err(reason) => tracing::error!(id = ?row.get::<_, i64>(3), %reason, "a seed cannot be read"),
            }
        }
        Ok(seeds)
    }

    fn tried(&self, row: &rusqlite::Row<'_>) -> Result<TriedSeed, RowError> {
        let path = self.folder.path(row.get::<_, String>(4)?.as_ref());
        Ok(TriedSeed {
            seed: row.get::<_, i64>(0)?.cast_unsigned(),
            rating: Rating::try_from(row.get::<_, u8>(1)?)?,
            favourite: row.get(2)?,
            picture: PictureId(row.get(3)?),
            missing: !path.is_file(),
            path,
            trashed: row.get(5)?,
            model: ModelName(row.get(6)?),
            size: Size::new(row.get(7)?, row.get(8)?)?,
            finished_at: row.get(9)?,
        })
    }
}

/// Conditions and the values of their parameters, in order.
#[derive(Default)]
pub(super) struct Wanted {
    pub conditions: Vec<&'static str>,
    pub values: Vec<Value>,
}

impl Wanted {
    pub fn plain(&mut self, condition: &'static str) {
        self.conditions.push(condition);
    }

    pub fn with(&mut self, condition: &'static str, values: impl IntoIterator<Item = Value>) {
        self.conditions.push(condition);
        self.values.extend(values);
    }

    /// All of these words: by the index as far as it knows them, and otherwise by looking at every prompt.
    pub fn text<'w>(&mut self, words: impl Iterator<Item = &'w str>) {
        let (long, short): (Vec<_>, Vec<_>) = words.partition(|word| word.chars().count() >= INDEXED);
        // What choices in a prompt became is in no index: most pictures have none.
        let found =
            r"(jobs.id IN (SELECT rowid FROM prompts WHERE prompts MATCH ?) OR drawn LIKE ? ESCAPE '\')";
        for word in long {
            self.with(found, [phrase(word).into(), pattern(word).into()]);
        }
        for word in short {
            let pattern = pattern(word);
            self.with(
                r"(jobs.prompt LIKE ? ESCAPE '\' OR drawn LIKE ? ESCAPE '\')",
                [pattern.clone().into(), pattern.into()],
            );
        }
    }
}

/// A word as FTS5 takes it: nothing in quotes means anything but itself. It ends a text at a NUL.
fn phrase(word: &str) -> String {
    format!("\"{}\"", word.replace('\0', "\u{fffd}").replace('"', "\"\""))
}

/// A pattern of LIKE for a text that has the word in it.
fn pattern(word: &str) -> String {
    let mut pattern = String::from("%");
    for c in word.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern + "%"
}

#[cfg(test)]
mod tests;
