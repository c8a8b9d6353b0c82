//! The different prompts of the library, each with the best of its pictures.

use rusqlite::{Connection, params_from_iter};

use super::pictures::{PAGE_MAX, PAGE_PROMPTS};
use super::search::Wanted;
use super::{Library, LibraryError};
use crate::job::{DrawnPrompt, LastDrawn, PictureId, PromptQuery};

/// What a row says: the best picture, the last one, and how many there are.
struct Told {
    best: PictureId,
    last: LastDrawn,
    pictures: u64,
}

impl Library {
    /// A page of the prompts that a query means, the last drawn first: at most `limit` and [`PAGE_MAX`], fewer where
    /// they are very long, none only when there are no more. Prompts that differ in white space alone are one, and
    /// pictures in the trash are passed over.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn prompts(&self, query: &PromptQuery, limit: u32) -> Result<Vec<DrawnPrompt>, LibraryError> {
        let told = told(&self.db, query, limit.min(PAGE_MAX)).map_err(self.fault("reading prompts"))?;
        let (mut prompts, mut bytes) = (Vec::new(), 0);
        for Told { best, last, pictures } in told {
            // One that cannot be read is told in the log, and keeps no other from being read.
            let Some(best) = self.picture(best)? else { continue };
            bytes += best.text_len();
            if bytes > PAGE_PROMPTS && !prompts.is_empty() {
                break;
            }
            prompts.push(DrawnPrompt { best, pictures, last });
        }
        Ok(prompts)
    }
}

fn told(db: &Connection, query: &PromptQuery, limit: u32) -> rusqlite::Result<Vec<Told>> {
    let mut wanted = Wanted::default();
    wanted.plain("trashed_at IS NULL");
    wanted.text(query.text.words());
    let mut values = wanted.values;
    let older = match query.before {
        Some(LastDrawn { at, picture }) => {
            values.extend([at.into(), picture.0.into()]);
            "AND (last_at, last_id) < (?, ?)"
        }
        None => "",
    };
    values.push(limit.into());
    let rows = format!(
        "SELECT pictures.id AS best, FIRST_VALUE(finished_at) OVER newest AS last_at, \
         FIRST_VALUE(pictures.id) OVER newest AS last_id, COUNT(*) OVER (PARTITION BY prompt_key) AS drawn, \
         ROW_NUMBER() OVER (PARTITION BY prompt_key \
         ORDER BY favourite DESC, rating DESC, finished_at DESC, pictures.id DESC) AS place \
         FROM pictures JOIN jobs ON jobs.id = job WHERE {} \
         WINDOW newest AS (PARTITION BY prompt_key ORDER BY finished_at DESC, pictures.id DESC)",
        wanted.conditions.join(" AND ")
    );
    let page = format!(
        "SELECT best, last_at, last_id, drawn FROM ({rows}) WHERE place = 1 {older} \
         ORDER BY last_at DESC, last_id DESC LIMIT ?"
    );
    let mut page = db.prepare_cached(&page)?;
    let rows = page.query_map(params_from_iter(values), |row| {
        let last = LastDrawn { at: row.get(1)?, picture: PictureId(row.get(2)?) };
        let pictures = row.get::<_, i64>(3)?.cast_unsigned();
        Ok(Told { best: PictureId(row.get(0)?), last, pictures })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{MarkChange, Picture, PictureChange, Rating, SearchText};
    use crate::library::samples::Place;

    fn told(library: &Library, query: &PromptQuery, limit: u32) -> Vec<(String, i64, u64)> {
        let prompts = library.prompts(query, limit).expect("it can be read");
        let one = |it: &DrawnPrompt| (it.best.recipe.prompt.as_str().to_owned(), it.best.id.0, it.pictures);
        prompts.iter().map(one).collect()
    }

    fn change(place: &mut Place, picture: &Picture, mark: MarkChange) {
        let change = PictureChange { picture: picture.id, mark };
        place.library.change(&change, 1).expect("it can be changed");
    }

    #[test]
    fn each_prompt_is_told_once_with_its_best_picture() {
        let mut place = Place::new();
        let pictures = ["fox", "cat", "a  red\nfox", "cat", "fox", "a red fox"].map(|it| place.picture(it));
        let all = PromptQuery::default();
        let found = [("a red fox", 6, 2), ("fox", 5, 2), ("cat", 4, 2)];
        let owned = |found: &[(&str, i64, u64)]| {
            found.iter().map(|(text, id, count)| ((*text).to_owned(), *id, *count)).collect::<Vec<_>>()
        };
        assert_eq!(told(&place.library, &all, 9), owned(&found));
        let rating = Rating::try_from(5).expect("it is one");
        change(&mut place, &pictures[1], MarkChange::Rate(rating));
        change(&mut place, &pictures[0], MarkChange::Favourite(true));
        change(&mut place, &pictures[5], MarkChange::Trash(true));
        // Marks choose the picture, and the time alone the order.
        let found = [("fox", 1, 2), ("cat", 2, 2), ("a  red\nfox", 3, 1)];
        assert_eq!(told(&place.library, &all, 9), owned(&found));
        let text = SearchText::new("ox red").expect("it is short");
        let query = PromptQuery { text, before: None };
        assert_eq!(told(&place.library, &query, 9), owned(&found[2..]));
    }

    #[test]
    fn pages_tell_every_prompt_once_also_where_the_time_is_the_same() {
        let mut place = Place::new();
        for number in 0..23 {
            place.picture(&format!("fox {}", number % 12));
        }
        place.library.db.execute("UPDATE pictures SET finished_at = id / 4", []).expect("it can be written");
        let whole = place.library.prompts(&PromptQuery::default(), 500).expect("it can be read");
        assert_eq!(whole.len(), 12);
        let mut query = PromptQuery::default();
        let mut paged = Vec::new();
        loop {
            let page = place.library.prompts(&query, 5).expect("it can be read");
            let Some(last) = page.last() else { break };
            query.before = Some(last.last);
            paged.extend(page);
        }
        assert_eq!(paged, whole);
    }
}
