//! Connections that break, servers that lie, and contents that are wrong.

use flux_tui::catalog::Place;
use flux_tui::fetch::{Cancel, FetchError, Notice, pull};

use super::server::{Manner, sha256};
use super::support::{Site, Told, bytes};

fn lfs() -> Manner {
    Manner { lfs: true, ..Manner::default() }
}

/// The first byte that each request for content asked for, in order.
fn starts(site: &Site) -> Vec<u64> {
    let start = |range: &String| range.strip_prefix("bytes=")?.split_once('-')?.0.parse().ok();
    let mut starts: Vec<u64> =
        site.server.gets().iter().filter_map(|seen| seen.headers.get("range").and_then(start)).collect();
    starts.sort_unstable();
    starts
}

#[test]
fn a_connection_that_breaks_is_gone_on_with_from_where_it_broke() {
    let mut site = Site::new();
    site.options.piece = 1 << 20;
    let content = bytes(400_000);
    site.server.publish("a/b/x.bin", content.clone(), Manner { cut: Some((100_000, 2)), ..lfs() });
    assert_eq!(site.content("hf:a/b/x.bin"), content);
    let starts = starts(&site);
    assert_eq!(starts.len(), 3, "{starts:?}");
    assert!(starts[1] > 0 && starts[2] > starts[1], "{starts:?}");
}

#[test]
fn a_later_attempt_fetches_only_what_is_missing() {
    let mut site = Site::new();
    (site.options.piece, site.options.tries, site.options.connections) = (100_000, 1, 1);
    let content = bytes(400_000);
    site.server.publish("a/b/x.bin", content.clone(), Manner { cut: Some((60_000, 1)), ..lfs() });
    let error = site.failure("hf:a/b/x.bin");
    assert!(matches!(error, FetchError::Cut { of: 400_000, .. }), "{error:?}");
    site.nothing_is_finished();
    assert_eq!(site.files(".flux-part").len(), 1);
    let told = Told::default();
    let place: Place = "hf:a/b/x.bin".parse().expect("an address");
    site.pull_told(&place.into(), &told).expect("it comes");
    assert!(told.any(|notice| matches!(notice, Notice::Resuming { have: 1.., size: 400_000, .. })));
    let again: Vec<_> = starts(&site).into_iter().skip(1).collect();
    assert!(again.iter().all(|&start| start > 0), "nothing is asked for twice: {again:?}");
    assert_eq!(site.content("hf:a/b/x.bin"), content);
}

#[test]
fn a_damaged_part_is_fetched_once_more() {
    let mut site = Site::new();
    (site.options.tries, site.options.connections) = (1, 1);
    let content = bytes(100_000);
    site.server.publish("a/b/x.bin", content.clone(), Manner { cut: Some((50_000, 1)), ..lfs() });
    site.failure("hf:a/b/x.bin");
    let part = site.files(".flux-part").remove(0);
    let mut damaged = std::fs::read(&part).expect("it is there");
    damaged[10] ^= 1;
    std::fs::write(&part, damaged).expect("room");
    assert_eq!(site.content("hf:a/b/x.bin"), content);
    assert_eq!(starts(&site).iter().filter(|&&start| start == 0).count(), 2, "{:?}", starts(&site));
}

#[test]
fn another_content_on_the_hub_begins_anew() {
    let mut site = Site::new();
    site.options.tries = 1;
    site.server.publish("a/b/x.bin", bytes(50_000), Manner { cut: Some((20_000, 1)), ..Manner::default() });
    site.failure("ms:a/b/x.bin");
    let new = vec![9; 50_000];
    site.server.publish("a/b/x.bin", new.clone(), Manner::default());
    assert_eq!(site.content("ms:a/b/x.bin"), new);
    assert_eq!(starts(&site), [0, 0]);
}

#[test]
fn wrong_content_is_removed_and_both_hashes_are_said() {
    let site = Site::new();
    let (content, wrong) = (bytes(100_000), "5".repeat(64));
    site.server.publish("a/b/x.bin", content.clone(), Manner { etag: Some(wrong.clone()), ..lfs() });
    for address in ["hf:a/b/x.bin", "ms:a/b/x.bin"] {
        let said = site.failure(address).to_string();
        assert!(said.contains(&wrong) && said.contains(&sha256(&content)), "{said}");
        site.nothing_is_finished();
        assert!(site.files(".flux-part").is_empty(), "a wrong part is worth nothing");
    }
}

#[test]
fn a_busy_server_is_waited_for_as_long_as_it_asks() {
    let site = Site::new();
    let refuse = Some((429, "Retry-After: 1\r\n".to_owned(), 1));
    site.server.publish("a/b/x.bin", bytes(10), Manner { refuse, ..Manner::default() });
    let told = Told::default();
    let place: Place = "hf:a/b/x.bin".parse().expect("an address");
    let before = std::time::Instant::now();
    site.pull_told(&place.into(), &told).expect("it comes");
    assert!(before.elapsed().as_secs_f64() >= 1.0);
    assert!(told.any(|notice| matches!(notice, Notice::Retrying { seconds: 1.0.., .. })));
}

#[test]
fn a_server_that_wants_too_much_time_is_not_waited_for() {
    let site = Site::new();
    let refuse = Some((429, "Retry-After: 86400\r\n".to_owned(), u32::MAX));
    site.server.publish("a/b/x.bin", bytes(10), Manner { refuse, ..Manner::default() });
    let error = site.failure("hf:a/b/x.bin");
    assert!(matches!(error, FetchError::Limited { seconds: 86_400, .. }), "{error:?}");
}

#[test]
fn a_server_in_trouble_is_asked_again_but_not_for_ever() {
    let site = Site::new();
    let refuse = |times| Manner { refuse: Some((503, String::new(), times)), ..Manner::default() };
    site.server.publish("a/b/x.bin", bytes(10), refuse(2));
    assert_eq!(site.content("hf:a/b/x.bin"), bytes(10));
    site.server.publish("a/b/y.bin", bytes(11), refuse(u32::MAX));
    let error = site.failure("hf:a/b/y.bin");
    assert!(matches!(error, FetchError::Status { status: 503, .. }), "{error:?}");
}

#[test]
fn silence_ends_a_connection_and_not_the_transfer() {
    let mut site = Site::new();
    site.stall = 1;
    let content = bytes(300_000);
    site.server.publish("a/b/x.bin", content.clone(), Manner { stall: Some((30_000, 1)), ..lfs() });
    assert_eq!(site.content("hf:a/b/x.bin"), content);
}

#[test]
fn a_server_that_lies_about_the_length_is_caught() {
    let site = Site::new();
    for says in [90_000, 110_000] {
        for connection in [lfs(), Manner { no_ranges: true, ..lfs() }] {
            let manner = Manner { says: Some(says), ..connection };
            site.server.publish("a/b/x.bin", bytes(100_000), manner);
            for address in ["hf:a/b/x.bin", "ms:a/b/x.bin"] {
                let error = site.failure(address);
                assert!(matches!(error, FetchError::Length { .. }), "{address} {says}: {error:?}");
                site.nothing_is_finished();
            }
        }
    }
}

#[test]
fn bytes_beyond_the_end_are_caught_where_no_length_is_told() {
    let site = Site::new();
    site.server.publish("a/b/x.bin", bytes(1_000), Manner { extra: 500, ..lfs() });
    let error = site.failure("hf:a/b/x.bin");
    assert!(matches!(error, FetchError::Length { said: 1_000, .. }), "{error:?}");
    site.nothing_is_finished();
}

#[test]
fn a_hostile_length_allocates_nothing() {
    let site = Site::new();
    site.server.publish("a/b/x.bin", bytes(10), Manner { says: Some(u64::MAX - 1), ..lfs() });
    let place: Place = "hf:a/b/x.bin".parse().expect("an address");
    let error = pull(&[place.into()], &site.hubs(), &site.options, &Told::default(), &Cancel::default());
    assert!(matches!(error, Err(FetchError::Space { .. })), "{error:?}");
    let mut blind = Site::new();
    blind.options.free = |_| Ok(u64::MAX);
    blind.server.publish("a/b/x.bin", bytes(10), Manner { says: Some(u64::MAX - 1), ..lfs() });
    let error = blind.failure("hf:a/b/x.bin");
    assert!(matches!(error, FetchError::Length { got: 10, .. }), "{error:?}");
    assert!(
        blind.files(".flux-part").iter().all(|part| std::fs::metadata(part).expect("it is there").len() == 0)
    );
}

#[test]
fn stopping_keeps_what_came() {
    let mut site = Site::new();
    site.options.piece = 1 << 20;
    let content = bytes(300_000);
    site.server.publish("a/b/x.bin", content.clone(), Manner { stall: Some((200_000, 1)), ..lfs() });
    let cancel = Cancel::default();
    /// Stops as soon as something came.
    struct Stopper<'a>(&'a Cancel);
    impl flux_tui::fetch::Observer for Stopper<'_> {
        fn progress(&self, progress: &flux_tui::fetch::Progress) {
            if progress.done > 0 {
                self.0.stop();
            }
        }
        fn notice(&self, _: &Notice) {}
    }
    let place: Place = "hf:a/b/x.bin".parse().expect("an address");
    let results =
        pull(&[place.into()], &site.hubs(), &site.options, &Stopper(&cancel), &cancel).expect("room");
    assert!(matches!(results[0], Err(FetchError::Cancelled)), "{results:?}");
    site.nothing_is_finished();
    assert_eq!(site.content("hf:a/b/x.bin"), content);
    assert!(starts(&site)[1] > 0);
}
