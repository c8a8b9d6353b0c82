//! What pictures took of cards beside what was planned: kept for every picture, and learned from.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::jobs::RowError;
use super::{Library, LibraryError, fault, schema};
use crate::device::{LoadOptions, VramBudget};
use crate::job::{PictureId, Size};
use crate::model::ModelName;
use crate::usage::{CardPace, Compared, Foreseen, Learned, Observed, Usage};

/// Pictures of one kind on one card.
#[derive(Debug, Clone, PartialEq)]
pub struct Kind {
    /// The card, by what tells it from all others.
    pub card: String,
    /// The model.
    pub model: ModelName,
    /// How it was asked to be loaded. The budget does not matter: it changes what is streamed, not what a step computes.
    pub load: LoadOptions,
    /// How large.
    pub size: Size,
}

/// One picture's prediction, for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// Which picture.
    pub picture: PictureId,
    /// The model.
    pub model: ModelName,
    /// How it was asked to be loaded.
    pub load: LoadOptions,
    /// How large.
    pub size: Size,
    /// Evaluations of the transformer.
    pub steps: u32,
    /// What was planned and what came.
    pub compared: Compared,
}

/// Of the latest so many pictures of a kind, the largest shortfall counts.
const REMEMBERED: u32 = 20;

impl Library {
    /// Keeps what a picture took; `context` is what the driver says that the process held besides its own memory.
    ///
    /// # Errors
    /// Nothing was kept then.
    pub fn keep_usage(
        &mut self,
        picture: PictureId,
        card: &str,
        usage: &Usage,
        context: Option<u64>,
    ) -> Result<(), LibraryError> {
        let fault = self.fault("keeping what a picture took");
        let Usage { foreseen, peak, step, compute, decode, files, card: pace, .. } = *usage;
        let change = self.db.transaction().map_err(&fault)?;
        let CardPace { bf16, fp8, pinned, mapped } = pace;
        change
            .execute(
                "INSERT OR REPLACE INTO cards (card, bf16, fp8, pinned, mapped) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![card, bf16, fp8, pinned, mapped],
            )
            .map_err(&fault)?;
        let row = params![
            picture.0,
            card,
            foreseen.peak.cast_signed(),
            foreseen.context.cast_signed(),
            foreseen.step,
            peak.cast_signed(),
            context.map(u64::cast_signed),
            usage.short().cast_signed(),
            step,
            compute,
            decode,
            files,
        ];
        change
            .execute(
                "INSERT OR REPLACE INTO usage (picture, card, foreseen_peak, foreseen_context, foreseen_step, peak, \
                 context, short, step, compute, decode, files) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                row,
            )
            .map_err(&fault)?;
        change.commit().map_err(fault)
    }

    /// What is known for pictures of a kind.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn learned(&self, kind: &Kind) -> Result<Learned, LibraryError> {
        learned(&self.db, kind).map_err(self.fault(READING))
    }

    /// What the latest pictures took beside what was planned, the newest first.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn past_usage(&self, limit: u32) -> Result<Vec<Past>, LibraryError> {
        past_usage(&self.db, limit).map_err(self.fault(READING))
    }

    /// What one picture took beside what was planned.
    pub(super) fn past_usage_of(&self, id: PictureId) -> Result<Option<Past>, LibraryError> {
        let one = |db: &Connection| {
            let mut query = db.prepare_cached(&format!("{PAST} WHERE picture = ?1"))?;
            query.query_row([id.0], |row| Ok(past(row).ok())).optional()
        };
        Ok(one(&self.db).map_err(self.fault(READING))?.flatten())
    }
}

/// What is being done, for messages.
const READING: &str = "reading what pictures took";

/// A look at what pictures took, in a library that a worker may have open. Nothing is changed.
#[derive(Debug)]
pub struct Glance(Connection);

impl Glance {
    /// At the library in this file; `None` where there is none, or one of another version of this program.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn at(path: &Path) -> Result<Option<Self>, LibraryError> {
        if !path.exists() {
            return Ok(None);
        }
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let found = db.and_then(|db| {
            let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
            Ok((version == schema::VERSION).then_some(Self(db)))
        });
        found.map_err(|error| fault(path, READING, error))
    }

    /// As [`Library::learned`].
    ///
    /// # Errors
    /// As there.
    pub fn learned(&self, kind: &Kind) -> Result<Learned, LibraryError> {
        learned(&self.0, kind).map_err(|error| self.fault(error))
    }

    /// As [`Library::past_usage`].
    ///
    /// # Errors
    /// As there.
    pub fn past_usage(&self, limit: u32) -> Result<Vec<Past>, LibraryError> {
        past_usage(&self.0, limit).map_err(|error| self.fault(error))
    }

    pub(super) fn db(&self) -> &Connection {
        &self.0
    }

    pub(super) fn fault(&self, error: rusqlite::Error) -> LibraryError {
        fault(Path::new(self.0.path().unwrap_or_default()), READING, error)
    }
}

fn learned(db: &Connection, kind: &Kind) -> rusqlite::Result<Learned> {
    let pace = |row: &Row<'_>| {
        Ok(CardPace { bf16: row.get(0)?, fp8: row.get(1)?, pinned: row.get(2)?, mapped: row.get(3)? })
    };
    let card = db
        .query_row("SELECT bf16, fp8, pinned, mapped FROM cards WHERE card = ?1", [&kind.card], pace)
        .optional()?;
    let context = db
        .query_row(
            "SELECT context FROM usage WHERE card = ?1 AND context IS NOT NULL ORDER BY picture DESC LIMIT 1",
            [&kind.card],
            |row| row.get::<_, i64>(0),
        )
        .optional()?;
    let Kind { card: name, model, load, size } = kind;
    let short: i64 = db.query_row(
        &format!(
            "SELECT COALESCE(MAX(short), 0) FROM (SELECT short {OF_A_KIND} AND width = ?5 AND height = ?6 \
             ORDER BY picture DESC LIMIT {REMEMBERED})"
        ),
        params![
            name,
            model.as_str(),
            load.precision.to_string(),
            load.t5.to_string(),
            size.width(),
            size.height()
        ],
        |row| row.get(0),
    )?;
    let files = db
        .query_row(
            &format!("SELECT files {OF_A_KIND} AND files > 0 ORDER BY picture DESC LIMIT 1"),
            params![name, model.as_str(), load.precision.to_string(), load.t5.to_string()],
            |row| row.get(0),
        )
        .optional()?;
    Ok(Learned {
        card,
        context: context.map(i64::cast_unsigned),
        short: short.cast_unsigned(),
        step: nearest(db, kind, "compute")?,
        decode: nearest(db, kind, "decode")?,
        files,
    })
}

/// What `column` was for the latest picture of the size that is nearest.
fn nearest(db: &Connection, kind: &Kind, column: &str) -> rusqlite::Result<Option<Observed>> {
    let Kind { card, model, load, size } = kind;
    let pixels = i64::from(size.width()) * i64::from(size.height());
    let query = format!(
        "SELECT width * height / 256, usage.{column} {OF_A_KIND} AND usage.{column} > 0 \
         ORDER BY ABS(width * height - ?5), picture DESC LIMIT 1"
    );
    let row = params![card, model.as_str(), load.precision.to_string(), load.t5.to_string(), pixels];
    let observed =
        |row: &Row<'_>| Ok(Observed { tokens: row.get::<_, i64>(0)?.max(1) as usize, seconds: row.get(1)? });
    db.query_row(&query, row, observed).optional()
}

fn past_usage(db: &Connection, limit: u32) -> rusqlite::Result<Vec<Past>> {
    let mut query = db.prepare(&format!("{PAST} ORDER BY picture DESC LIMIT ?1"))?;
    let rows = query.query_map([limit], |row| Ok(past(row)))?.collect::<rusqlite::Result<Vec<_>>>()?;
    // A row that was written by hand hides no other.
    Ok(rows.into_iter().flatten().collect())
}

/// All that a [`Past`] is made of.
const PAST: &str = "SELECT picture, model, width, height, steps, jobs.precision, vram_budget, t5, foreseen_peak, \
                    foreseen_context, foreseen_step, peak, context, step, merge_loras \
                    FROM usage JOIN pictures ON pictures.id = picture JOIN jobs ON jobs.id = job";

/// Usage of pictures of a card (?1), a model (?2), a precision (?3) and a place for T5 (?4).
const OF_A_KIND: &str = "FROM usage JOIN pictures ON pictures.id = picture JOIN jobs ON jobs.id = job \
                         WHERE card = ?1 AND model = ?2 AND jobs.precision = ?3 AND t5 = ?4";

fn past(row: &Row<'_>) -> Result<Past, RowError> {
    let bytes = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let context: Option<i64> = row.get(12)?;
    let own = bytes(11)?;
    Ok(Past {
        picture: PictureId(row.get(0)?),
        model: ModelName(row.get(1)?),
        size: Size::new(row.get(2)?, row.get(3)?)?,
        steps: row.get(4)?,
        load: LoadOptions {
            precision: row.get::<_, String>(5)?.parse()?,
            vram_budget: row.get::<_, Option<i64>>(6)?.map(|bytes| VramBudget(bytes.cast_unsigned())),
            t5: row.get::<_, String>(7)?.parse()?,
            merge_loras: row.get::<_, String>(14)?.parse()?,
        },
        compared: Compared {
            foreseen: Foreseen { peak: bytes(8)?, context: bytes(9)?, step: row.get(10)? },
            peak: context.map(|context| context.cast_unsigned() + own),
            step: row.get(13)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::PrecisionChoice;
    use crate::library::samples;
    use crate::paths::Paths;
    use crate::usage::tests::usage;

    const CARD: &str = "GPU-1";

    fn size(width: u32) -> Size {
        Size::new(width, 512).expect("it is on the grid")
    }

    fn kind(card: &str, model: &str, width: u32) -> Kind {
        Kind {
            card: card.to_owned(),
            model: ModelName::new(model),
            load: PrecisionChoice::Fp8.into(),
            size: size(width),
        }
    }

    /// A picture of `model` in the library.
    fn picture(library: &mut Library, model: &str, width: u32) -> PictureId {
        let mut job = samples::job("a lighthouse");
        (job.model, job.size) = (ModelName::new(model), size(width));
        samples::picture(library, &job).id
    }

    fn library(root: &Path) -> Library {
        Library::open(&Paths::under(root)).expect("it is new")
    }

    #[test]
    fn nothing_is_known_before_there_are_pictures() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let learned = library(root.path()).learned(&kind(CARD, "dev", 512)).expect("it can be read");
        assert_eq!(learned, Learned::default());
    }

    #[test]
    fn the_nearest_size_and_the_latest_picture_are_learned_from() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut library = library(root.path());
        for (width, step, context) in [(512, 0.1, Some(500)), (1024, 0.3, Some(550)), (1024, 0.2, None)] {
            let picture = picture(&mut library, "dev", width);
            let usage = Usage { compute: Some(step), files: Some(1e9 * step), ..usage() };
            library.keep_usage(picture, CARD, &usage, context).expect("there is room");
        }
        let learned = library.learned(&kind(CARD, "dev", 1008)).expect("it can be read");
        assert_eq!(learned.step, Some(Observed { tokens: 2048, seconds: 0.2 }));
        assert_eq!((learned.context, learned.short, learned.files), (Some(550), 0, Some(0.2e9)));
        assert_eq!(learned.card, Some(usage().card));
        let small = library.learned(&kind(CARD, "dev", 256)).expect("it can be read");
        assert_eq!(small.step, Some(Observed { tokens: 1024, seconds: 0.1 }));
        // The same card, another model: what is the card's is known.
        let other = library.learned(&kind(CARD, "schnell", 512)).expect("it can be read");
        assert_eq!((other.step, other.context), (None, Some(550)));
        assert_eq!(library.learned(&kind("GPU-2", "dev", 512)).expect("it can be read"), Learned::default());
    }

    #[test]
    fn a_step_that_waited_for_copies_says_nothing_of_what_it_computes() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut library = library(root.path());
        for compute in [Some(0.1), None] {
            let picture = picture(&mut library, "dev", 512);
            library.keep_usage(picture, CARD, &Usage { compute, ..usage() }, None).expect("there is room");
        }
        let learned = library.learned(&kind(CARD, "dev", 512)).expect("it can be read");
        assert_eq!(learned.step, Some(Observed { tokens: 1024, seconds: 0.1 }));
    }

    #[test]
    fn a_shortfall_is_remembered_for_its_size() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut library = library(root.path());
        for peak in [7_450, 7_300] {
            let picture = picture(&mut library, "dev", 512);
            library.keep_usage(picture, CARD, &Usage { peak, ..usage() }, None).expect("there is room");
        }
        assert_eq!(library.learned(&kind(CARD, "dev", 512)).expect("it can be read").short, 50);
        assert_eq!(library.learned(&kind(CARD, "dev", 1024)).expect("it can be read").short, 0);
    }

    #[test]
    fn a_glance_sees_what_the_worker_keeps_while_it_has_the_library_open() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        let none = Glance::at(&paths.library()).expect("nothing is wrong with it");
        assert!(none.is_none());
        let mut library = library(root.path());
        let picture = picture(&mut library, "dev", 512);
        library.keep_usage(picture, CARD, &usage(), Some(700)).expect("there is room");
        let glance = Glance::at(&paths.library()).expect("it can be read").expect("it is of this version");
        let kind = kind(CARD, "dev", 512);
        assert_eq!(
            glance.learned(&kind).expect("it can be read"),
            library.learned(&kind).expect("so can it")
        );
        assert_eq!(glance.past_usage(5).expect("it can be read").len(), 1);
    }

    #[test]
    fn every_prediction_can_be_looked_up() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut library = library(root.path());
        for context in [Some(700), None] {
            let picture = picture(&mut library, "dev", 512);
            library.keep_usage(picture, CARD, &usage(), context).expect("there is room");
        }
        let past = library.past_usage(10).expect("it can be read");
        assert_eq!(past.len(), 2);
        assert_eq!(
            (past[0].compared, past[1].compared),
            (usage().compared(None), usage().compared(Some(700)))
        );
        assert_eq!((past[0].size, past[0].steps, past[0].model.as_str()), (size(512), 4, "dev"));
        assert_eq!(library.past_usage(1).expect("it can be read").len(), 1);
    }
}
