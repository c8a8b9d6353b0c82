//! A file is one picture, wherever it is and however often it is found.

use std::fs;

use super::*;
use crate::job::{JobState, PictureQuery, Seed};
use crate::library::foreign;
use crate::library::samples::{self, Place};

fn found(path: &Path) -> FoundPicture {
    let bytes = fs::read(path).expect("it is there");
    let (recipe, origin) = foreign::examine(&bytes).expect("it says how it was drawn");
    FoundPicture { path: path.to_owned(), content: Some(Content::of(&bytes)), written_at: 5, recipe, origin }
}

fn adopt(library: &mut Library, path: &Path) -> Adoption {
    adopt_as(library, path, Purpose::Import, false)
}

fn adopt_as(library: &mut Library, path: &Path, purpose: Purpose, dry: bool) -> Adoption {
    library.adopt(&[found(path)], purpose, dry).expect("there is room").remove(0)
}

#[test]
fn a_picture_that_was_moved_is_the_same_picture_with_its_marks() {
    let mut place = Place::new();
    let picture = place.drawn("a fox", 7);
    let to = place.root.path().join("elsewhere.png");
    fs::rename(&picture.path, &to).expect("it is there");
    let moved = Adoption::Moved { picture: picture.id, from: picture.path.clone() };
    assert_eq!(adopt_as(&mut place.library, &to, Purpose::Find, true), moved);
    let missing =
        |library: &Library| library.picture(picture.id).expect("it can be read").expect("there").missing;
    assert!(missing(&place.library), "it was only said");
    assert_eq!(adopt(&mut place.library, &to), moved);
    assert!(!missing(&place.library));
    assert_eq!(adopt(&mut place.library, &to), Adoption::Known(picture.id));
    // Back under its own folder it is relative to it again.
    fs::rename(&to, &picture.path).expect("it is there");
    assert_eq!(adopt(&mut place.library, &picture.path), Adoption::Moved { picture: picture.id, from: to });
    let path: String =
        place.library.db.query_row("SELECT path FROM pictures", [], |row| row.get(0)).expect("it is there");
    assert!(Path::new(&path).is_relative(), "{path}");
}

#[test]
fn a_moved_picture_whose_bytes_were_written_anew_is_known_by_its_recipe() {
    let mut place = Place::new();
    let picture = place.drawn("a fox", 7);
    let mut bytes = fs::read(&picture.path).expect("it is there");
    // Other programs put a chunk more into it, as when they say when it was opened.
    let end = bytes.len() - 12;
    let chunk = [&[0, 0, 0, 0][..], b"abCd", &crc(b"abCd").to_be_bytes()].concat();
    bytes.splice(end..end, chunk);
    let to = place.root.path().join("optimised.png");
    fs::write(&to, &bytes).expect("it can be written");
    assert_eq!(adopt(&mut place.library, &to), Adoption::Copy(picture.id), "the other is there still");
    fs::remove_file(&picture.path).expect("it is there");
    assert_eq!(adopt(&mut place.library, &to), Adoption::Moved { picture: picture.id, from: picture.path });
    assert_eq!(place.library.content(picture.id).expect("it can be read"), Some(Content::of(&bytes)));
}

/// That of PNG's chunks.
fn crc(bytes: &[u8]) -> u32 {
    let byte = |crc: u32, byte: &u8| {
        let bit = |crc: u32, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
        (0..8).fold(crc ^ u32::from(*byte), bit)
    };
    !bytes.iter().fold(!0, byte)
}

#[test]
fn copies_and_files_that_changed_are_told_and_only_repair_takes_the_change() {
    let mut place = Place::new();
    let (one, two) = (place.drawn("a fox", 7), place.drawn("a fox", 8));
    let copy = place.root.path().join("copy.png");
    fs::copy(&one.path, &copy).expect("it can be copied");
    assert_eq!(adopt(&mut place.library, &copy), Adoption::Copy(one.id));
    fs::copy(&two.path, &one.path).expect("it can be copied");
    assert_eq!(adopt(&mut place.library, &one.path), Adoption::Known(one.id));
    assert_eq!(adopt_as(&mut place.library, &one.path, Purpose::Repair, false), Adoption::Completed(one.id));
    let other = place.root.path().join("other.png");
    fs::write(&other, samples::png(&samples::recipe(&samples::job("a hen"), 9))).expect("it can be written");
    assert_eq!(adopt_as(&mut place.library, &other, Purpose::Find, false), Adoption::Foreign);
    place.library.db.execute("UPDATE pictures SET sha256 = NULL", []).expect("as before it was kept");
    assert_eq!(adopt(&mut place.library, &two.path), Adoption::Completed(two.id));
}

#[test]
fn pictures_of_an_earlier_library_go_back_to_their_jobs() {
    let place = {
        let mut place = Place::new();
        let mut job = samples::job("a fox");
        job.seed = Seed::Fixed(40);
        let id = place.library.accept(&job, 40, 0).expect("there is room").id;
        assert_eq!(id, JobId(1));
        for (index, seed) in [(0, 40), (1, 41)] {
            samples::write(&mut place.library, id, index, &samples::recipe(&job, seed));
        }
        place.drawn("a hen", 3);
        place
    };
    let mut library = place.fresh();
    let mut files = samples::files(place.root.path());
    files.reverse();
    let taken: Vec<_> = files.iter().map(|path| adopt(&mut library, path)).collect();
    assert_eq!(taken, [1, 2, 3].map(|id| Adoption::Taken(PictureId(id))));
    let all = library.search(&PictureQuery::default(), 9).expect("it can be read");
    let jobs: Vec<_> =
        all.iter().map(|picture| (picture.job.0, picture.index, picture.recipe.seed)).collect();
    assert_eq!(jobs, [(1, 0, 40), (1, 1, 41), (2, 0, 3)]);
    let status = library.job(JobId(1)).expect("it can be read").expect("it is there");
    assert_eq!((status.state, status.job.count(), status.done), (JobState::Done, 2, 2));
    let next = library.accept(&samples::job("another"), 1, 0).expect("there is room");
    assert_eq!(next.id, JobId(3), "numbers are given once");
}

#[test]
fn a_name_that_says_another_pictures_job_is_not_believed() {
    let mut place = Place::new();
    let picture = place.drawn("a fox", 7);
    let other = samples::png(&samples::recipe(&samples::job("a hen"), 9));
    let path = picture.path.with_file_name("000000-000001-0003-9.png");
    fs::write(&path, other).expect("it can be written");
    assert_eq!(adopt(&mut place.library, &path), Adoption::Taken(PictureId(2)));
    let taken = place.library.picture(PictureId(2)).expect("it can be read").expect("it is there");
    assert_eq!((taken.job, taken.index, taken.recipe.prompt.as_str()), (JobId(2), 0, "a hen"));
    assert_eq!((taken.finished_at, taken.origin), (5, Origin::FluxTui));
}

#[test]
fn a_picture_that_is_just_being_recorded_is_left_to_who_does_it() {
    let mut place = Place::new();
    let job = samples::job("a fox");
    let id = place.library.accept(&job, 1, 0).expect("there is room").id;
    let (recipe, bytes) = (samples::recipe(&job, 1), samples::png(&samples::recipe(&job, 1)));
    let now = jiff::Zoned::now();
    let name = place.library.intend(id, 0, &recipe, Content::of(&bytes), &now).expect("there is room");
    place.library.folder().write(&name, &bytes).expect("there is room");
    let path = place.library.folder().path(&name);
    assert!(matches!(adopt(&mut place.library, &path), Adoption::Refused(_)));
    place.library.record(id, 0).expect("it was noted");
    assert_eq!(adopt(&mut place.library, &path), Adoption::Known(PictureId(1)));
}

#[test]
fn a_picture_that_a_waiting_job_lacks_is_not_drawn_again() {
    let mut place = Place::new();
    let job = samples::job("a fox");
    let id = place.library.accept(&job, 1, 0).expect("there is room").id;
    let path = place.root.path().join("pictures/2026-01-01").join(format!("000000-{:06}-0000-1.png", id.0));
    fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
    fs::write(&path, samples::png(&samples::recipe(&job, 1))).expect("it can be written");
    assert_eq!(adopt(&mut place.library, &path), Adoption::Taken(PictureId(1)));
    let status = place.library.job(id).expect("it can be read").expect("it is there");
    assert_eq!((status.state, status.done), (JobState::Done, 1));
}
