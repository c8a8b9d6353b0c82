//! The tables of the library and how an older file becomes a newer one. No rows are read here.
//!
//! `PRAGMA user_version` is the number of migrations that a file has had. A migration that was
//! released is never changed; a new one is added at the end.

use rusqlite::{Connection, params};

use crate::job::prompt_key;

/// `flux` in ASCII: the file is ours.
pub(super) const APPLICATION: i32 = 0x666c_7578;

/// Each brings the file from its index to the next version.
const MIGRATIONS: &[&str] = &[
    // 1: jobs, pictures, and the picture of each job that is being written. Seeds are u64 kept as
    // the i64 of the same bits. `pictures.path` is relative to the directory of pictures, so that
    // the data directory may be moved.
    "
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        prompt TEXT NOT NULL,
        model TEXT NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        steps INTEGER NOT NULL,
        guidance REAL NOT NULL,
        seed INTEGER,
        first_seed INTEGER NOT NULL,
        count INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
        reason TEXT,
        accepted_at INTEGER NOT NULL,
        ended_at INTEGER
    ) STRICT;
    CREATE INDEX jobs_open ON jobs (id) WHERE state IN ('queued', 'running');
    CREATE INDEX jobs_failed ON jobs (ended_at, id) WHERE state = 'failed';
    CREATE TABLE pictures (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        job INTEGER NOT NULL REFERENCES jobs (id),
        idx INTEGER NOT NULL,
        seed INTEGER NOT NULL,
        precision TEXT NOT NULL,
        cuts TEXT NOT NULL,
        load REAL NOT NULL,
        encode REAL NOT NULL,
        denoise REAL NOT NULL,
        decode REAL NOT NULL,
        path TEXT NOT NULL UNIQUE,
        finished_at INTEGER NOT NULL,
        UNIQUE (job, idx)
    ) STRICT;
    CREATE TABLE writing (
        job INTEGER NOT NULL REFERENCES jobs (id),
        idx INTEGER NOT NULL,
        seed INTEGER NOT NULL,
        precision TEXT NOT NULL,
        cuts TEXT NOT NULL,
        load REAL NOT NULL,
        encode REAL NOT NULL,
        denoise REAL NOT NULL,
        decode REAL NOT NULL,
        path TEXT NOT NULL UNIQUE,
        finished_at INTEGER NOT NULL,
        PRIMARY KEY (job, idx)
    ) STRICT;
    ",
    // 2: where a job is to be drawn and in which numbers, as they are written on the command line.
    "
    ALTER TABLE jobs ADD COLUMN device TEXT NOT NULL DEFAULT 'auto';
    ALTER TABLE jobs ADD COLUMN precision TEXT NOT NULL DEFAULT 'auto';
    ",
    // 3: within how many bytes of a card's memory (NULL: what is free), and where T5 reads.
    "
    ALTER TABLE jobs ADD COLUMN vram_budget INTEGER;
    ALTER TABLE jobs ADD COLUMN t5 TEXT NOT NULL DEFAULT 'auto';
    ",
    // 4: models that are being fetched or wait for it, in the order in which they were asked for.
    "
    CREATE TABLE IF NOT EXISTS wanted_models (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE
    ) STRICT;
    ",
    // 5: in which order jobs are drawn, the lowest rank first, and whether nothing is begun.
    "
    ALTER TABLE jobs ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET rank = id;
    CREATE INDEX jobs_rank ON jobs (rank);
    CREATE TABLE queue (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        paused INTEGER NOT NULL CHECK (paused IN (0, 1))
    ) STRICT;
    INSERT INTO queue VALUES (1, 0);
    ",
    // 6: what pictures took of cards beside what was planned: bytes (peak and short without the context), seconds
    // (compute: of a step that did not wait for copies; NULL where it is not known), bytes a second out of files. How
    // fast each card is.
    "
    CREATE TABLE cards (
        card TEXT PRIMARY KEY,
        bf16 REAL NOT NULL,
        fp8 REAL,
        pinned REAL NOT NULL,
        mapped REAL NOT NULL
    ) STRICT;
    CREATE TABLE usage (
        picture INTEGER PRIMARY KEY REFERENCES pictures (id),
        card TEXT NOT NULL,
        foreseen_peak INTEGER NOT NULL,
        foreseen_context INTEGER NOT NULL,
        foreseen_step REAL NOT NULL,
        peak INTEGER NOT NULL,
        context INTEGER,
        short INTEGER NOT NULL,
        step REAL,
        compute REAL,
        decode REAL NOT NULL,
        files REAL
    ) STRICT;
    CREATE INDEX usage_card ON usage (card, picture);
    ",
    // 7: how often a device failed in a row while the job was drawn.
    "
    ALTER TABLE jobs ADD COLUMN device_failures INTEGER NOT NULL DEFAULT 0;
    ",
    // 8: LoRAs, JSON: of jobs those that are asked for beside the prompt's tags, of pictures those that they were drawn
    // with.
    "
    ALTER TABLE jobs ADD COLUMN loras TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE pictures ADD COLUMN loras TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE writing ADD COLUMN loras TEXT NOT NULL DEFAULT '[]';
    ",
    // 9: what a person says of pictures, what they were iterated from, and what finds them again. Of a file its length
    // and SHA-256 (NULL where it was written before and not looked at since); `pictures.path` may also be absolute, of
    // one that was imported. `jobs.prompt_key` is what seeds are looked up by (`job::prompt_key`), `prompts` the index of
    // all three letters in a row of the beginning of each prompt: Chinese has no blanks between words. A picture of 1 MB
    // of prompt would take it a second, so it ends after 16 Ki characters.
    "
    ALTER TABLE jobs ADD COLUMN parent INTEGER;
    ALTER TABLE jobs ADD COLUMN prompt_key BLOB;
    CREATE INDEX jobs_prompt_key ON jobs (prompt_key);
    ALTER TABLE pictures ADD COLUMN bytes INTEGER;
    ALTER TABLE pictures ADD COLUMN sha256 BLOB;
    ALTER TABLE pictures ADD COLUMN origin TEXT NOT NULL DEFAULT 'flux-tui';
    ALTER TABLE pictures ADD COLUMN rating INTEGER NOT NULL DEFAULT 0 CHECK (rating BETWEEN 0 AND 5);
    ALTER TABLE pictures ADD COLUMN favourite INTEGER NOT NULL DEFAULT 0 CHECK (favourite IN (0, 1));
    ALTER TABLE pictures ADD COLUMN trashed_at INTEGER;
    ALTER TABLE writing ADD COLUMN bytes INTEGER;
    ALTER TABLE writing ADD COLUMN sha256 BLOB;
    CREATE INDEX pictures_age ON pictures (finished_at, id) WHERE trashed_at IS NULL;
    CREATE INDEX pictures_sha256 ON pictures (sha256);
    CREATE INDEX pictures_seed ON pictures (seed);
    CREATE TABLE tags (
        picture INTEGER NOT NULL REFERENCES pictures (id) ON DELETE CASCADE,
        tag TEXT NOT NULL,
        PRIMARY KEY (picture, tag)
    ) STRICT;
    CREATE INDEX tags_tag ON tags (tag, picture);
    CREATE VIEW searchable AS SELECT id, substr(prompt, 1, 16384) AS prompt FROM jobs;
    CREATE VIRTUAL TABLE prompts USING fts5 (prompt, content='searchable', content_rowid='id', tokenize='trigram');
    CREATE TRIGGER prompts_added AFTER INSERT ON jobs BEGIN
        INSERT INTO prompts (rowid, prompt) VALUES (new.id, substr(new.prompt, 1, 16384));
    END;
    CREATE TRIGGER prompts_changed AFTER UPDATE OF prompt ON jobs WHEN old.prompt <> new.prompt BEGIN
        INSERT INTO prompts (prompts, rowid, prompt) VALUES ('delete', old.id, substr(old.prompt, 1, 16384));
        INSERT INTO prompts (rowid, prompt) VALUES (new.id, substr(new.prompt, 1, 16384));
    END;
    CREATE TRIGGER prompts_removed AFTER DELETE ON jobs BEGIN
        INSERT INTO prompts (prompts, rowid, prompt) VALUES ('delete', old.id, substr(old.prompt, 1, 16384));
    END;
    INSERT INTO prompts (prompts) VALUES ('rebuild');
    ",
    // 10: prompts with choices: of jobs the lines of the wildcards that they name, JSON by their names, and of pictures
    // the words that they were drawn from, where those are not the job's prompt.
    "
    ALTER TABLE jobs ADD COLUMN wildcards TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE pictures ADD COLUMN drawn TEXT;
    ALTER TABLE writing ADD COLUMN drawn TEXT;
    ",
    // 11: grids: what was asked, JSON, and the contact sheet (relative to the directory of pictures), which is written
    // again when a cell was tried again. Of jobs the grid and the cell that they are drawn for.
    "
    CREATE TABLE grids (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        asked TEXT NOT NULL,
        seed INTEGER NOT NULL,
        asked_at INTEGER NOT NULL,
        sheet TEXT,
        written INTEGER NOT NULL DEFAULT 0 CHECK (written IN (0, 1))
    ) STRICT;
    ALTER TABLE jobs ADD COLUMN grid INTEGER;
    ALTER TABLE jobs ADD COLUMN cell INTEGER;
    CREATE INDEX jobs_grid ON jobs (grid, cell) WHERE grid IS NOT NULL;
    ",
    // 12: whether LoRAs are merged into weights, as it is written on the command line.
    "
    ALTER TABLE jobs ADD COLUMN merge_loras TEXT NOT NULL DEFAULT 'never';
    ",
    // 13: what a person says of a grid as a whole. Its pictures that went into the trash at the same moment went with it.
    "
    ALTER TABLE grids ADD COLUMN rating INTEGER NOT NULL DEFAULT 0 CHECK (rating BETWEEN 0 AND 5);
    ALTER TABLE grids ADD COLUMN favourite INTEGER NOT NULL DEFAULT 0 CHECK (favourite IN (0, 1));
    ALTER TABLE grids ADD COLUMN trashed_at INTEGER;
    ",
];

/// The version that this program writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings a file at `version` (below [`VERSION`]) to [`VERSION`]: wholly or not at all.
pub(super) fn migrate(db: &mut Connection, version: i64) -> rusqlite::Result<()> {
    let change = db.transaction()?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        change.execute_batch(migration)?;
    }
    fill_prompt_keys(&change)?;
    change.pragma_update(None, "application_id", APPLICATION)?;
    change.pragma_update(None, "user_version", VERSION)?;
    change.commit()
}

/// Gives jobs that were accepted before there were keys theirs.
pub(super) fn fill_prompt_keys(change: &Connection) -> rusqlite::Result<()> {
    let mut lacking = change.prepare("SELECT id, prompt FROM jobs WHERE prompt_key IS NULL")?;
    let mut fill = change.prepare("UPDATE jobs SET prompt_key = ?2 WHERE id = ?1")?;
    let mut rows = lacking.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push((row.get::<_, i64>(0)?, prompt_key(row.get_ref(1)?.as_str()?)));
    }
    for (id, key) in keys {
        fill.execute(params![id, key])?;
    }
    Ok(())
}
