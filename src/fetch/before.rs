//! What can be said of files before any hub is asked: what an earlier attempt has left of them, and the room there is.

use std::path::Path;

use super::cache;
use super::hubs::Hubs;
use super::part;
use super::pull::Wanted;
use super::space::Free;

/// Bytes of a file that an earlier attempt has left. None where the hash is not known: then only the hub can tell which
/// part is the file's.
#[must_use]
pub fn already_here(hubs: &Hubs, wanted: &Wanted) -> u64 {
    let Some((bytes, sha256)) = wanted.bytes.zip(wanted.sha256.as_deref()) else { return 0 };
    let parts = wanted.places.iter().filter_map(|place| cache::part_of(hubs, place, sha256));
    parts.map(|part| part::already(&part, sha256, bytes)).max().unwrap_or(0)
}

/// Bytes that are free where a file would come to from its first place; `None` where that cannot be said.
#[must_use]
pub fn room(hubs: &Hubs, wanted: &Wanted, free: Free) -> Option<u64> {
    let cache = &hubs.server(wanted.places.first()?.hub).models;
    free(cache.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Place;

    #[test]
    fn a_part_counts_by_its_record_and_room_is_that_of_the_nearest_folder() {
        let home = tempfile::tempdir().expect("a directory");
        let hubs = Hubs::from_lookup(|name| (name == "HOME").then(|| home.path().into())).expect("a home");
        let place: Place = "hf:a/b/x.bin".parse().expect("an address");
        let hash = "5".repeat(64);
        let wanted = Wanted { bytes: Some(100), sha256: Some(hash.clone()), ..place.clone().into() };
        assert_eq!(already_here(&hubs, &wanted), 0, "nothing has come");
        let path = cache::part_of(&hubs, &place, &hash).expect("named by its hash");
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("room");
        let part = part::Part::open(&path, &place, &hash, 100).expect("room");
        part.write(0, &[1; 30]).expect("room");
        part.save().expect("room");
        drop(part);
        assert_eq!(already_here(&hubs, &wanted), 30);
        assert_eq!(
            already_here(&hubs, &Wanted { sha256: None, ..wanted.clone() }),
            0,
            "only the hub can tell"
        );
        assert_eq!(room(&hubs, &wanted, |folder| Ok(u64::from(folder.is_dir()))), Some(1));
        assert_eq!(room(&hubs, &wanted, |_| Err(std::io::ErrorKind::NotFound.into())), None);
    }
}
