//! Where files come to, what is shared, and that several connections put them together right.

use std::time::Duration;

use flux_tui::catalog::{Hub, Place};
use flux_tui::fetch::{Cancel, FetchError, Options, Wanted, pull};

use super::server::{COMMIT, Manner, sha256};
use super::support::{Site, Told, bytes};

fn lfs() -> Manner {
    Manner { lfs: true, ..Manner::default() }
}

#[test]
fn hugging_faces_cache_is_as_its_tools_make_it() {
    let site = Site::new();
    let content = bytes(300_000);
    site.server.publish("org/name.1/vae/测试 x.bin", content.clone(), lfs());
    let fetched = site.pull("hf:org/name.1/vae/测试 x.bin").expect("it comes");
    let repo = site.home.join(".cache/huggingface/hub/models--org--name.1");
    assert_eq!(fetched.file, repo.join("snapshots").join(COMMIT).join("vae/测试 x.bin"));
    assert_eq!(std::fs::read(&fetched.file).expect("it is there"), content);
    let link = std::fs::read_link(&fetched.file).expect("it is a link");
    assert_eq!(link, std::path::Path::new("../../../blobs").join(sha256(&content)));
    assert_eq!(std::fs::read_to_string(repo.join("refs/main")).expect("it is there"), COMMIT);
    assert_eq!(fetched.hash.as_deref(), Some(sha256(&content).as_str()));
    assert_eq!(site.files(".flux-part").len() + site.files(".json").len(), 0, "nothing is left over");

    let again = site.pull("hf:org/name.1/vae/测试 x.bin").expect("it is there");
    assert!(again.present && again.file == fetched.file);
    let gets = site.server.gets().len();
    site.server.publish("org/name.1/same.bin", content, lfs());
    let same = site.pull("hf:org/name.1/same.bin").expect("its content is there");
    assert!(same.present && same.file != fetched.file);
    assert_eq!(site.server.gets().len(), gets, "one content is fetched once");
}

#[test]
fn small_files_are_checked_by_gits_hash() {
    let site = Site::new();
    site.server.publish("a/b/config.json", b"{}".to_vec(), Manner::default());
    assert_eq!(site.content("hf:a/b/config.json"), b"{}");
    let etag = Some("1".repeat(40));
    site.server.publish("a/b/other.json", b"{}".to_vec(), Manner { etag, ..Manner::default() });
    assert!(matches!(site.failure("hf:a/b/other.json"), FetchError::Hash { .. }));
    site.server.publish("a/b/empty", Vec::new(), Manner::default());
    assert_eq!(site.content("hf:a/b/empty"), b"");
}

#[test]
fn modelscopes_cache_is_as_its_tools_make_it() {
    let mut site = Site::new();
    site.token = Some("ms-token");
    let content = bytes(200_000);
    site.server.publish("org/name.1/vae/x.bin", content.clone(), Manner::default());
    let fetched = site.pull("ms:org/name.1/vae/x.bin").expect("it comes");
    assert_eq!(fetched.file, site.home.join(".cache/modelscope/hub/models/org/name___1/vae/x.bin"));
    assert_eq!(std::fs::read(&fetched.file).expect("it is there"), content);
    assert_eq!(fetched.hash.as_deref(), Some(sha256(&content).as_str()));
    let list = &site.server.seen()[0];
    assert!(list.path.contains("Recursive=True") && list.path.contains("Root=vae"), "{list:?}");
    assert_eq!(list.headers.get("cookie").map(String::as_str), Some("m_session_id=ms-token"));
    assert!(site.pull("ms:org/name.1/vae/x.bin").expect("it is there").present);
}

#[test]
fn several_connections_put_a_file_together_right() {
    let mut site = Site::new();
    site.options.connections = 4;
    let content = bytes(1_000_003);
    let pace = Some((32 * 1024, Duration::from_millis(3)));
    site.server.publish("a/b/x.bin", content.clone(), Manner { pace, ..lfs() });
    assert_eq!(site.content("hf:a/b/x.bin"), content);
    assert_eq!(site.server.gets().len(), 1_000_003_usize.div_ceil(64 * 1024), "each piece is asked for once");
    assert!((2..=4).contains(&site.server.busiest()), "{} at once", site.server.busiest());
}

#[test]
fn a_server_without_ranges_gives_the_file_in_one_stream() {
    let site = Site::new();
    let content = bytes(500_000);
    let cut = Some((100_000, 1));
    site.server.publish("a/b/x.bin", content.clone(), Manner { no_ranges: true, cut, ..lfs() });
    assert_eq!(site.content("hf:a/b/x.bin"), content);
    assert_eq!(site.server.busiest(), 1);
}

#[test]
fn what_the_catalogue_knows_is_held_against_the_hub() {
    let site = Site::new();
    let content = bytes(1_000);
    site.server.publish("a/b/x.bin", content.clone(), lfs());
    let place: Place = "hf:a/b/x.bin".parse().expect("an address");
    let wanted = |bytes, sha256| Wanted { places: vec![place.clone()], bytes, sha256 };
    let told = Told::default();
    let failed = |wanted| site.pull_told(&wanted, &told).expect_err("it is another file");
    assert!(matches!(failed(wanted(Some(999), None)), FetchError::Changed { .. }));
    assert!(matches!(failed(wanted(None, Some("0".repeat(64)))), FetchError::Changed { .. }));
    site.nothing_is_finished();
    let right = wanted(Some(1_000), Some(sha256(&content)));
    assert!(!site.pull_told(&right, &told).expect("it is the file").present);
    let asked = site.server.seen().len();
    assert!(site.pull_told(&right, &told).expect("it is there").present);
    assert_eq!(site.server.seen().len(), asked, "a known file that is there needs no network");
}

#[test]
fn the_next_hub_is_asked_when_one_does_not_have_it() {
    let site = Site::new();
    let content = bytes(5_000);
    site.server.publish("ms/only/x.bin", content.clone(), Manner::default());
    let places: Vec<Place> =
        ["hf:hf/only/x.bin", "ms:ms/only/x.bin"].map(|text| text.parse().expect("an address")).into();
    let wanted = Wanted { places, bytes: Some(5_000), sha256: Some(sha256(&content)) };
    let fetched = site.pull_told(&wanted, &Told::default()).expect("ModelScope has it");
    assert_eq!(fetched.place.hub, Hub::ModelScope);
    let only = Options { only: Some(Hub::HuggingFace), ..site.options.clone() };
    let other = Site::new();
    let results = pull(&[wanted], &other.hubs(), &only, &Told::default(), &Cancel::default()).expect("room");
    assert!(matches!(results[0], Err(FetchError::NotFound { .. })), "{results:?}");
}

#[test]
fn progress_grows_to_the_whole() {
    let site = Site::new();
    // Slow enough to be told about several times.
    let pace = Some((16 * 1024, Duration::from_millis(50)));
    site.server.publish("a/b/x.bin", bytes(600_000), Manner { pace, ..lfs() });
    let told = Told::default();
    let place: Place = "hf:a/b/x.bin".parse().expect("an address");
    site.pull_told(&place.into(), &told).expect("it comes");
    let progress = told.1.lock().expect("no panic");
    assert!(progress.windows(2).all(|pair| pair[0].done <= pair[1].done), "{progress:?}");
    let last = progress.last().expect("something was told");
    assert_eq!((last.done, last.total), (600_000, 600_000));
    assert!(progress.iter().any(|progress| progress.speed > 0.0 && !progress.files.is_empty()));
}

/// An index and two shards, at one hub in one repository and at the other in another.
fn sharded(site: &Site, away: &str, away_manner: Manner) -> Vec<Wanted> {
    let names = ["m.safetensors.index.json", "m-1-of-2.safetensors", "m-2-of-2.safetensors"];
    for (at, name) in names.iter().enumerate() {
        for repo in ["a/b", "c/d"] {
            let manner = if *name == away && repo == "a/b" { away_manner.clone() } else { lfs() };
            // Another revision: the same names and sizes, other bytes.
            let mut content = bytes(50_000 + at);
            content[0] = repo.as_bytes()[0];
            site.server.publish(&format!("{repo}/{name}"), content, manner);
        }
    }
    let places = |name: &&str| {
        [format!("hf:a/b/{name}"), format!("ms:c/d/{name}")].map(|place| place.parse().expect("an address"))
    };
    names.iter().map(|name| Wanted { places: places(name).to_vec(), bytes: None, sha256: None }).collect()
}

fn hubs_of(site: &Site, wanted: &[Wanted]) -> Vec<Hub> {
    let done = pull(wanted, &site.hubs(), &site.options, &Told::default(), &Cancel::default());
    let done = done.expect("there is room").into_iter().map(|one| one.expect("it comes"));
    done.map(|one| one.place.hub).collect()
}

#[test]
fn an_index_and_its_shards_come_from_one_hub() {
    let site = Site::new();
    let wanted = sharded(&site, "", lfs());
    assert_eq!(hubs_of(&site, &wanted), [Hub::HuggingFace; 3]);
    let described = Site::new();
    let gone = Manner { refuse_head: Some((404, "X-Error-Code: EntryNotFound\r\n".into())), ..lfs() };
    let wanted = sharded(&described, "m-1-of-2.safetensors", gone);
    assert_eq!(hubs_of(&described, &wanted), [Hub::ModelScope; 3], "one is not described");
    assert!(
        described.server.gets().iter().all(|seen| !seen.path.contains("a/b")),
        "nothing came of the other"
    );
    let broken = Site::new();
    let refuse = Some((403, String::new(), u32::MAX));
    let wanted = sharded(&broken, "m-2-of-2.safetensors", Manner { refuse, ..lfs() });
    assert_eq!(hubs_of(&broken, &wanted), [Hub::ModelScope; 3], "one is described and does not come");
}

#[test]
fn a_shard_that_no_hub_has_keeps_its_companions_away() {
    let site = Site::new();
    let mut wanted = sharded(&site, "", lfs());
    wanted[2].places = ["hf:a/b/none.safetensors", "ms:c/d/none.safetensors"]
        .map(|place| place.parse().expect("an address"))
        .to_vec();
    let done = pull(&wanted, &site.hubs(), &site.options, &Told::default(), &Cancel::default());
    let done = done.expect("there is room");
    for one in &done[..2] {
        let said = one.as_ref().expect_err("it is of no use").to_string();
        assert!(
            matches!(one, Err(FetchError::Companion { .. })) && said.contains("none.safetensors"),
            "{said}"
        );
    }
    assert!(matches!(&done[2], Err(FetchError::Nowhere { each }) if each.len() == 2), "{:?}", done[2]);
    site.nothing_is_finished();
}
