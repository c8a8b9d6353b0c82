//! The LoRAs: which there are, which the draft has, and the picker over the panes. The list follows the worker's folders by
//! itself: the worker says when it may be another, and where it cannot know, it is asked every so often while the picker is
//! open.

use std::time::{Duration, Instant};

use super::drafted::{Drafted, DraftedLora};
use super::lora_pictures::{LoraPictures, PictureKey};
use crate::job::{LoraChoice, LoraFacts};
use crate::ui::action::ListMove;
use crate::ui::fuzzy::Search;
use crate::ui::language::Language;
use crate::wire::loras::{ListLoras, LoraInfo, LoraList};

/// How long the worker may read headers before the names are shown.
const PATIENCE_MS: u32 = 150;
/// Folders of which no changes are told are looked through again after so long, …
const LOOK_AFTER: Duration = Duration::from_secs(10);
/// … or after so many times as long as it takes.
const LOOK_SHARE: u32 = 20;
/// The longest filter, in characters.
const FILTER_MAX: usize = 40;
/// What a word is worth that is in a LoRA's name or title, over one that is in its trigger words.
const NAMED: u32 = 1000;

/// The LoRAs and the picker.
#[derive(Debug, Default)]
pub struct LorasPane {
    /// What the worker said of its folders; `None` until it has.
    list: Option<LoraList>,
    drafted: Drafted,
    picker: Option<Picker>,
    /// The worker has been asked for the list, and has not answered.
    asked: bool,
    /// What is known may not be so any more.
    stale: bool,
    asked_at: Option<Instant>,
    /// When the folders are looked through again, where no changes are told.
    look_at: Option<Instant>,
    /// The picture of the chosen one.
    pub pictures: LoraPictures,
}

/// The picker while it is open.
#[derive(Debug, Clone, Default)]
struct Picker {
    filter: String,
    /// What tells the chosen one from the others.
    chosen: Option<String>,
    /// What the draft had when it was opened: these stand first, also when they are taken out of it.
    first: Vec<String>,
    /// Made anew when anything of it changes.
    rows: Vec<Place>,
}

/// A row of the picker, by indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    info: Option<usize>,
    drafted: Option<usize>,
}

/// A row of the picker.
#[derive(Debug, Clone, Copy)]
pub struct Row<'p> {
    /// The file; `None` where the list has not come, or has no such LoRA.
    pub info: Option<&'p LoraInfo>,
    /// What the draft has of it.
    pub drafted: Option<&'p DraftedLora>,
}

impl Row<'_> {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        let drafted = self.drafted.map(|drafted| drafted.lora.name());
        self.info.map(|info| info.name.as_str()).or(drafted).unwrap_or_default()
    }

    /// Whether it can be drawn with, as far as its file tells.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.info.is_some_and(|info| info.known().is_some())
    }

    /// What may be written in a prompt to have what it was trained for.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.info.and_then(LoraInfo::known).into_iter().flat_map(LoraFacts::words)
    }

    /// The first of its words that a prompt does not have.
    #[must_use]
    pub fn next_words(&self, prompt: &str) -> Option<&str> {
        let prompt = prompt.to_lowercase();
        self.words().find(|words| !prompt.contains(&words.to_lowercase()))
    }

    fn key(&self) -> Option<&str> {
        let drafted = self.drafted.map(|drafted| drafted.lora.file());
        self.info.map(|info| info.path.as_str()).or(drafted)
    }
}

/// Which LoRA of the list a name or a path means, as the worker finds it.
fn meant(list: &[LoraInfo], file: &str) -> Option<usize> {
    let wanted = file.strip_suffix(".safetensors").unwrap_or(file);
    let below = format!("/{wanted}");
    let ways: [&dyn Fn(&LoraInfo) -> bool; 4] = [
        &|info| info.path == file,
        &|info| info.name == wanted,
        &|info| info.name.ends_with(&below),
        &|info| info.name.to_lowercase() == wanted.to_lowercase(),
    ];
    ways.into_iter().find_map(|way| list.iter().position(way))
}

/// How well a LoRA fits what is filtered by: each word must fit its name or title by its letters, or be in its trigger words.
fn fits(row: &Row<'_>, words: &mut [(&str, Search)]) -> Option<u32> {
    let facts = row.info.and_then(LoraInfo::known);
    let title = facts.and_then(|facts| facts.title.as_deref()).unwrap_or_default();
    let fit = |(word, search): &mut (&str, Search)| {
        let named = search.score(row.name()).max(search.score(title)).map(|score| NAMED + score);
        let small = word.to_lowercase();
        named.or_else(|| row.words().any(|words| words.to_lowercase().contains(&small)).then_some(0))
    };
    words.iter_mut().map(fit).sum()
}

impl LorasPane {
    /// What the draft has.
    #[must_use]
    pub fn drafted(&self) -> &Drafted {
        &self.drafted
    }

    /// The draft has these from now on; what it had.
    pub fn draft(&mut self, drafted: Drafted) -> Drafted {
        let before = std::mem::replace(&mut self.drafted, drafted);
        self.arrange();
        before
    }

    /// Opens the picker. What is known is shown until the worker has said what there is now.
    pub fn open(&mut self) {
        let first = self.drafted.all().iter().map(|drafted| drafted.lora.file().to_owned()).collect();
        self.picker = Some(Picker { first, ..Picker::default() });
        self.stale = true;
        self.arrange();
    }

    /// Closes the picker. Whether it was open.
    pub fn close(&mut self) -> bool {
        let was_open = self.picker.take().is_some();
        if was_open {
            self.pictures.close();
        }
        was_open
    }

    /// Whether the picker is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.picker.is_some()
    }

    /// What is filtered by.
    #[must_use]
    pub fn filter(&self) -> &str {
        self.picker.as_ref().map_or("", |picker| &picker.filter)
    }

    /// How many LoRAs the worker has told of, and how many more there are; `None` until it has.
    #[must_use]
    pub fn known(&self) -> Option<(usize, usize)> {
        self.list.as_ref().map(|list| (list.loras.len(), list.left_out))
    }

    /// How many rows the filter lets through.
    #[must_use]
    pub fn len(&self) -> usize {
        self.picker.as_ref().map_or(0, |picker| picker.rows.len())
    }

    /// Whether it lets none through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows from one on.
    pub fn rows(&self, first: usize) -> impl Iterator<Item = Row<'_>> {
        let places = self.picker.iter().flat_map(move |picker| picker.rows.iter().skip(first));
        places.map(|place| self.row(*place))
    }

    fn row(&self, place: Place) -> Row<'_> {
        let info = place.info.and_then(|index| self.infos().get(index));
        Row { info, drafted: place.drafted.and_then(|index| self.drafted.all().get(index)) }
    }

    fn infos(&self) -> &[LoraInfo] {
        self.list.as_ref().map_or(&[], |list| &list.loras)
    }

    /// The chosen row.
    #[must_use]
    pub fn chosen_row(&self) -> usize {
        let chosen = self.picker.as_ref().and_then(|picker| picker.chosen.as_deref());
        let found = chosen.and_then(|chosen| self.rows(0).position(|row| row.key() == Some(chosen)));
        found.unwrap_or(0)
    }

    fn chosen_place(&self) -> Option<Place> {
        self.picker.as_ref()?.rows.get(self.chosen_row()).copied()
    }

    /// The chosen LoRA.
    #[must_use]
    pub fn chosen(&self) -> Option<Row<'_>> {
        self.chosen_place().map(|place| self.row(place))
    }

    /// Chooses another.
    pub fn choose(&mut self, by: ListMove, page: usize) {
        self.choose_row(super::moved(self.chosen_row(), self.len(), page, by));
    }

    /// Chooses that of a row.
    pub fn choose_row(&mut self, row: usize) {
        let key = self.rows(row).next().and_then(|row| row.key().map(str::to_owned));
        if let (Some(picker), Some(key)) = (&mut self.picker, key) {
            picker.chosen = Some(key);
        }
    }

    /// Filters by one letter more.
    pub fn type_character(&mut self, typed: char) {
        if let Some(picker) = &mut self.picker
            && picker.filter.chars().count() < FILTER_MAX
            && !typed.is_control()
        {
            picker.filter.push(typed);
            picker.chosen = None;
            self.arrange();
        }
    }

    /// Filters by one letter less.
    pub fn backspace(&mut self) {
        if let Some(picker) = &mut self.picker {
            picker.filter.pop();
            picker.chosen = None;
            self.arrange();
        }
    }

    /// Takes the chosen one into the draft, or out of it.
    ///
    /// # Errors
    /// Why it cannot be added.
    pub fn take(&mut self, language: Language) -> Result<(), String> {
        let Some(place) = self.chosen_place() else { return Ok(()) };
        self.choose_row(self.chosen_row());
        if let Some(index) = place.drafted {
            self.drafted.remove(index);
        } else if let Some(info) = self.row(place).info {
            if let Some(reason) = info.unusable() {
                return Err(language.lora_unusable(&info.name, reason));
            }
            let lora = LoraChoice::new(info.file(), 1.0);
            lora.and_then(|lora| self.drafted.add(lora)).map_err(|error| language.job_error(&error))?;
        }
        self.arrange();
        Ok(())
    }

    /// Switches the chosen one off, or on again.
    pub fn switch(&mut self) {
        if let Some(index) = self.chosen_place().and_then(|place| place.drafted) {
            self.drafted.switch(index);
        }
    }

    /// Changes the strength of the chosen one by so many steps.
    pub fn change(&mut self, by: i8) {
        if let Some(index) = self.chosen_place().and_then(|place| place.drafted) {
            self.drafted.change(index, by);
        }
    }

    /// How the worker is to be asked for the list now, if it is.
    pub fn wants(&mut self, now: Instant) -> Option<ListLoras> {
        let unread = self.list.as_ref().is_some_and(LoraList::has_unread);
        let due = self.look_at.is_some_and(|at| at <= now);
        if !self.is_open() || self.asked || !(self.stale || unread || due) {
            return None;
        }
        (self.asked, self.stale, self.asked_at, self.look_at) = (true, false, Some(now), None);
        let known = self.list.as_ref().map(LoraList::digest);
        Some(ListLoras { known, patience_ms: (!unread).then_some(PATIENCE_MS) })
    }

    /// The worker says that the folders may have others.
    pub fn changed(&mut self) {
        self.stale = true;
    }

    /// When the list is to be asked for again, where no changes are told.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.look_at.filter(|_| self.is_open() && !self.asked)
    }

    /// There is another connection: what was asked for will not come, and the folders may be others.
    pub fn forget(&mut self) {
        (self.asked, self.stale, self.look_at) = (false, true, None);
        self.pictures.unanswered();
    }

    /// Takes the list, or that it is the same; `None` when it could not be had.
    pub fn answered(&mut self, list: Option<Option<LoraList>>, now: Instant) {
        self.asked = false;
        if let Some(Some(list)) = list {
            self.list = Some(list);
            self.arrange();
        }
        let took = self.asked_at.take().map_or(Duration::ZERO, |asked| now.saturating_duration_since(asked));
        let watched = self.list.as_ref().is_some_and(|list| list.watched);
        self.look_at = (!watched).then(|| now + LOOK_AFTER.max(took * LOOK_SHARE));
    }

    /// Whether any of them has a picture.
    #[must_use]
    pub fn have_pictures(&self) -> bool {
        self.infos().iter().any(|info| info.preview.is_some())
    }

    /// The picture of the chosen one, as large.
    #[must_use]
    pub fn picture_key(&self, side: u32) -> Option<PictureKey> {
        let info = self.chosen()?.info?;
        Some(PictureKey { path: info.path.clone(), preview: info.preview?, side })
    }

    /// Makes the rows anew: what was in the draft when the picker was opened first, then all others in their order; under
    /// a filter the best first.
    fn arrange(&mut self) {
        let Some(picker) = &self.picker else { return };
        let infos = self.infos();
        let drafted: Vec<_> =
            self.drafted.all().iter().map(|drafted| meant(infos, drafted.lora.file())).collect();
        let lost = drafted.iter().enumerate().filter(|(_, info)| info.is_none());
        let mut places: Vec<_> = lost.map(|(index, _)| Place { info: None, drafted: Some(index) }).collect();
        let mut order: Vec<usize> = picker.first.iter().filter_map(|file| meant(infos, file)).collect();
        let mut stands = vec![false; infos.len()];
        order.extend(0..infos.len());
        order.retain(|index| !std::mem::replace(&mut stands[*index], true));
        places.extend(order.into_iter().map(|info| {
            let drafted = drafted.iter().position(|meant| *meant == Some(info));
            Place { info: Some(info), drafted }
        }));
        let words = picker.filter.split_whitespace().map(|word| (word, Search::new(word)));
        let mut words: Vec<(&str, Search)> = words.collect();
        if !words.is_empty() {
            let mut scored: Vec<_> = places
                .into_iter()
                .filter_map(|place| fits(&self.row(place), &mut words).map(|score| (score, place)))
                .collect();
            scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
            places = scored.into_iter().map(|(_, place)| place).collect();
        }
        if let Some(picker) = &mut self.picker {
            picker.rows = places;
        }
    }
}
