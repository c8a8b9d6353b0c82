//! Refusals of hubs and disks: each says what a person has to do.

use flux_tui::catalog::Place;
use flux_tui::fetch::{Cancel, FetchError, Hubs, pull};

use super::server::{Manner, Server};
use super::support::{Site, Told, bytes};

fn head(status: u16, headers: &str) -> Manner {
    Manner { refuse_head: Some((status, headers.to_owned())), ..Manner::default() }
}

const GATED: &str = "X-Error-Code: GatedRepo\r\n";

#[test]
fn without_a_token_it_is_said_where_to_get_one_and_where_to_put_it() {
    let site = Site::new();
    site.server.publish("a/b/x.bin", bytes(10), head(401, GATED));
    let error = site.failure("hf:a/b/x.bin");
    assert!(matches!(error, FetchError::NoToken { .. }), "{error:?}");
    let said = error.to_string();
    let (page, token) =
        (format!("{}/a/b", site.server.endpoint()), site.home.join(".cache/huggingface/token"));
    for part in [page.as_str(), "HF_TOKEN", "/settings/tokens", &token.display().to_string()] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
}

#[test]
fn a_token_that_the_hub_does_not_know_is_said_to_be_wrong() {
    let mut site = Site::new();
    site.token = Some("hf_wrong");
    site.server.publish("a/b/x.bin", bytes(10), head(401, ""));
    let error = site.failure("hf:a/b/x.bin");
    assert!(matches!(error, FetchError::BadToken { .. }), "{error:?}");
    assert!(!error.to_string().contains("hf_wrong"));
}

#[test]
fn a_gated_model_names_its_page_and_the_account() {
    let mut site = Site::new();
    site.token = Some("hf_somebody");
    site.server.publish("black/FLUX/x.bin", bytes(10), head(403, GATED));
    let said = site.failure("hf:black/FLUX/x.bin").to_string();
    assert!(said.contains(&format!("{}/black/FLUX", site.server.endpoint())), "{said}");
    assert!(said.contains("as somebody"), "{said}");
}

#[test]
fn what_is_not_there_is_named() {
    let site = Site::new();
    let said = site.failure("hf:a/b/x.bin").to_string();
    assert!(said.contains("no such file") && said.contains("hf:a/b/x.bin"), "{said}");
    assert!(matches!(site.failure("ms:a/b/x.bin"), FetchError::NotFound { .. }));
}

#[test]
fn nobody_at_home_is_told_with_a_way_out() {
    let site = Site::new();
    // A port that was ours a moment ago and that nobody listens on.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it has one");
    let hubs = |endpoint: String| {
        Hubs::from_lookup(|name| match name {
            "HOME" => Some(site.home.clone().into()),
            "HF_ENDPOINT" => Some(endpoint.clone().into()),
            _ => None,
        })
        .expect("these can be used")
    };
    let place: Place = "hf:a/b/x.bin".parse().expect("an address");
    for endpoint in [format!("http://{gone}"), "http://no-such-host.invalid".to_owned()] {
        let wanted = [place.clone().into()];
        let results = pull(&wanted, &hubs(endpoint), &site.options, &Told::default(), &Cancel::default());
        let results = results.expect("room");
        assert!(matches!(results[0], Err(FetchError::Unreachable { .. })), "{results:?}");
    }
}

#[test]
fn offline_means_no_request_at_all() {
    let site = Site::new();
    site.server.publish("a/b/x.bin", bytes(10), Manner::default());
    site.server.publish("a/b/y.bin", bytes(20), Manner::default());
    site.content("hf:a/b/x.bin");
    let asked = site.server.seen().len();
    let mut hubs = site.hubs();
    hubs.offline = true;
    let wanted =
        ["hf:a/b/x.bin", "hf:a/b/y.bin"].map(|text| text.parse::<Place>().expect("an address").into());
    let results = pull(&wanted, &hubs, &site.options, &Told::default(), &Cancel::default()).expect("room");
    assert!(results[0].as_ref().is_ok_and(|fetched| fetched.present), "{results:?}");
    assert!(matches!(results[1], Err(FetchError::Offline { .. })), "{results:?}");
    assert_eq!(site.server.seen().len(), asked);
}

#[test]
fn the_token_does_not_follow_to_another_host() {
    let mut site = Site::new();
    site.token = Some("hf_secret");
    let other = Server::start();
    let content = bytes(200_000);
    other.publish("cdn/x", content.clone(), Manner::default());
    // Another name of the same machine is another host, and so is another port.
    let named = format!("{}/cdn/x", other.endpoint().replace("127.0.0.1", "localhost"));
    for (path, elsewhere) in [("y.bin", named), ("z.bin", format!("{}/cdn/x", other.endpoint()))] {
        let address = format!("a/b/{path}");
        let manner = Manner { elsewhere: Some(elsewhere), lfs: true, ..Manner::default() };
        site.server.publish(&address, content.clone(), manner.clone());
        assert_eq!(site.content(&format!("hf:{address}")), content);
        site.server.publish(&address, content.clone(), Manner { lfs: false, ..manner });
        assert_eq!(site.content(&format!("ms:{address}")), content);
    }
    assert!(!other.seen().is_empty());
    for seen in other.seen() {
        assert!(
            !seen.headers.contains_key("authorization") && !seen.headers.contains_key("cookie"),
            "{seen:?}"
        );
    }
    assert!(site.server.seen().iter().all(|seen| seen.headers["authorization"] == "Bearer hf_secret"));
}

#[test]
fn a_redirect_without_end_or_out_of_the_web_is_refused() {
    let site = Site::new();
    let round = Some(format!("{}/a/b/resolve/main/x.bin", site.server.endpoint()));
    site.server.publish("a/b/x.bin", bytes(10), Manner { elsewhere: round, ..Manner::default() });
    assert!(site.failure("hf:a/b/x.bin").to_string().contains("redirects"));
    let file = Some("file:///etc/passwd".to_owned());
    site.server.publish("a/b/y.bin", bytes(10), Manner { elsewhere: file, ..Manner::default() });
    assert!(matches!(site.failure("hf:a/b/y.bin"), FetchError::Answer { .. }));
    site.nothing_is_finished();
}

#[test]
fn a_small_disk_is_seen_before_anything_is_fetched() {
    let mut site = Site::new();
    site.options.free = |_| Ok(99_999);
    site.server.publish("a/b/x.bin", bytes(60_000), Manner::default());
    site.server.publish("a/b/y.bin", bytes(40_000), Manner::default());
    let wanted =
        ["hf:a/b/x.bin", "ms:a/b/y.bin"].map(|text| text.parse::<Place>().expect("an address").into());
    let told = Told::default();
    let error = pull(&wanted, &site.hubs(), &site.options, &told, &Cancel::default()).expect_err("no room");
    assert!(error.to_string().contains("99999 bytes free and 100000 are needed"), "{error}");
    assert!(site.server.gets().is_empty());
    site.options.free = |_| Ok(100_000);
    let done = pull(&wanted, &site.hubs(), &site.options, &told, &Cancel::default()).expect("room");
    assert!(done.iter().all(Result::is_ok), "{done:?}");
}

#[test]
fn names_that_leave_the_cache_are_refused_wherever_they_come_from() {
    let site = Site::new();
    for etag in ["../../../../evil", "a/b", ".hidden", ""] {
        let manner = Manner { etag: Some(etag.to_owned()), lfs: true, ..Manner::default() };
        site.server.publish("a/b/x.bin", bytes(10), manner);
        let error = site.failure("hf:a/b/x.bin");
        assert!(matches!(error, FetchError::Answer { .. }), "{etag:?}: {error:?}");
    }
    let place = Place { path: "../../x".to_owned(), ..("hf:a/b/x".parse::<Place>().expect("an address")) };
    let error = site.pull_told(&place.into(), &Told::default());
    assert!(matches!(error, Err(FetchError::Address(_))), "{error:?}");
    site.nothing_is_finished();
}
