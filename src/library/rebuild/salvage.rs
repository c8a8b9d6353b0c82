//! What can still be read of a damaged database, row by row.
//!
//! A table is read from its beginning to the first damaged page, from its end to the last, and in between row by row: each
//! is found on a way of its own, and a page that is damaged hides only those that lie on it.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Row, Transaction, params_from_iter};

/// Those that hold what a person would miss, in an order in which nothing waits for another.
const TABLES: [&str; 9] =
    ["jobs", "pictures", "writing", "tags", "usage", "cards", "wanted_models", "queue", "grids"];
/// The index that `path TEXT NOT NULL UNIQUE` of `pictures` makes.
const PATHS: &str = "sqlite_autoindex_pictures_1";
/// The most numbers that are tried between two damaged places.
const TRIED_MAX: i64 = 1 << 20;

/// Copies all rows that can be read, and says how many could be and were none.
pub(super) fn copy_from(path: &Path, new: &Transaction<'_>) -> rusqlite::Result<usize> {
    let mut bad = 0;
    for table in TABLES {
        // A connection may stay confused by what one table had in it.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let Ok(old) = Connection::open_with_flags(path, flags) else { return Ok(bad) };
        // Cells are looked at before they are believed.
        let _ = old.pragma_update(None, "cell_size_check", true);
        bad += Table::copy(&old, new, table)?;
    }
    Ok(bad)
}

/// The numbers of pictures by their paths, from the index of paths: it is on other pages than the rows, so it knows those
/// that are lost, and what belongs to them by their numbers is not lost with them.
pub(super) fn numbers(path: &Path) -> HashMap<String, i64> {
    let mut numbers = HashMap::new();
    for order in ["ASC", "DESC"] {
        let Ok(old) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY) else { break };
        // Nothing but what the index holds is asked for, so the table is not looked at.
        let all = format!("SELECT path, id FROM pictures INDEXED BY {PATHS} ORDER BY path {order}");
        let Ok(mut query) = old.prepare(&all) else { break };
        let Ok(mut rows) = query.query([]) else { break };
        while let Ok(Some(row)) = rows.next() {
            let Ok(entry) = <(String, i64)>::try_from(row) else { break };
            numbers.insert(entry.0, entry.1);
        }
    }
    numbers
}

/// A table that is copied.
struct Table<'a> {
    old: &'a Connection,
    name: &'static str,
    columns: String,
    width: usize,
    insert: rusqlite::Statement<'a>,
    bad: usize,
}

impl<'a> Table<'a> {
    fn copy(old: &'a Connection, new: &'a Transaction<'_>, name: &'static str) -> rusqlite::Result<usize> {
        let (Ok(there), here) = (columns(old, name), columns(new, name)?) else { return Ok(0) };
        let both: Vec<String> = here.into_iter().filter(|column| there.contains(column)).collect();
        if both.is_empty() {
            return Ok(0);
        }
        let (columns, places) = (both.join(", "), vec!["?"; both.len()].join(", "));
        // The row of the queue is there from the beginning.
        let insert = new.prepare(&format!("INSERT OR REPLACE INTO {name} ({columns}) VALUES ({places})"))?;
        let mut table = Self { old, name, columns, width: both.len(), insert, bad: 0 };
        table.read();
        Ok(table.bad)
    }

    fn read(&mut self) {
        let (last, whole) = self.walk("ORDER BY rowid", i64::MIN);
        if whole {
            return;
        }
        let after = last.unwrap_or(0);
        let (first, _) = self.walk("ORDER BY rowid DESC", after);
        // What nothing was read behind may end anywhere.
        let end = first.unwrap_or_else(|| self.greatest().saturating_add(1));
        for id in (after.saturating_add(1)..end).take(TRIED_MAX as usize) {
            let one = format!("SELECT rowid, {} FROM {} WHERE rowid = ?1", self.columns, self.name);
            let row = self.old.query_row(&one, [id], |row| values(row, self.width));
            if let Ok((_, values)) = row {
                self.keep(values);
            }
        }
    }

    /// Takes all rows behind one in an order, up to the first that cannot be read: which was the last, and whether that
    /// was the end.
    fn walk(&mut self, order: &str, after: i64) -> (Option<i64>, bool) {
        let all = format!("SELECT rowid, {} FROM {} WHERE rowid > ?1 {order}", self.columns, self.name);
        let Ok(mut query) = self.old.prepare(&all) else { return (None, false) };
        let Ok(mut rows) = query.query([after]) else { return (None, false) };
        let mut last = None;
        loop {
            match rows.next() {
                Ok(Some(row)) => match values(row, self.width) {
                    Ok((id, values)) => {
                        last = Some(id);
                        self.keep(values);
                    }
                    Err(_) => return (last, false),
                },
                Ok(None) => return (last, true),
                Err(_) => return (last, false),
            }
        }
    }

    /// The greatest number that a row can have, as far as that can be said.
    fn greatest(&self) -> i64 {
        let given = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
        let given = self.old.query_row(given, [self.name], |row| row.get(0));
        given.unwrap_or(TRIED_MAX)
    }

    /// A row that breaks the rules of its table is none of ours any more.
    fn keep(&mut self, values: Vec<Value>) {
        self.bad += usize::from(self.insert.execute(params_from_iter(values)).is_err());
    }
}

fn columns(db: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut query = db.prepare("SELECT name FROM pragma_table_info(?1)")?;
    query.query_map([table], |row| row.get(0))?.collect()
}

fn values(row: &Row<'_>, width: usize) -> rusqlite::Result<(i64, Vec<Value>)> {
    let values = (1..=width).map(|column| row.get(column)).collect::<rusqlite::Result<_>>()?;
    Ok((row.get(0)?, values))
}
