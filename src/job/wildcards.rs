//! The lines of the wildcards that a job's prompt names. They go along with the job, so that every picture of it is drawn
//! from the same, wherever the worker is and whatever becomes of the files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::template::{DEPTH_MAX, Pick, Template};
use super::{Job, JobError, Prompt};

/// The most bytes that the lines of all wildcards of a job have together.
pub const WILDCARDS_BYTES: usize = 256 << 10;
/// The most wildcards of a job.
pub const WILDCARDS_MAX: usize = 100;

/// The lines of wildcards, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Vec<String>>", into = "BTreeMap<String, Vec<String>>")]
pub struct Wildcards(BTreeMap<String, Vec<String>>);

impl TryFrom<BTreeMap<String, Vec<String>>> for Wildcards {
    type Error = JobError;
    fn try_from(lines: BTreeMap<String, Vec<String>>) -> Result<Self, JobError> {
        let wildcards = Self(lines);
        let bytes = wildcards.text_len();
        if bytes > WILDCARDS_BYTES || wildcards.0.len() > WILDCARDS_MAX {
            return Err(JobError::Wildcards { count: wildcards.0.len(), bytes });
        }
        Ok(wildcards)
    }
}

impl From<Wildcards> for BTreeMap<String, Vec<String>> {
    fn from(wildcards: Wildcards) -> Self {
        wildcards.0
    }
}

impl Wildcards {
    /// All that a prompt names, and that their lines name. `read` gives the text of one: a line each, those that begin
    /// with `#` and empty ones aside.
    ///
    /// # Errors
    /// What `read` says; [`JobError`] for too many, and for lines that name one another in a ring.
    pub fn gather<E: From<JobError>>(
        prompt: &str,
        mut read: impl FnMut(&str) -> Result<String, E>,
    ) -> Result<Self, E> {
        let template = Template::parse(prompt)?;
        let mut wanted: Vec<String> = template.wildcards().into_iter().map(str::to_owned).collect();
        let (mut lines, mut bytes) = (BTreeMap::new(), 0_usize);
        while let Some(name) = wanted.pop() {
            if lines.contains_key(&name) {
                continue;
            }
            let text = read(&name)?;
            let own: Vec<String> = lines_of(&text).map(str::to_owned).collect();
            bytes += own.iter().map(String::len).sum::<usize>();
            if own.is_empty() {
                return Err(JobError::EmptyWildcard(name).into());
            }
            if bytes > WILDCARDS_BYTES || lines.len() >= WILDCARDS_MAX {
                return Err(JobError::Wildcards { count: lines.len() + 1, bytes }.into());
            }
            for line in &own {
                let (_, line) = Template::line(line)?;
                let more = line.wildcards().into_iter().filter(|more| !lines.contains_key(*more));
                wanted.extend(more.map(str::to_owned));
            }
            lines.insert(name, own);
        }
        let gathered = Self(lines);
        let mut known = BTreeMap::new();
        for name in template.wildcards() {
            if gathered.height(name, &mut Vec::new(), &mut known)? > DEPTH_MAX {
                return Err(JobError::DeepTemplate.into());
            }
        }
        Ok(gathered)
    }

    /// How many wildcards lead from one to the last, itself included. Lines that lead back to themselves have no end.
    fn height(
        &self,
        name: &str,
        way: &mut Vec<String>,
        known: &mut BTreeMap<String, usize>,
    ) -> Result<usize, JobError> {
        if let Some(height) = known.get(name) {
            return Ok(*height);
        }
        if way.iter().any(|there| there == name) {
            return Err(JobError::WildcardRing(name.to_owned()));
        }
        way.push(name.to_owned());
        let mut height = 0;
        for line in self.lines(name).unwrap_or_default() {
            for more in Template::line(line)?.1.wildcards() {
                height = height.max(self.height(more, way, known)?);
            }
        }
        way.pop();
        known.insert(name.to_owned(), height + 1);
        Ok(height + 1)
    }

    /// The lines of one.
    #[must_use]
    pub fn lines(&self, name: &str) -> Option<&[String]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of text in them.
    #[must_use]
    pub fn text_len(&self) -> usize {
        self.0.iter().map(|(name, lines)| name.len() + lines.iter().map(String::len).sum::<usize>()).sum()
    }
}

/// The lines of a wildcard's text.
fn lines_of(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

impl Job {
    /// The job whose prompt is what the picture of this seed is drawn from.
    ///
    /// # Errors
    /// What is wrong with the choices in its prompt, or with what they give.
    pub fn at_seed(&self, seed: u64) -> Result<Self, JobError> {
        let template = Template::parse(self.prompt.as_str())?;
        if template.is_plain() {
            return Ok(self.clone());
        }
        let drawn = template.draw(Pick::Seed(seed), &self.wildcards)?;
        let prompt = Prompt::new(drawn.text)?;
        super::check_tags(&prompt)?;
        Self { prompt, ..self.clone() }.with_loras(self.loras.clone())
    }

    /// Whether every seed gives something to draw.
    ///
    /// # Errors
    /// As [`Self::at_seed`] for some seed.
    pub fn check_words(&self) -> Result<(), JobError> {
        let template = Template::parse(self.prompt.as_str())?;
        template.draw(Pick::Longest, &self.wildcards)?;
        if template.may_be_blank(&self.wildcards) { Err(JobError::BlankTemplate) } else { Ok(()) }
    }
}
