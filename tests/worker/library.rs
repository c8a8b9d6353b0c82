//! The library by itself: what is kept, in which order, and what a crash between any two of its
//! moves leaves.

use std::fs;
use std::path::{Path, PathBuf};

use flux_tui::device::{DeviceChoice, LoadOptions, MergeChoice, PrecisionChoice, T5Choice, VramBudget};
use flux_tui::job::*;
use flux_tui::library::{Folder, Library};
use jiff::Zoned;
use proptest::prelude::*;

use crate::support::{files_under, job_of};

struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { root: tempfile::tempdir().expect("a temporary directory") }
    }

    fn pictures(&self) -> PathBuf {
        self.root.path().join("pictures")
    }

    fn open(&self) -> Library {
        let folder = Folder::new(self.pictures());
        Library::open_in(&self.root.path().join("library.sqlite3"), folder).expect("it can be opened")
    }
}

fn at(text: &str) -> Zoned {
    text.parse().expect("it is a moment")
}

fn noon() -> Zoned {
    at("2026-01-02T12:34:56[Europe/Berlin]")
}

fn used_lora() -> UsedLora {
    let (file, hash) = ("/模型/水墨.safetensors".to_owned(), LoraHash::new([7; 32]));
    let unapplied = Unapplied { count: 2, of: 7, examples: vec!["a.alpha".into()] };
    UsedLora { file, hash, strength: -0.5, steps: Span::WHOLE, tagged: false, unapplied }
}

fn recipe(job: &Job, seed: u64) -> Recipe {
    Recipe {
        template: None,
        prompt: job.prompt.clone(),
        model: job.model.clone(),
        size: job.size,
        steps: job.steps(),
        guidance: job.guidance(),
        seed,
        precision: "fp32".into(),
        cuts: vec![TokenCount { encoder: Encoder::Clip, tokens: 99, limit: 77, cut_at: Some(5), unknown: 2 }],
        times: Times { load: 1.0, encode: 0.1, denoise: 2.5, decode: 0.3 },
        loras: if job.loras().is_empty() { Vec::new() } else { vec![used_lora()] },
    }
}

/// Draws one picture of a job, as the engine's thread does.
fn draw(library: &mut Library, status: &JobStatus, index: u32, at: &Zoned) -> (Picture, JobState) {
    let recipe = recipe(&status.job, status.first_seed.wrapping_add(u64::from(index)));
    let name = library.intend(status.id, index, &recipe, Content::of(b"a picture"), at).expect("it is noted");
    library.folder().write(&name, b"a picture").expect("it is written");
    library.record(status.id, index).expect("it is recorded")
}

#[test]
fn what_was_accepted_and_drawn_is_read_back_as_it_was() {
    let place = Place::new();
    let job = job_of("alpha", "一只红苹果\n\"🍎\"", Seed::Fixed(u64::MAX), 2);
    let (accepted, picture) = {
        let mut library = place.open();
        let accepted = library.accept(&job, u64::MAX, 123).expect("it is accepted");
        assert_eq!(library.unfinished().expect("it can be read"), std::slice::from_ref(&accepted));
        let (picture, state) = draw(&mut library, &accepted, 0, &noon());
        assert_eq!(state, JobState::Queued, "one more is to come");
        (accepted, picture)
    };
    let mut library = place.open();
    assert_eq!(library.recover().expect("it is whole"), Default::default());
    assert_eq!(library.unfinished().expect("it can be read"), [JobStatus { done: 1, ..accepted.clone() }]);
    assert_eq!(library.history(None, 9).expect("it can be read"), std::slice::from_ref(&picture));
    assert_eq!(library.picture(picture.id).expect("it can be read"), Some(picture.clone()));
    assert_eq!(library.picture(PictureId(99)).expect("it can be read"), None);
    assert_eq!(picture.recipe, recipe(&job, u64::MAX));
    assert_eq!(picture.finished_at, noon().timestamp().as_millisecond());
    let (_, state) = draw(&mut library, &accepted, 1, &noon());
    assert_eq!(state, JobState::Done);
    assert_eq!(library.unfinished().expect("it can be read"), []);
    assert_eq!(library.pictures().expect("it can be read"), 2);
}

#[test]
fn pictures_may_come_in_any_order_and_the_last_to_come_ends_the_job() {
    let place = Place::new();
    let mut library = place.open();
    let load = LoadOptions {
        precision: PrecisionChoice::Bf16,
        vram_budget: Some(VramBudget(7_900_000_000)),
        t5: T5Choice::Cpu,
        merge_loras: MergeChoice::Resident,
    };
    let job = job_of("alpha", "a", Seed::Random, 3).placed(DeviceChoice::CudaAt(1), load);
    let status = library.accept(&job, 10, 0).expect("it is accepted");
    let mut states = Vec::new();
    for index in [2, 0, 1] {
        let open = library.unfinished().expect("it can be read");
        assert_eq!((open[0].done as usize, &open[0].job), (states.len(), &job));
        states.push(draw(&mut library, &status, index, &noon()).1);
        let drawn: Vec<u32> = library.drawn(status.id).expect("it can be read").into_iter().collect();
        assert_eq!(drawn, [&[2][..], &[0, 2], &[0, 1, 2]][states.len() - 1]);
    }
    assert_eq!(states, [JobState::Queued, JobState::Queued, JobState::Done]);
}

/// What takes a file back to each earlier version, and the version.
const EARLIER: [(&str, i64); 11] = [
    (
        "ALTER TABLE grids DROP COLUMN rating; ALTER TABLE grids DROP COLUMN favourite; \
         ALTER TABLE grids DROP COLUMN trashed_at;",
        12,
    ),
    ("ALTER TABLE jobs DROP COLUMN merge_loras;", 11),
    (
        "DROP INDEX jobs_grid; DROP TABLE grids; ALTER TABLE jobs DROP COLUMN grid; \
         ALTER TABLE jobs DROP COLUMN cell;",
        10,
    ),
    (
        "ALTER TABLE jobs DROP COLUMN wildcards; ALTER TABLE pictures DROP COLUMN drawn; \
         ALTER TABLE writing DROP COLUMN drawn;",
        9,
    ),
    (
        "DROP TRIGGER prompts_added; DROP TRIGGER prompts_changed; DROP TRIGGER prompts_removed; DROP TABLE prompts; \
         DROP VIEW searchable; DROP TABLE tags; DROP INDEX pictures_age; DROP INDEX pictures_sha256; \
         DROP INDEX pictures_seed; DROP INDEX jobs_prompt_key; \
         ALTER TABLE jobs DROP COLUMN parent; ALTER TABLE jobs DROP COLUMN prompt_key; \
         ALTER TABLE pictures DROP COLUMN bytes; ALTER TABLE pictures DROP COLUMN sha256; \
         ALTER TABLE pictures DROP COLUMN origin; ALTER TABLE pictures DROP COLUMN rating; \
         ALTER TABLE pictures DROP COLUMN favourite; ALTER TABLE pictures DROP COLUMN trashed_at; \
         ALTER TABLE writing DROP COLUMN bytes; ALTER TABLE writing DROP COLUMN sha256;",
        8,
    ),
    (
        "ALTER TABLE jobs DROP COLUMN loras; ALTER TABLE pictures DROP COLUMN loras; \
         ALTER TABLE writing DROP COLUMN loras;",
        7,
    ),
    ("ALTER TABLE jobs DROP COLUMN device_failures;", 6),
    ("DROP TABLE usage; DROP TABLE cards;", 5),
    ("DROP INDEX jobs_rank; ALTER TABLE jobs DROP COLUMN rank; DROP TABLE queue;", 3),
    ("ALTER TABLE jobs DROP COLUMN vram_budget; ALTER TABLE jobs DROP COLUMN t5;", 2),
    ("ALTER TABLE jobs DROP COLUMN device; ALTER TABLE jobs DROP COLUMN precision;", 1),
];

/// That of 0.1.0 is the first, before jobs had a device: its jobs are drawn wherever it suits.
#[test]
fn a_library_of_any_earlier_version_is_brought_up_to_date() {
    for steps in 1..=EARLIER.len() {
        brought_up_to_date(&EARLIER[..steps]);
    }
}

fn brought_up_to_date(back: &[(&str, i64)]) {
    let place = Place::new();
    let job = job_of("alpha", "a lighthouse", Seed::Fixed(7), 3);
    {
        let mut library = place.open();
        let status = library.accept(&job, 7, 0).expect("it is accepted");
        draw(&mut library, &status, 0, &noon());
        library.accept(&job_of("alpha", "b", Seed::Fixed(7), 1), 7, 0).expect("it is accepted");
    }
    let db = rusqlite::Connection::open(place.root.path().join("library.sqlite3")).expect("it is there");
    for (statements, version) in back {
        db.execute_batch(&format!("{statements} PRAGMA user_version = {version};")).expect("as it was");
    }
    drop(db);
    let mut library = place.open();
    let open = library.unfinished().expect("it can be read");
    assert_eq!((open.len(), open[0].done, &open[0].job), (2, 1, &job));
    assert!(!library.is_paused().expect("it can be read"));
    library.arrange(&[open[1].id, open[0].id]).expect("it can be written");
    let turned: Vec<_> =
        library.unfinished().expect("it can be read").into_iter().map(|job| job.id).collect();
    assert_eq!(turned, [open[1].id, open[0].id]);
    let history = library.history(None, 9).expect("it can be read");
    assert_eq!((history.len(), &*history[0].recipe.precision), (1, "fp32"), "the picture's, not the job's");
    // What came with later versions is there for what was drawn before.
    assert_eq!(history[0].marks, Marks::default());
    assert_eq!(library.seeds(" a\nlighthouse").expect("it can be read").len(), 1);
    let found =
        PictureQuery { text: SearchText::new("ghth").expect("it is short"), ..PictureQuery::default() };
    assert_eq!(library.search(&found, 9).expect("it can be read"), history);
}

#[test]
fn loras_are_kept_of_jobs_and_of_pictures() {
    let place = Place::new();
    let asked =
        vec![used_lora().again().expect("it is one"), LoraChoice::new("ink", 0.8).expect("it is one")];
    let job = job_of("alpha", "a <lora:soft:1>", Seed::Fixed(7), 2).with_loras(asked).expect("they are few");
    {
        let mut library = place.open();
        let status = library.accept(&job, 7, 0).expect("it is accepted");
        let (picture, _) = draw(&mut library, &status, 0, &noon());
        assert_eq!(picture.recipe.loras, [used_lora()]);
        let fewer = job.clone().with_loras(Vec::new()).expect("there is a tag");
        let other = library.accept(&fewer, 7, 0).expect("it is accepted").id;
        assert_eq!(library.edit(other, &job, 7).expect("it is written").expect("it waits").job, job);
    }
    let library = place.open();
    let open = library.unfinished().expect("it can be read");
    assert_eq!((open.len(), &open[0].job, &open[1].job), (2, &job, &job));
    let history = library.history(None, 9).expect("it can be read");
    assert_eq!(history[0].recipe.loras, [used_lora()]);
}

#[test]
fn a_job_that_is_over_stays_as_it_is() {
    let place = Place::new();
    let mut library = place.open();
    let job = job_of("alpha", "a", Seed::Random, 2);
    let id = library.accept(&job, 1, 0).expect("it is accepted").id;
    let mut set = |state: &JobState| library.set_state(id, state, 9).expect("it can be written");
    assert_eq!(set(&JobState::Running), Some(JobState::Running));
    assert_eq!(set(&JobState::Cancelled), Some(JobState::Cancelled));
    for late in [JobState::Queued, JobState::Running, JobState::Done, JobState::Failed { reason: "x".into() }]
    {
        assert_eq!(set(&late), Some(JobState::Cancelled));
    }
    assert_eq!(library.set_state(JobId(77), &JobState::Cancelled, 0).expect("it can be read"), None);
}

#[test]
fn failures_are_kept_with_their_reasons_the_latest_first() {
    let place = Place::new();
    let mut library = place.open();
    for (ended_at, reason) in [(30, "third"), (10, "first"), (20, "second")] {
        let id = library.accept(&job_of("alpha", "a", Seed::Random, 1), 0, 0).expect("it is accepted").id;
        let failed = JobState::Failed { reason: reason.into() };
        library.set_state(id, &failed, ended_at).expect("it can be written");
    }
    let failed = place_failed(&library, 2);
    assert_eq!(failed, ["third", "second"]);
}

fn place_failed(library: &Library, limit: u32) -> Vec<String> {
    let reason = |status: JobStatus| match status.state {
        JobState::Failed { reason } => reason,
        other => panic!("it failed, not {other:?}"),
    };
    library.failed(limit).expect("it can be read").into_iter().map(reason).collect()
}

#[test]
fn names_sort_by_time_say_the_seed_and_are_never_taken_twice() {
    let place = Place::new();
    let folder = Folder::new(place.pictures());
    let name = |at: &Zoned, job, index, seed| folder.name(at, JobId(job), index, seed);
    let first = name(&noon(), 12, 0, u64::MAX);
    assert_eq!(first, Path::new("2026-01-02/123456-000012-0000-18446744073709551615.png"));
    let later = [
        name(&noon(), 12, 9, 5),
        name(&noon(), 12, 10, 5),
        name(&noon(), 100, 0, 5),
        name(&at("2026-01-02T12:34:57[Europe/Berlin]"), 1, 0, 5),
        name(&at("2026-01-03T00:00:00[Europe/Berlin]"), 1, 0, 5),
    ];
    assert!(std::iter::once(&first).chain(&later).is_sorted(), "{later:?}");
    folder.write(&first, b"an earlier library's").expect("it can be written");
    let second = name(&noon(), 12, 0, u64::MAX);
    assert_eq!(second, Path::new("2026-01-02/123456-000012-0000-18446744073709551615-1.png"));
}

#[test]
fn pictures_move_with_their_directory() {
    let place = Place::new();
    {
        let mut library = place.open();
        let status = library.accept(&job_of("alpha", "a", Seed::Random, 1), 5, 0).expect("it is accepted");
        draw(&mut library, &status, 0, &noon());
    }
    let moved = Place::new();
    for name in ["library.sqlite3", "pictures"] {
        fs::rename(place.root.path().join(name), moved.root.path().join(name)).expect("it is there");
    }
    let picture = &moved.open().history(None, 1).expect("it can be read")[0];
    assert!(picture.path.starts_with(moved.root.path()) && picture.path.exists());
}

/// Where the worker was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    Drawing,
    Noted,
    HalfWritten,
    Renamed,
}

/// Draws one picture up to a point, and is killed there.
fn die(library: &mut Library, status: &JobStatus, index: u32, killed: Killed) {
    library.set_state(status.id, &JobState::Running, 0).expect("it can be written");
    if killed == Killed::Drawing {
        return;
    }
    let recipe = recipe(&status.job, status.first_seed + u64::from(index));
    let name =
        library.intend(status.id, index, &recipe, Content::of(b"a picture"), &noon()).expect("it is noted");
    let path = library.folder().path(&name);
    match killed {
        Killed::HalfWritten => {
            fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
            let file = path.file_name().expect("it has one").to_string_lossy().into_owned();
            fs::write(path.with_file_name(format!(".{file}.part")), b"a pic").expect("it can be written");
        }
        Killed::Renamed => library.folder().write(&name, b"a picture").expect("it is written"),
        Killed::Drawing | Killed::Noted => {}
    }
}

/// What the next worker does: everything that is left.
fn finish(place: &Place) -> Library {
    let mut library = place.open();
    library.recover().expect("it is whole");
    for status in library.unfinished().expect("it can be read") {
        assert_eq!(status.state, JobState::Queued);
        for index in status.done..status.job.count() {
            draw(&mut library, &status, index, &noon());
        }
    }
    library
}

fn pictures(place: &Place) -> Vec<String> {
    files_under(&place.pictures())
        .iter()
        .map(|path| path.file_name().expect("it has one").to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_crash_at_any_point_loses_no_picture_and_keeps_none_twice() {
    for killed in [Killed::Drawing, Killed::Noted, Killed::HalfWritten, Killed::Renamed] {
        for (count, index) in [(1, 0), (3, 0), (3, 1), (3, 2)] {
            let place = Place::new();
            {
                let mut library = place.open();
                let status = library
                    .accept(&job_of("alpha", "a", Seed::Random, count), 100, 0)
                    .expect("it is accepted");
                (0..index).for_each(|index| drop(draw(&mut library, &status, index, &noon())));
                die(&mut library, &status, index, killed);
            }
            let recovered = place.open().recover().expect("it is whole");
            assert_eq!(recovered.adopted, usize::from(killed == Killed::Renamed), "{killed:?}");
            let library = finish(&place);
            let drawn = library.history(None, 9).expect("it can be read");
            let seeds: Vec<_> = drawn.iter().rev().map(|picture| picture.recipe.seed).collect();
            assert_eq!(seeds, (100..100 + u64::from(count)).collect::<Vec<_>>(), "{killed:?}");
            assert!(
                drawn.iter().all(|picture| fs::read(&picture.path).is_ok_and(|bytes| bytes == b"a picture"))
            );
            assert_eq!(pictures(&place).len(), count as usize, "{killed:?}: {:?}", pictures(&place));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    /// Any number of workers killed anywhere, with any number of jobs.
    #[test]
    fn however_often_workers_die_every_job_is_drawn_once(
        counts in proptest::collection::vec(1..4u32, 1..4),
        deaths in proptest::collection::vec(
            prop_oneof![Just(Killed::Drawing), Just(Killed::Noted), Just(Killed::HalfWritten), Just(Killed::Renamed)],
            0..6,
        ),
    ) {
        let place = Place::new();
        {
            let mut library = place.open();
            for &count in &counts {
                library.accept(&job_of("alpha", "a", Seed::Random, count), 0, 0).expect("it is accepted");
            }
        }
        for killed in deaths {
            let mut library = place.open();
            library.recover().expect("it is whole");
            if let Some(status) = library.unfinished().expect("it can be read").first() {
                die(&mut library, status, status.done, killed);
            }
        }
        let library = finish(&place);
        let mut drawn: Vec<_> = library.history(None, 99).expect("it can be read").iter().map(|it| (it.job.0, it.index)).collect();
        drawn.sort_unstable();
        let asked: Vec<_> = (1..).zip(&counts).flat_map(|(job, &count)| (0..count).map(move |index| (job, index))).collect();
        prop_assert_eq!(&drawn, &asked);
        prop_assert_eq!(pictures(&place).len(), asked.len());
    }
}

#[test]
fn a_page_is_short_where_prompts_are_long_and_never_empty_before_the_end() {
    let place = Place::new();
    let mut library = place.open();
    let long = "x".repeat(PROMPT_BYTES);
    for _ in 0..10 {
        let status = library.accept(&job_of("alpha", &long, Seed::Random, 1), 5, 0).expect("it is accepted");
        draw(&mut library, &status, 0, &noon());
    }
    let (mut before, mut pages) = (None, Vec::new());
    loop {
        let page = library.history(before, u32::MAX).expect("it can be read");
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        pages.push(page.len());
    }
    assert_eq!(pages, [8, 2]);
}

#[test]
fn ten_thousand_pictures_open_and_page_in_no_time() {
    let place = Place::new();
    drop(place.open());
    let db = rusqlite::Connection::open(place.root.path().join("library.sqlite3")).expect("it is there");
    db.execute_batch(
        "INSERT INTO jobs (prompt, model, width, height, steps, guidance, first_seed, count, state, accepted_at) \
         WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) \
         SELECT 'a red apple ' || i, 'nano', 128, 128, 20, 3.5, i, 1, 'done', i FROM n; \
         INSERT INTO pictures (job, idx, seed, precision, cuts, load, encode, denoise, decode, path, finished_at) \
         SELECT id, 0, id, 'fp32', '[]', 0, 0, 0, 0, '2026-01-01/' || id || '.png', id FROM jobs;",
    )
    .expect("they are written");
    drop(db);
    let begun = std::time::Instant::now();
    let library = place.open();
    let opened = begun.elapsed();
    assert_eq!(library.pictures().expect("it can be read"), 10_000);
    assert_eq!(library.history(Some(PictureId(5000)), 500).expect("it can be read").len(), 500);
    let all = begun.elapsed();
    // Far more than it takes, for a machine that is busy; a scan a row would take longer still.
    assert!(all.as_millis() < 1500, "opened in {opened:?}, all in {all:?}");
    eprintln!("10,000 pictures: opened in {opened:?}, counted and a page of 500 read in {:?}", all - opened);
    assert_eq!(library.unfinished().expect("it can be read"), []);
}
