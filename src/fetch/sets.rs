//! Which wanted files belong together: an index and its shards. They fit one another only when they are from one
//! repository at one revision, so all of a set come from one hub.

use super::pull::Wanted;
use crate::catalog::Place;

/// What an index of shards is called.
const INDEX: &str = ".safetensors.index.json";

/// The numbers of the wanted files, set by set: an index with the shards that are published beside it, wherever it is;
/// every other file alone.
pub(super) fn sets(wanted: &[Wanted]) -> Vec<Vec<usize>> {
    let mut sets: Vec<Vec<usize>> = Vec::new();
    let mut taken = vec![false; wanted.len()];
    for (at, _) in wanted.iter().enumerate().filter(|(_, file)| is_index(file)) {
        let beside = |other: usize| !taken[other] && are_beside(&wanted[at], &wanted[other]);
        let set: Vec<usize> = (0..wanted.len()).filter(|other| beside(*other)).collect();
        set.iter().for_each(|&member| taken[member] = true);
        sets.extend((!set.is_empty()).then_some(set));
    }
    sets.extend((0..wanted.len()).filter(|at| !taken[*at]).map(|at| vec![at]));
    sets
}

fn is_index(file: &Wanted) -> bool {
    file.places.first().is_some_and(|place| place.path.ends_with(INDEX))
}

/// Whether two files are at the same places in the same order, but for their names.
fn are_beside(one: &Wanted, other: &Wanted) -> bool {
    let folder = |place: &Place| place.path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let same = |a: &Place, b: &Place| {
        (a.hub, &a.repo, &a.revision, folder(a)) == (b.hub, &b.repo, &b.revision, folder(b))
    };
    let (one, other) = (&one.places, &other.places);
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    fn wanted(addresses: &[&str]) -> Wanted {
        let places = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        Wanted { places, bytes: None, sha256: None }
    }

    #[test]
    fn an_index_takes_what_lies_beside_it_at_every_hub() {
        let all = [
            wanted(&["hf:a/b/x.bin"]),
            wanted(&["hf:a/b/t/1.safetensors", "ms:c/d/1.safetensors"]),
            wanted(&["hf:a/b/t/m.safetensors.index.json", "ms:c/d/m.safetensors.index.json"]),
            wanted(&["hf:a/b/t/2.safetensors", "ms:c/d/2.safetensors"]),
            wanted(&["hf:a/b/t/3.safetensors", "ms:c/e/3.safetensors"]),
            wanted(&["hf:a/b/t/4.safetensors"]),
        ];
        assert_eq!(sets(&all), [vec![1, 2, 3], vec![0], vec![4], vec![5]]);
        assert_eq!(sets(&[]), [] as [Vec<usize>; 0]);
    }

    #[test]
    fn every_index_of_the_catalogue_is_a_set_with_its_shards() {
        let indices = catalog::published().iter().filter(|file| !file.with.is_empty());
        for index in indices {
            let shards = index.with.iter().map(|id| catalog::file(id).expect("it is listed"));
            let all: Vec<Wanted> = std::iter::once(index).chain(shards).map(Wanted::from).collect();
            assert_eq!(sets(&all), [(0..all.len()).collect::<Vec<_>>()], "{}", index.id);
        }
    }
}
