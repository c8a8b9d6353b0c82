//! An index and its shards are of one commit, whatever happens to the branch while they come.

use std::path::Path;

use flux_tui::fetch::{Cancel, FetchError, Fetched, Hubs, Ledger, Wanted, plan_removal, pull, unfinished};

use super::server::{COMMIT, Manner};
use super::support::{Site, Told, bytes};

/// The next commit of the branch.
const NEXT: &str = "fedcba9876543210fedcba9876543210fedcba98";
const NAMES: [&str; 3] = ["t/m.safetensors.index.json", "t/m-1-of-2.safetensors", "t/m-2-of-2.safetensors"];

fn lfs() -> Manner {
    Manner { lfs: true, ..Manner::default() }
}

/// The files of a commit: the same names and sizes in all of them, other bytes in each.
fn contents(mark: u8) -> Vec<(String, Vec<u8>)> {
    let content = |(at, name): (usize, &&str)| {
        let mut content = bytes(200_000 + at);
        content[0] = mark;
        (format!("a/b/{name}"), content)
    };
    NAMES.iter().enumerate().map(content).collect()
}

fn publish(site: &Site, mark: u8, manner: impl Fn(&str) -> Manner) {
    for (address, content) in contents(mark) {
        let manner = manner(&address);
        site.server.publish(&address, content, manner);
    }
}

fn wanted(hub: &str) -> Vec<Wanted> {
    let place = |name: &&str| format!("{hub}:a/b/{name}").parse::<flux_tui::catalog::Place>();
    NAMES.iter().map(|name| place(name).expect("an address").into()).collect()
}

fn fetch(site: &Site, hub: &str) -> Vec<Result<Fetched, FetchError>> {
    let done = pull(&wanted(hub), &site.hubs(), &site.options, &Told::default(), &Cancel::default());
    done.expect("there is room")
}

/// The first byte of each file, which tells the commit that it is of.
#[track_caller]
fn marks(done: &[Result<Fetched, FetchError>]) -> Vec<u8> {
    let first = |file: &Path| std::fs::read(file).expect("it is there")[0];
    done.iter().map(|one| first(&one.as_ref().unwrap_or_else(|error| panic!("{error}")).file)).collect()
}

fn of_commit(done: &[Result<Fetched, FetchError>], commit: &str) -> bool {
    done.iter().flatten().all(|one| one.file.to_string_lossy().contains(&format!("snapshots/{commit}/")))
}

fn pins(site: &Site) -> usize {
    site.files(".flux-commit").len()
}

#[test]
fn a_branch_that_moves_while_files_are_described_mixes_nothing() {
    for after in 1..=3 {
        let site = Site::new();
        publish(&site, 1, |_| lfs());
        site.server.commit_after(after, NEXT, &contents(2));
        let done = fetch(&site, "hf");
        assert_eq!(marks(&done), [1, 1, 1], "moved after {after}");
        assert!(of_commit(&done, COMMIT), "{done:?}");
        assert_eq!(pins(&site), 0, "all is there");
        // Asked for again, what is there is what the branch was: sizes are not known, so the hub is asked.
        let done = fetch(&site, "hf");
        assert_eq!(marks(&done), [2, 2, 2]);
        assert!(of_commit(&done, NEXT), "{done:?}");
    }
}

/// Ends after some bytes of the second shard, each time that it is asked for.
fn breaks_off(address: &str) -> Manner {
    let last = address.ends_with("2-of-2.safetensors");
    Manner { cut: last.then_some((10_000, u32::MAX)), ..lfs() }
}

#[test]
fn what_broke_off_goes_on_with_the_commit_that_it_began_with() {
    let mut site = Site::new();
    site.options.connections = 1;
    site.options.tries = 1;
    publish(&site, 1, breaks_off);
    let done = fetch(&site, "hf");
    assert!(done[0].is_ok() && done[1].is_ok() && done[2].is_err(), "{done:?}");
    assert_eq!(pins(&site), 1);
    let begun = site.files(".flux-part");
    assert_eq!(begun.len(), 1, "{begun:?}");
    // The branch moves, and the old commit gives its last file now.
    publish(&site, 1, |_| lfs());
    site.server.commit(NEXT);
    publish(&site, 2, |_| lfs());
    let before = site.server.gets().len();
    let done = fetch(&site, "hf");
    assert_eq!(marks(&done), [1, 1, 1]);
    assert!(of_commit(&done, COMMIT) && done[0].as_ref().is_ok_and(|one| one.present), "{done:?}");
    let asked = site.server.gets().split_off(before);
    assert!(asked.iter().all(|seen| seen.path.contains("2-of-2")), "only what was missing: {asked:?}");
    assert!(asked.iter().all(|seen| seen.headers["range"] != "bytes=0-65535"), "gone on with: {asked:?}");
    assert_eq!(pins(&site), 0);
}

#[test]
fn a_commit_that_is_gone_is_left_for_the_one_that_the_branch_is_now() {
    let mut site = Site::new();
    site.options.tries = 1;
    publish(&site, 1, breaks_off);
    assert!(fetch(&site, "hf")[2].is_err());
    site.server.commit(NEXT);
    site.server.forget(COMMIT);
    publish(&site, 2, |_| lfs());
    let done = fetch(&site, "hf");
    assert_eq!(marks(&done), [2, 2, 2]);
    assert!(of_commit(&done, NEXT), "{done:?}");
}

#[test]
fn what_was_removed_half_fetched_begins_with_the_commit_of_the_day() {
    let mut site = Site::new();
    site.options.tries = 1;
    publish(&site, 1, breaks_off);
    assert!(fetch(&site, "hf")[2].is_err());
    let (hubs, places): (Hubs, Vec<_>) =
        (site.hubs(), wanted("hf").into_iter().flat_map(|one| one.places).collect());
    let removal = plan_removal(&hubs, (&[], &unfinished(&hubs)), &places, &[]);
    assert_eq!(removal.unfinished.len(), 1, "{removal:?}");
    removal.carry_out(&hubs, &Ledger::at(site.home.join("fetched.json"))).expect("it goes");
    assert_eq!(pins(&site), 0);
    site.server.commit(NEXT);
    publish(&site, 2, |_| lfs());
    assert_eq!(marks(&fetch(&site, "hf")), [2, 2, 2]);
}

/// ModelScope's paths do not say which content lies there: a file of the same size must be read to be told.
#[test]
fn a_file_of_an_older_revision_at_modelscope_is_fetched_anew() {
    let mut site = Site::new();
    site.options.tries = 1;
    publish(&site, 1, breaks_off);
    let done = fetch(&site, "ms");
    assert!(done[0].is_ok() && done[1].is_ok() && done[2].is_err(), "{done:?}");
    publish(&site, 2, |_| lfs());
    let done = fetch(&site, "ms");
    assert_eq!(marks(&done), [2, 2, 2]);
    let again = fetch(&site, "ms");
    assert!(again.iter().flatten().all(|one| one.present), "{again:?}");
    let lists = site.server.seen().iter().filter(|seen| seen.path.contains("/repo/files")).count();
    assert_eq!(lists, 3, "all files of a set are described by one list");
}

#[test]
fn a_single_file_is_asked_for_by_the_commit_that_it_was_described_in() {
    let site = Site::new();
    site.server.publish("a/b/x.bin", vec![1; 100_000], lfs());
    site.server.commit_after(1, NEXT, &[("a/b/x.bin".to_owned(), vec![2; 100_000])]);
    assert_eq!(site.content("hf:a/b/x.bin"), vec![1; 100_000]);
}
