//! What a hub says about a file before any of it comes: its size, its name by content, its hash, its commit.

use std::io::Read as _;

use serde::Deserialize;
use ureq::http::Method;

use super::digest::Expected;
use super::error::FetchError;
use super::http::{ANSWER_MAX, Answer, Ask, Client, encode};
use super::hubs::{Hubs, Server};
use crate::catalog::{Hub, Place, is_plain_name};

/// A published file as its hub describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    pub place: Place,
    /// Where its bytes are asked for.
    pub url: String,
    /// Bytes.
    pub size: u64,
    /// What the hub names this content by; a plain name.
    pub etag: String,
    /// The commit that the revision is; Hugging Face only.
    pub commit: Option<String>,
    /// What its content must hash to, as far as the hub says.
    pub hash: Option<Expected>,
}

/// Asks the hub about a file.
pub(super) fn describe(client: &Client, hubs: &Hubs, place: &Place) -> Result<Remote, FetchError> {
    place.check()?;
    match place.hub {
        Hub::HuggingFace => huggingface(client, &hubs.huggingface, place),
        Hub::ModelScope => modelscope(client, &hubs.modelscope, place),
    }
}

fn huggingface(client: &Client, server: &Server, place: &Place) -> Result<Remote, FetchError> {
    let Place { repo, revision, path, .. } = place;
    let url =
        format!("{}/{repo}/resolve/{}/{}", server.endpoint, encode(revision, true), encode(path, false));
    let ask =
        Ask { hub: place.hub, server, method: Method::HEAD, url: &url, range: None, only_described: true };
    let answer = client.send(&ask)?;
    if !matches!(answer.status, 200 | 301 | 302 | 303 | 307 | 308) {
        return Err(refusal(client, server, place, answer));
    }
    let missing = |what: &str| FetchError::Answer { host: answer.host(), what: what.to_owned() };
    let etag = answer.header("x-linked-etag").or_else(|| answer.header("etag"));
    let etag = etag.map(|etag| etag.trim().trim_start_matches("W/").trim_matches('"'));
    let etag = etag.filter(|etag| is_plain_name(etag)).ok_or_else(|| missing("no usable ETag"))?;
    let commit = answer.header("x-repo-commit").filter(|commit| is_plain_name(commit));
    let commit = commit.ok_or_else(|| missing("no usable X-Repo-Commit"))?;
    let length = || if answer.status == 200 { answer.number("content-length") } else { None };
    let size = answer.number("x-linked-size").or_else(length).ok_or_else(|| missing("no size"))?;
    // The bytes are asked for by the commit: the branch may move while they come.
    let url = format!("{}/{repo}/resolve/{commit}/{}", server.endpoint, encode(path, false));
    Ok(Remote {
        place: place.clone(),
        size,
        hash: Expected::from_etag(etag),
        etag: etag.to_owned(),
        commit: Some(commit.to_owned()),
        url,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    data: Option<Files>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Files {
    files: Option<Vec<Listed>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    path: String,
    size: Option<u64>,
    sha256: Option<String>,
    revision: Option<String>,
}

/// Asks ModelScope about files that lie in one folder of one revision, by one list: all are described as they were at
/// one moment.
pub(super) fn list(
    client: &Client,
    hubs: &Hubs,
    places: &[&Place],
) -> Result<Vec<Result<Remote, FetchError>>, FetchError> {
    let server = &hubs.modelscope;
    let Some(first) = places.first() else { return Ok(Vec::new()) };
    let (host, listed) = listed(client, server, first)?;
    Ok(places.iter().map(|place| pick(server, place, &host, &listed)).collect())
}

fn modelscope(client: &Client, server: &Server, place: &Place) -> Result<Remote, FetchError> {
    let (host, listed) = listed(client, server, place)?;
    pick(server, place, &host, &listed)
}

/// Who answered, and the files of a place's folder.
fn listed(client: &Client, server: &Server, place: &Place) -> Result<(String, Vec<Listed>), FetchError> {
    let Place { repo, revision, path, .. } = place;
    let base = format!("{}/api/v1/models/{repo}/repo", server.endpoint);
    let revision = encode(revision, true);
    // A list of everything is cut short without a word at some thousands of files: only the file's folder is asked for.
    let root = path.rsplit_once('/').map(|(folder, _)| format!("&Root={}", encode(folder, true)));
    let list = format!("{base}/files?Revision={revision}&Recursive=True{}", root.unwrap_or_default());
    let ask =
        Ask { hub: place.hub, server, method: Method::GET, url: &list, range: None, only_described: false };
    let mut answer = client.send(&ask)?;
    if answer.status != 200 {
        return Err(refusal(client, server, place, answer));
    }
    let host = answer.host();
    let unusable = |what: String| FetchError::Answer { host: host.clone(), what };
    let text =
        read(&mut answer).map_err(|error| unusable(format!("its list of files broke off: {error}")))?;
    let listing: Listing =
        serde_json::from_slice(&text).map_err(|error| unusable(format!("its list of files: {error}")))?;
    Ok((host, listing.data.and_then(|data| data.files).unwrap_or_default()))
}

/// The file of a place among those of its folder.
fn pick(server: &Server, place: &Place, host: &str, listed: &[Listed]) -> Result<Remote, FetchError> {
    let Place { repo, revision, path, .. } = place;
    let unusable = |what: &str| FetchError::Answer { host: host.to_owned(), what: what.to_owned() };
    let Some(file) = listed.iter().find(|file| file.path == *path) else {
        return Err(FetchError::NotFound {
            place: Box::new(place.clone()),
            what: "file",
            page: page(server, place),
        });
    };
    let size = file.size.ok_or_else(|| unusable("no size of the file"))?;
    let hash = file.sha256.as_deref().and_then(Expected::sha256);
    let name = file.sha256.clone().or_else(|| file.revision.clone()).filter(|name| is_plain_name(name));
    let etag = name.ok_or_else(|| unusable("neither hash nor revision of the file"))?;
    let revision = encode(revision, true);
    let base = format!("{}/api/v1/models/{repo}/repo", server.endpoint);
    let url = format!("{base}?Revision={revision}&FilePath={}", encode(path, true));
    Ok(Remote { place: place.clone(), url, size, etag, commit: None, hash })
}

/// An answer's text, as far as it may be long.
fn read(answer: &mut Answer) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    answer.body.as_reader().take(ANSWER_MAX).read_to_end(&mut text)?;
    Ok(text)
}

/// The page of a repository, for a person to open.
fn page(server: &Server, place: &Place) -> String {
    match place.hub {
        Hub::HuggingFace => format!("{}/{}", server.endpoint, place.repo),
        Hub::ModelScope => format!("{}/models/{}", server.endpoint, place.repo),
    }
}

/// Where to get a token and where to put it.
fn advice(server: &Server, hub: Hub) -> String {
    match hub {
        Hub::HuggingFace => format!(
            "Make a token at {}/settings/tokens (it needs to read only) and set HF_TOKEN, or write it to {}",
            server.endpoint,
            server.cache.parent().unwrap_or(&server.cache).join("token").display()
        ),
        Hub::ModelScope => {
            format!("Make a token at {}/my/myaccesstoken and set MODELSCOPE_API_TOKEN", server.endpoint)
        }
    }
}

/// What a status other than success means for a file.
pub(super) fn refusal(client: &Client, server: &Server, place: &Place, answer: Answer) -> FetchError {
    let code = answer.header("x-error-code").unwrap_or_default().to_owned();
    let (host, status) = (answer.host(), answer.status);
    let gate = (code == "GatedRepo").then(|| page(server, place));
    let place = Box::new(place.clone());
    match (status, &server.token) {
        (401, _) if code == "RepoNotFound" && server.token.is_some() => not_found(server, place, &code),
        (401, None) => FetchError::NoToken { advice: advice(server, place.hub), place, gate },
        (401, Some(_)) => FetchError::BadToken { advice: advice(server, place.hub), place, host },
        (403, None) if gate.is_some() => {
            FetchError::NoToken { advice: advice(server, place.hub), place, gate }
        }
        (403, Some(_)) if gate.is_some() => {
            FetchError::Gated { page: page(server, &place), account: account(client, server), place }
        }
        (403, _) => {
            let why = answer.header("x-error-message").unwrap_or("it gives no reason").to_owned();
            FetchError::Forbidden { place, host, why }
        }
        (404 | 410, _) => not_found(server, place, &code),
        (429, _) => FetchError::Limited { host, seconds: retry_after(&answer).unwrap_or(0) },
        _ => FetchError::Status { place, host, status },
    }
}

/// Seconds that the server wants us to wait: a number or a date, as HTTP has both.
fn retry_after(answer: &Answer) -> Option<u64> {
    let text = answer.header("retry-after")?.trim();
    text.parse().ok().or_else(|| {
        let until = jiff::fmt::rfc2822::parse(text).ok()?;
        let seconds = until.timestamp().as_second() - jiff::Timestamp::now().as_second();
        u64::try_from(seconds).ok()
    })
}

fn not_found(server: &Server, place: Box<Place>, code: &str) -> FetchError {
    let what = match code {
        "RepoNotFound" => "repository (or it is private)",
        "RevisionNotFound" => "revision",
        "EntryNotFound" => "file",
        _ => "repository, revision or file",
    };
    FetchError::NotFound { page: page(server, &place), place, what }
}

/// Whose token it is, if Hugging Face says so.
fn account(client: &Client, server: &Server) -> Option<String> {
    #[derive(Deserialize)]
    struct Account {
        name: String,
    }
    let url = format!("{}/api/whoami-v2", server.endpoint);
    let hub = Hub::HuggingFace;
    let ask = Ask { hub, server, method: Method::GET, url: &url, range: None, only_described: false };
    let mut answer = client.send(&ask).ok().filter(|answer| answer.status == 200)?;
    let account: Account = serde_json::from_slice(&read(&mut answer).ok()?).ok()?;
    is_plain_name(&account.name).then_some(account.name)
}
