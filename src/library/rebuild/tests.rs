//! Whatever happens to the file, what could be read of it and what the pictures say is there afterwards.

use std::io::{Seek, SeekFrom, Write};

use super::*;
use crate::job::{JobState, MarkChange, Picture, PictureChange, PictureQuery, Rating, SearchText, Tag};
use crate::library::samples::{self, Place};

/// Jobs and pictures enough for many pages: `count` of them drawn, marked each in its way, and three that wait.
fn place(count: u64) -> Place {
    let mut place = Place::new();
    for seed in 1..=count {
        let id = place.drawn(&format!("a fox {seed} {}", "in the snow ".repeat(30)), seed).id;
        let rating = Rating::try_from((seed % 5) as u8 + 1).expect("it is one");
        let tag =
            MarkChange::Tag { add: vec![Tag::new(&format!("t{seed}")).expect("it is one")], remove: vec![] };
        for mark in [MarkChange::Rate(rating), tag] {
            place.library.change(&PictureChange { picture: id, mark }, 0).expect("there is room");
        }
    }
    for prompt in ["first", "second", "third"] {
        place.library.accept(&samples::job(prompt), 9, 0).expect("there is room");
    }
    place
}

fn path(place: &Place) -> PathBuf {
    place.root.path().join("library.sqlite3")
}

/// The library closed, its log written into it.
fn close(place: Place) -> tempfile::TempDir {
    let Place { root, library } = place;
    drop(library);
    root
}

fn open(root: &Path) -> (Library, Option<Rebuilt>) {
    let folder = Folder::new(root.join("pictures"));
    Library::open_or_rebuild_in(&root.join("library.sqlite3"), folder).expect("it opens")
}

fn all(library: &Library) -> Vec<Picture> {
    library.search(&PictureQuery::default(), 500).expect("it can be read")
}

#[test]
fn a_sound_library_is_opened_as_it_is() {
    let place = place(3);
    let before = all(&place.library);
    let root = close(place);
    let (library, rebuilt) = open(root.path());
    assert_eq!((all(&library), rebuilt), (before, None));
}

#[test]
fn of_garbage_the_pictures_themselves_tell() {
    for garbage in [b"no database at all".repeat(500), Vec::new()] {
        let place = place(6);
        let before = all(&place.library);
        let root = close(place);
        let file = root.path().join("library.sqlite3");
        fs::write(&file, &garbage).expect("it can be written");
        let (library, rebuilt) = open(root.path());
        let rebuilt = rebuilt.expect("it was damaged");
        assert_eq!((rebuilt.pictures, rebuilt.from_files, rebuilt.waiting), (0, 6, 0));
        assert_eq!(fs::read(&rebuilt.aside).expect("it is set aside"), garbage);
        assert!(rebuilt.to_string().contains("6 more pictures from their files"), "{rebuilt}");
        let after = all(&library);
        let known = |pictures: &[Picture]| {
            let what = |it: &Picture| (it.job, it.index, it.recipe.clone(), it.path.clone());
            pictures.iter().map(what).collect::<Vec<_>>()
        };
        let (mut before, mut after) = (known(&before), known(&after));
        before.sort_by_key(|it| it.0);
        after.sort_by_key(|it| it.0);
        assert_eq!(after, before);
        drop(library);
        let (library, again) = open(root.path());
        assert_eq!((all(&library).len(), again), (6, None), "once is enough");
    }
}

#[test]
fn of_a_file_that_is_cut_or_has_bad_pages_every_row_that_can_be_read_is_kept() {
    let place = place(40);
    let before = all(&place.library);
    let root = close(place);
    let file = root.path().join("library.sqlite3");
    let length = fs::metadata(&file).expect("it is there").len();
    let pages = length / 4096;
    assert!(pages > 40, "{pages} pages");
    let cuts = [Damage::Cut(length / 2), Damage::Cut(length - 4096)];
    for (number, damage) in (1..pages).step_by(7).map(Damage::Page).chain(cuts).enumerate() {
        let copy = root.path().join(format!("copy-{number}")).join("library.sqlite3");
        fs::create_dir(copy.parent().expect("it has one")).expect("it can be made");
        fs::copy(&file, &copy).expect("it can be copied");
        damage.be_done(&copy);
        let opened = Library::open_or_rebuild_in(&copy, Folder::new(root.path().join("pictures")));
        let (library, rebuilt) = opened.expect("it opens");
        check(&library, &before, &format!("{damage:?}: {rebuilt:?}"), matches!(damage, Damage::Page(_)));
    }
}

/// Every picture is there and found; where only a page is bad, what was said of them on others too.
fn check(library: &Library, before: &[Picture], what: &str, marked: bool) {
    let after = all(library);
    let prompts = |pictures: &[Picture]| {
        let prompt = |it: &Picture| (it.recipe.seed, it.recipe.prompt.as_str().to_owned());
        let mut prompts: Vec<_> = pictures.iter().map(prompt).collect();
        prompts.sort();
        prompts
    };
    assert_eq!(prompts(&after), prompts(before), "{what}");
    // Ratings and tags are on pages of their own, and a picture keeps its number where only an index knows it.
    let rated = after.iter().filter(|it| it.marks.rating.get() > 0).count();
    let own = |it: &&Picture| it.marks.tags.iter().any(|tag| tag.as_str() == format!("t{}", it.recipe.seed));
    let tagged = after.iter().filter(own).count();
    assert!(!marked || rated.max(tagged) == 40, "{rated} are rated, {tagged} tagged; {what}");
    let text = SearchText::new("fox 17").expect("it is short");
    let found = library.search(&PictureQuery { text, ..PictureQuery::default() }, 9);
    assert_eq!(found.expect("it can be read").len(), 1, "{what}");
    let sound = library.db.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    assert_eq!(sound.expect("it can be read"), "ok", "{what}");
}

#[derive(Debug)]
enum Damage {
    /// The page of that number, from 0, has something else in it.
    Page(u64),
    /// Nothing is left behind that byte.
    Cut(u64),
}

impl Damage {
    fn be_done(&self, path: &Path) {
        let mut file = File::options().write(true).open(path).expect("it is there");
        match self {
            Self::Page(page) => {
                file.seek(SeekFrom::Start(page * 4096)).expect("it is there");
                file.write_all(&[0xa5; 4096]).expect("it can be written");
            }
            Self::Cut(at) => file.set_len(*at).expect("it can be cut"),
        }
    }
}

#[test]
fn jobs_that_wait_wait_still_and_marks_stay() {
    let place = place(30);
    let (before, queued) = (all(&place.library), place.library.unfinished().expect("it can be read"));
    place.library.note_damage("database disk image is malformed");
    let root = close(place);
    let (library, rebuilt) = open(root.path());
    let rebuilt = rebuilt.expect("it was noted");
    assert_eq!(
        (rebuilt.pictures, rebuilt.waiting, rebuilt.jobs, rebuilt.from_files, rebuilt.lost),
        (30, 3, 33, 0, 0)
    );
    assert_eq!(rebuilt.reason, "database disk image is malformed");
    assert_eq!((all(&library), library.unfinished().expect("it can be read")), (before, queued));
}

#[test]
fn what_is_only_in_the_log_is_kept_too() {
    let place = place(2);
    let file = path(&place);
    // A copy while it is open, as after a kill: the log is not in the database yet.
    let (before, copy) = (all(&place.library), tempfile::tempdir().expect("a directory"));
    for ending in ["", "-wal"] {
        let to = with_ending(&copy.path().join("library.sqlite3"), ending);
        fs::copy(with_ending(&file, ending), to).expect("it is there");
    }
    assert!(fs::metadata(with_ending(&file, "-wal")).expect("it is there").len() > 0);
    fs::write(copy.path().join("library.damaged"), "as if").expect("it can be written");
    let folder = Folder::new(place.root.path().join("pictures"));
    let opened = Library::open_or_rebuild_in(&copy.path().join("library.sqlite3"), folder);
    let (library, rebuilt) = opened.expect("it opens");
    assert_eq!((rebuilt.map(|it| it.pictures), all(&library)), (Some(2), before));
}

#[test]
fn a_crash_between_the_renames_is_gone_on_from() {
    let place = place(2);
    let root = close(place);
    let file = root.path().join("library.sqlite3");
    // Both moments: the damaged one is still in its place, and it is not any more.
    for still in [true, false] {
        fs::rename(&file, root.path().join("library.rebuilt")).expect("it is there");
        fs::write(root.path().join("library.rebuilding"), "half").expect("it can be written");
        if still {
            fs::write(&file, "garbage").expect("it can be written");
        }
        let (library, rebuilt) = open(root.path());
        assert_eq!((all(&library).len(), rebuilt), (2, None));
        assert!(!root.path().join("library.rebuilt").exists());
    }
    assert_eq!(set_aside_on(&file, &Zoned::now()), 1);
}

#[test]
fn a_disk_that_damages_everything_is_told_of() {
    let root = close(place(1));
    let file = root.path().join("library.sqlite3");
    for number in 0..A_DAY {
        let name = with_ending(&aside(&file, &Zoned::now()), &number.to_string());
        fs::write(name, "an earlier one").expect("it can be written");
    }
    fs::write(&file, "garbage".repeat(1000)).expect("it can be written");
    let opened = Library::open_or_rebuild_in(&file, Folder::new(root.path().join("pictures")));
    assert!(matches!(opened, Err(LibraryError::Damaged { .. })), "{opened:?}");
    assert_eq!(fs::read(&file).expect("it is there"), "garbage".repeat(1000).as_bytes());
}

#[test]
fn one_that_was_running_is_queued_again_by_recovery() {
    let mut place = place(1);
    let id = place.library.unfinished().expect("it can be read")[0].id;
    place.library.set_state(id, &JobState::Running, 0).expect("there is room");
    place.library.note_damage("as if");
    let root = close(place);
    let (mut library, _) = open(root.path());
    assert_eq!(library.recover().expect("it can be read").requeued, 1);
}
