//! The files of a person's list. They stay for as long as the process lives, as the program's own do: they are few, and
//! whoever holds one need not hold the list that it is from.

use std::sync::{PoisonError, RwLock};

use super::published::Published;

/// Every one that was ever read, the latest last.
static OWN: RwLock<Vec<&'static Published>> = RwLock::new(Vec::new());

/// Keeps a file that was read from a person's list. One that has not changed since is not kept twice.
pub(super) fn keep(file: Published) -> &'static Published {
    let mut own = OWN.write().unwrap_or_else(PoisonError::into_inner);
    let known = own.iter().position(|known| **known == file).map(|at| own.remove(at));
    let file = known.unwrap_or_else(|| Box::leak(Box::new(file)));
    own.push(file);
    file
}

/// The file of that id, as it was read last.
pub(super) fn find(id: &str) -> Option<&'static Published> {
    all().into_iter().rev().find(|file| file.id == id)
}

/// All of them.
pub(super) fn all() -> Vec<&'static Published> {
    OWN.read().unwrap_or_else(PoisonError::into_inner).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_file_is_kept_once_and_a_changed_one_comes_before_it() {
        let file = |bytes| Published {
            id: "of known's test".to_owned(),
            places: Vec::new(),
            bytes: Some(bytes),
            sha256: None,
            license: String::new(),
            gate: None,
            with: Vec::new(),
        };
        let first = keep(file(1));
        assert!(std::ptr::eq(first, keep(file(1))));
        assert_eq!(find(&first.id).and_then(|file| file.bytes), Some(1));
        keep(file(2));
        assert_eq!(find(&first.id).and_then(|file| file.bytes), Some(2));
        assert!(std::ptr::eq(first, keep(file(1))), "changed back");
        assert_eq!(find(&first.id).and_then(|file| file.bytes), Some(1));
        assert_eq!(all().iter().filter(|file| file.id == first.id).count(), 2);
    }
}
