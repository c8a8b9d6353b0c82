//! `flux-tui library list` and `search`: a page of pictures, newest first.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::Access;
use super::which::Which;
use crate::cli::failure::Failure;
use crate::cli::generate::model_name;
use crate::cli::{block_on, stdout, text};
use crate::client::ClientError;
use crate::job::{Origin, Picture, PictureId, PictureQuery, Rating, SearchText, Tag};
use crate::paths::Paths;
use crate::wire::library::{LibraryRequest, LibraryResponse};

/// Columns of a prompt.
const PROMPT: usize = 48;

/// The pictures, newest first.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    filter: Filter,
}

/// The pictures whose prompts have all of these words, newest first.
///
/// A word is found inside of others: fox finds foxes. Upper and lower case are the same.
#[derive(Debug, clap::Args)]
pub(super) struct Search {
    /// Words, in any order.
    #[arg(value_name = "TEXT", required = true)]
    text: Vec<String>,
    #[command(flatten)]
    filter: Filter,
}

/// Which pictures.
#[derive(Debug, clap::Args)]
struct Filter {
    /// Only with this tag; may be given more than once, and then with all of them.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Tag>,
    /// Only those rated so or better, 1 to 5.
    #[arg(long, value_name = "N", default_value_t)]
    rating: Rating,
    /// Only favourites.
    #[arg(long)]
    favourite: bool,
    /// Only of this model.
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// Only those that were iterated from this picture.
    #[arg(long, value_name = "PICTURE")]
    parent: Option<Which>,
    /// Only of this day or moment, or later: 2026-01-31, 2026-01-31T18:00.
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<i64>,
    /// Only from before this day or moment.
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<i64>,
    /// Those in the trash instead.
    #[arg(long)]
    trash: bool,
    /// At most so many, 1 to 500.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Only pictures older than this one: the next page.
    #[arg(long, value_name = "PICTURE")]
    before: Option<Which>,
    /// One JSON object on standard output: pictures, and next (the picture to give to --before; null at the end).
    #[arg(long)]
    json: bool,
}

/// The beginning of a day, or a moment, where this machine is.
fn moment(text: &str) -> Result<i64, String> {
    let at = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(Date::into));
    let at =
        at.map_err(|_| format!("{text:?} is neither a day (2026-01-31) nor a moment (2026-01-31T18:00)"))?;
    let zoned = at.to_zoned(TimeZone::system()).map_err(|error| error.to_string())?;
    Ok(zoned.timestamp().as_millisecond())
}

pub(super) fn list(List { filter }: List) -> Result<(), Failure> {
    page(SearchText::default(), filter)
}

pub(super) fn search(Search { text, filter }: Search) -> Result<(), Failure> {
    page(SearchText::new(text.join(" "))?, filter)
}

#[derive(Serialize)]
struct Listed<'a> {
    pictures: &'a [Picture],
    next: Option<PictureId>,
}

fn page(text: SearchText, filter: Filter) -> Result<(), Failure> {
    let (limit, json) = (filter.limit, filter.json);
    let mut access = Access::new(Paths::from_env()?);
    let pictures = block_on(async {
        let query = Box::new(query(text, filter, &mut access).await?);
        // One more tells whether there is another page.
        match access.ask(LibraryRequest::Search { query, limit: limit + 1 }).await? {
            LibraryResponse::Pictures(pictures) => Ok(pictures),
            _ => Err(ClientError::Unexpected.into()),
        }
    })?;
    let shown = &pictures[..pictures.len().min(limit as usize)];
    // A page may also be short because of long prompts; then the next one may turn out to be empty.
    let more = pictures.len() > shown.len();
    let next = shown.last().filter(|_| more).map(|picture| picture.id);
    if json {
        return stdout::json(&Listed { pictures: shown, next });
    }
    let mut lines: String = shown.iter().map(line).collect();
    match next {
        Some(id) => lines += &format!("more: --before {id}\n"),
        None if shown.is_empty() => lines += "no picture\n",
        None => {}
    }
    stdout::write(&lines)
}

async fn query(text: SearchText, filter: Filter, access: &mut Access) -> Result<PictureQuery, Failure> {
    let mut number = async |which: Option<Which>| match which {
        Some(which) => which.find(access).await.map(Some),
        None => Ok(None),
    };
    let (parent, before) = (number(filter.parent).await?, number(filter.before).await?);
    let Filter { tags, rating, favourite, model, since, until, trash: trashed, .. } = filter;
    let model = model.map(|name| model_name(&name));
    Ok(PictureQuery {
        text,
        tags,
        rating,
        favourite,
        model,
        parent,
        since,
        until,
        trashed,
        before,
        ..PictureQuery::default()
    })
}

/// A picture on one line, with its tags on a second.
fn line(picture: &Picture) -> String {
    let recipe = &picture.recipe;
    let mut line = format!(
        "{:>6}  {} {}  {}  {} {}  seed {}  {}\n",
        picture.id,
        stars(picture.marks.rating),
        if picture.marks.favourite { '♥' } else { ' ' },
        time(picture.finished_at),
        recipe.model,
        recipe.size,
        recipe.seed,
        text::one_line(recipe.prompt.as_str(), PROMPT),
    );
    let beside = beside(picture);
    if !beside.is_empty() {
        line += &format!("        {}\n", text::plain(&beside));
    }
    line
}

/// What not every picture has.
fn beside(picture: &Picture) -> String {
    let mut words = Vec::new();
    if picture.missing {
        words.push(format!("missing: {}", picture.path.display()));
    }
    match picture.origin {
        Origin::FluxTui => {}
        Origin::A1111 => words.push("from A1111 or Forge".to_owned()),
        Origin::ComfyUi => words.push("from ComfyUI".to_owned()),
    }
    words.extend(picture.parent.map(|parent| format!("from #{parent}")));
    words.extend(picture.marks.tags.iter().map(|tag| format!("+{tag}")));
    words.join("  ")
}

/// A rating in five columns.
pub(in crate::cli) fn stars(rating: Rating) -> String {
    format!("{:<5}", "★".repeat(usize::from(rating.get())))
}

/// A moment to the minute, where this machine is.
pub(in crate::cli) fn time(milliseconds: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_moments_are_understood_and_nothing_else() {
        let day = moment("2026-01-31").expect("a day");
        assert_eq!(moment("2026-01-31T00:00").expect("a moment"), day);
        assert_eq!(moment("2026-01-31T01:30:00").expect("a moment") - day, 90 * 60_000);
        assert_eq!(time(day), "2026-01-31 00:00");
        for bad in ["", "yesterday", "2026-13-01", "2026-02-30"] {
            assert!(moment(bad).expect_err(bad).contains("2026-01-31"), "{bad}");
        }
    }

    #[test]
    fn stars_take_five_columns() {
        let three = Rating::try_from(3).expect("it is one");
        assert_eq!((stars(Rating::default()), stars(three)), ("     ".to_owned(), "★★★  ".to_owned()));
    }
}
