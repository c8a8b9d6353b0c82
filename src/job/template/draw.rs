//! From the pieces of a prompt to words.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::parse::{Branch, Piece, Template};
use super::{CHOICES_MAX, DEPTH_MAX};
use crate::job::wildcards::Wildcards;
use crate::job::{JobError, PROMPT_BYTES, Tagged};

/// How choices are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// As the picture of this seed has them.
    Seed(u64),
    /// So that there are the most bytes.
    Longest,
}

/// The words that a prompt has become.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drawn {
    /// The words.
    pub text: String,
    /// Where they come from, in order.
    places: Vec<Place>,
}

/// From here on words come from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    in_text: usize,
    in_template: usize,
    /// Whether they stand there as they are.
    as_written: bool,
}

impl Drawn {
    /// Where in the prompt a place in the words comes from, in bytes.
    #[must_use]
    pub fn in_template(&self, at: usize) -> usize {
        let behind = self.places.partition_point(|place| place.in_text <= at);
        let Some(place) = behind.checked_sub(1).map(|index| self.places[index]) else { return at };
        if place.as_written { place.in_template + (at - place.in_text) } else { place.in_template }
    }
}

impl Template<'_> {
    /// The words, with lines of these wildcards.
    ///
    /// # Errors
    /// [`JobError::NoWildcard`], [`JobError::ManyChoices`], [`JobError::DeepTemplate`] or [`JobError::LongPrompt`].
    pub fn draw(&self, pick: Pick, wildcards: &Wildcards) -> Result<Drawn, JobError> {
        let lengths = Lengths { wildcards, known: HashMap::new() };
        let mut writer =
            Writer { pick, wildcards, lengths, drawn: Drawn::default(), way: Vec::new(), choices: 0 };
        writer.write(&self.pieces, None)?;
        Ok(writer.drawn)
    }

    /// Whether some seed may give nothing but blanks and tags of LoRAs.
    #[must_use]
    pub fn may_be_blank(&self, wildcards: &Wildcards) -> bool {
        may_be_blank(&self.pieces, wildcards, 0)
    }
}

fn may_be_blank(pieces: &[Piece<'_>], wildcards: &Wildcards, depth: usize) -> bool {
    let blank = |piece: &Piece<'_>| match piece {
        Piece::Text { text, .. } => {
            text.trim().is_empty() || Tagged::read(text).is_ok_and(|tagged| tagged.text.trim().is_empty())
        }
        Piece::Choice { branches, .. } => {
            branches.iter().any(|branch| may_be_blank(&branch.pieces, wildcards, depth + 1))
        }
        Piece::Wildcard { name, .. } => wildcards.lines(name).is_some_and(|lines| {
            let line = |line: &String| {
                Template::line(line).is_ok_and(|(_, line)| may_be_blank(&line.pieces, wildcards, depth + 1))
            };
            depth <= DEPTH_MAX && lines.iter().any(line)
        }),
    };
    pieces.iter().all(blank)
}

struct Writer<'w> {
    pick: Pick,
    wildcards: &'w Wildcards,
    lengths: Lengths<'w>,
    drawn: Drawn,
    /// The numbers of the choices that lead here, and of what was chosen in each.
    way: Vec<u32>,
    choices: usize,
}

impl Writer<'_> {
    /// Writes pieces; `origin` is where they come from when that is a wildcard in the prompt.
    fn write(&mut self, pieces: &[Piece<'_>], origin: Option<usize>) -> Result<(), JobError> {
        let mut number = 0;
        for piece in pieces {
            match piece {
                Piece::Text { at, text } => self.text(text, origin.unwrap_or(*at), origin.is_none())?,
                Piece::Choice { branches, .. } => {
                    let chosen = self.choose(number, branches)?;
                    self.step(number, chosen, |writer| writer.write(&branches[chosen].pieces, origin))?;
                    number += 1;
                }
                Piece::Wildcard { at, name } => {
                    self.wildcard(number, name, origin.unwrap_or(*at))?;
                    number += 1;
                }
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str, in_template: usize, as_written: bool) -> Result<(), JobError> {
        let in_text = self.drawn.text.len();
        if in_text + text.len() > PROMPT_BYTES {
            return Err(JobError::LongPrompt { bytes: in_text + text.len() });
        }
        self.drawn.places.push(Place { in_text, in_template, as_written });
        self.drawn.text.push_str(text);
        Ok(())
    }

    fn wildcard(&mut self, number: u32, name: &str, origin: usize) -> Result<(), JobError> {
        let lines = self.wildcards.lines(name).filter(|lines| !lines.is_empty());
        let lines = lines.ok_or_else(|| JobError::NoWildcard(name.to_owned()))?;
        self.count()?;
        let chosen = match self.pick {
            Pick::Seed(seed) => {
                let weights = lines.iter().map(|line| super::parse::weight(line).0);
                chosen(number_of(seed, &self.way, number), weights)
            }
            Pick::Longest => self.lengths.of_wildcard(name, 0).0,
        };
        let (_, line) = Template::line(&lines[chosen])?;
        self.step(number, chosen, |writer| writer.write(&line.pieces, Some(origin)))
    }

    fn choose(&mut self, number: u32, branches: &[Branch<'_>]) -> Result<usize, JobError> {
        self.count()?;
        Ok(match self.pick {
            Pick::Seed(seed) => {
                chosen(number_of(seed, &self.way, number), branches.iter().map(|branch| branch.weight))
            }
            Pick::Longest => self.lengths.longest(branches.iter().map(|branch| &branch.pieces[..]), 0).0,
        })
    }

    /// Goes into what was chosen, and comes back.
    fn step(
        &mut self,
        number: u32,
        chosen: usize,
        write: impl FnOnce(&mut Self) -> Result<(), JobError>,
    ) -> Result<(), JobError> {
        // Two numbers a choice.
        if self.way.len() >= 2 * DEPTH_MAX {
            return Err(JobError::DeepTemplate);
        }
        self.way.extend([number, u32::try_from(chosen).unwrap_or(u32::MAX)]);
        let written = write(self);
        self.way.truncate(self.way.len() - 2);
        written
    }

    fn count(&mut self) -> Result<(), JobError> {
        self.choices += 1;
        if self.choices > CHOICES_MAX { Err(JobError::ManyChoices) } else { Ok(()) }
    }
}

/// A number from 0 to 1 for the choice `number` at the end of a way.
fn number_of(seed: u64, way: &[u32], number: u32) -> f64 {
    let mut hash = Sha256::new();
    hash.update(b"flux-tui choice");
    hash.update(seed.to_le_bytes());
    way.iter().chain([&number]).for_each(|step| hash.update(step.to_le_bytes()));
    let digest: [u8; 32] = hash.finalize().into();
    let bits = digest.iter().take(8).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    // 53 bits are what a number of 64 bits holds exactly.
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// Which of these weights a number from 0 to 1 falls into; where none has any, all are alike.
fn chosen(at: f64, weights: impl Iterator<Item = f64> + Clone) -> usize {
    let (count, sum) = weights.clone().fold((0_usize, 0.0), |(count, sum), weight| (count + 1, sum + weight));
    if sum <= 0.0 {
        return ((at * count as f64) as usize).min(count.saturating_sub(1));
    }
    let (mut left, mut last) = (at * sum, 0);
    for (index, weight) in weights.enumerate().filter(|(_, weight)| *weight > 0.0) {
        last = index;
        if left < weight {
            break;
        }
        left -= weight;
    }
    last
}

/// How long words can become.
struct Lengths<'w> {
    wildcards: &'w Wildcards,
    /// Of wildcards: the line that becomes the longest, and how long.
    known: HashMap<String, (usize, usize)>,
}

impl Lengths<'_> {
    fn of(&mut self, pieces: &[Piece<'_>], depth: usize) -> usize {
        let mut length = 0_usize;
        for piece in pieces {
            length = length.saturating_add(match piece {
                Piece::Text { text, .. } => text.len(),
                Piece::Choice { branches, .. } => {
                    self.longest(branches.iter().map(|branch| &branch.pieces[..]), depth).1
                }
                Piece::Wildcard { name, .. } => self.of_wildcard(name, depth).1,
            });
        }
        length
    }

    /// Which becomes the longest, and how long.
    fn longest<'p, 't: 'p>(
        &mut self,
        all: impl Iterator<Item = &'p [Piece<'t>]>,
        depth: usize,
    ) -> (usize, usize) {
        let mut longest = (0, 0);
        for (index, pieces) in all.enumerate() {
            let length = self.of(pieces, depth);
            if length > longest.1 {
                longest = (index, length);
            }
        }
        longest
    }

    fn of_wildcard(&mut self, name: &str, depth: usize) -> (usize, usize) {
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        let Some(lines) = self.wildcards.lines(name).filter(|_| depth <= DEPTH_MAX) else { return (0, 0) };
        // One that leads back to itself is no longer for that.
        self.known.insert(name.to_owned(), (0, 0));
        let mut longest = (0, 0);
        for (index, line) in lines.iter().enumerate() {
            let length = Template::line(line).map_or(0, |(_, line)| self.of(&line.pieces, depth + 1));
            if length > longest.1 {
                longest = (index, length);
            }
        }
        self.known.insert(name.to_owned(), longest);
        longest
    }
}
