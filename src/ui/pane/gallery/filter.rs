//! A query in one line: words that prompts have, and `rating:4`, `tag:ink`, `model:nano`, `is:favourite`, `is:trashed`
//! among them. A tag or a model of several words stands in quotes: `tag:"red fox"`.

use crate::job::{PictureQuery, Rating, SearchText, Tag};
use crate::model::ModelName;

/// Reads a line.
///
/// # Errors
/// Which word is wrong, and what would do.
pub fn parse(line: &str) -> Result<PictureQuery, String> {
    let mut query = PictureQuery::default();
    let mut words = Vec::new();
    for word in split(line)? {
        let Some((name, value)) = word.split_once(':').filter(|(name, _)| NAMES.contains(name)) else {
            words.push(word);
            continue;
        };
        match name {
            "rating" => query.rating = value.parse::<Rating>().map_err(|error| error.to_string())?,
            "tag" => query.tags.push(Tag::new(value).map_err(|error| error.to_string())?),
            "model" if value.is_empty() => return Err("model: wants a name, as model:nano".to_owned()),
            "model" => query.model = Some(ModelName::new(value)),
            _ if "favourite".starts_with(value) && !value.is_empty() => query.favourite = true,
            _ if "trashed".starts_with(value) && !value.is_empty() => query.trashed = true,
            _ => return Err(format!("is:{value} is not one of is:favourite, is:trashed")),
        }
    }
    query.text = SearchText::new(words.join(" ")).map_err(|error| error.to_string())?;
    Ok(query)
}

const NAMES: [&str; 4] = ["rating", "tag", "model", "is"];

/// Words at white space that is not in quotes; quotes that follow a name's colon go.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let (mut word, mut quoted) = (String::new(), false);
    for letter in line.chars() {
        let opens = NAMES.iter().any(|name| word.strip_prefix(name) == Some(":"));
        match letter {
            '"' if quoted => quoted = false,
            '"' if opens => quoted = true,
            letter if letter.is_whitespace() && !quoted => words.push(std::mem::take(&mut word)),
            letter => word.push(letter),
        }
    }
    if quoted {
        return Err(format!("a quote is open at the end: {word}"));
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    Ok(words)
}

/// Writes a query as a line that is read back as the same, its times and its parent aside.
#[must_use]
pub fn write(query: &PictureQuery) -> String {
    let quoted = |text: &str| {
        if text.contains(char::is_whitespace) { format!("\"{text}\"") } else { text.to_owned() }
    };
    let mut words = Vec::new();
    if !query.text.as_str().trim().is_empty() {
        words.push(query.text.as_str().trim().to_owned());
    }
    if query.rating > Rating::default() {
        words.push(format!("rating:{}", query.rating.get()));
    }
    words.extend(query.tags.iter().map(|tag| format!("tag:{}", quoted(tag.as_str()))));
    words.extend(query.model.iter().map(|model| format!("model:{}", quoted(model.as_str()))));
    words.extend(query.favourite.then(|| "is:favourite".to_owned()));
    words.extend(query.trashed.then(|| "is:trashed".to_owned()));
    words.join(" ")
}
