//! Requests to the hubs. Redirects are followed here and not by the client, for two reasons: what a hub says of a file
//! stands in its redirect, and the token must not follow to another host.

use std::time::Duration;

use ureq::http::{HeaderMap, Method, Request, Uri, header};
use ureq::{Agent, Body, Error};

use super::error::FetchError;
use super::hubs::Server;
use super::network::Network;
use crate::catalog::Hub;

/// More redirects than any hub needs.
const HOPS: usize = 10;
/// Longer headers are an attack.
const HEADERS_MAX: usize = 64 * 1024;
/// Longer answers of an API are not read.
pub(super) const ANSWER_MAX: u64 = 16 << 20;
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// The client. Clones share their connections.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: Agent,
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub hub: Hub,
    /// The server whose token may be sent, to it alone.
    pub server: &'a Server,
    pub method: Method,
    pub url: &'a str,
    /// First and last byte.
    pub range: Option<(u64, u64)>,
    /// Stop at the first answer that says what the file is.
    pub only_described: bool,
}

/// What came back, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    /// Where it came from, after redirects.
    pub url: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Body,
}

impl Answer {
    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A header as a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.trim().parse().ok()
    }

    /// Who gave it.
    pub(super) fn host(&self) -> String {
        host(&self.url)
    }
}

impl Client {
    /// A client that gives up on a server that sends nothing for `stall`.
    ///
    /// # Errors
    /// A file of certificates that cannot be read.
    pub(super) fn new(stall: Duration, network: &Network) -> Result<Self, FetchError> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("flux-tui/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .max_response_header_size(HEADERS_MAX)
            .input_buffer_size(512 * 1024)
            .proxy(network.proxy.clone())
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(stall))
            .timeout_per_write(Some(stall))
            .max_idle_connections_per_host(16);
        if let Some(tls) = network.tls()? {
            config = config.tls_config(tls);
        }
        Ok(Self { agent: config.build().new_agent() })
    }

    /// Ends every request in flight, and those to come.
    pub(super) fn shutdown(&self) {
        self.agent.clone().shutdown();
    }

    /// Sends a request and follows its redirects. The token goes along as long as every hop stays on the server's own
    /// host.
    pub(super) fn send(&self, ask: &Ask<'_>) -> Result<Answer, FetchError> {
        let mut url = ask.url.to_owned();
        let mut at_home = is_on(&url, &ask.server.endpoint);
        for _ in 0..=HOPS {
            let answer = self.once(ask, &url, at_home)?;
            let Some(next) = redirect(&answer)? else { return Ok(answer) };
            let described =
                answer.headers.contains_key("x-linked-etag") || answer.headers.contains_key(header::ETAG);
            if ask.only_described && described {
                return Ok(answer);
            }
            at_home = at_home && is_on(&next, &ask.server.endpoint);
            url = next;
        }
        Err(FetchError::Answer { host: host(&url), what: format!("more than {HOPS} redirects") })
    }

    fn once(&self, ask: &Ask<'_>, url: &str, at_home: bool) -> Result<Answer, FetchError> {
        let mut request = Request::builder().method(ask.method.clone()).uri(url);
        if let Some((first, last)) = ask.range {
            request = request.header(header::RANGE, format!("bytes={first}-{last}"));
        }
        if let (true, Some(token)) = (at_home, &ask.server.token) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()));
            if ask.hub == Hub::ModelScope {
                request = request.header(header::COOKIE, format!("m_session_id={}", token.reveal()));
            }
        }
        let unusable = |what: String| FetchError::Answer { host: host(url), what };
        let request =
            request.body(()).map_err(|error| unusable(format!("{url:?} cannot be asked: {error}")))?;
        let response = self.agent.run(request).map_err(|error| failed(url, &error))?;
        let (parts, body) = response.into_parts();
        Ok(Answer { url: url.to_owned(), status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

/// What a request that got no answer means.
fn failed(url: &str, error: &Error) -> FetchError {
    let host = host(url);
    let why = match error {
        Error::HostNotFound => "there is no such host, or no name server answers".to_owned(),
        Error::Timeout(_) => "it did not answer in time".to_owned(),
        Error::Protocol(error) => return FetchError::Answer { host, what: error.to_string() },
        Error::Io(error) => error.to_string(),
        other => other.to_string(),
    };
    FetchError::Unreachable { host, why }
}

/// Where an answer sends us, if it does.
fn redirect(answer: &Answer) -> Result<Option<String>, FetchError> {
    if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let unusable = |what: &str| FetchError::Answer { host: answer.host(), what: what.to_owned() };
    let location = answer.header("location").ok_or_else(|| unusable("a redirect to nowhere"))?;
    let next = join(&answer.url, location).ok_or_else(|| unusable("a redirect to no address of the web"))?;
    if answer.url.starts_with("https://") && !next.starts_with("https://") {
        return Err(unusable("a redirect from https to http"));
    }
    Ok(Some(next))
}

/// A redirect's target, seen from the address it was found at. `None` when it leads out of the web.
pub(super) fn join(base: &str, location: &str) -> Option<String> {
    let uri: Uri = base.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    if location.starts_with("https://") || location.starts_with("http://") {
        return location.parse::<Uri>().is_ok().then(|| location.to_owned());
    }
    let joined = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.split(['/', '?']).next().is_some_and(|first| first.contains(':')) {
        return None;
    } else {
        let folder = uri.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    joined.parse::<Uri>().is_ok().then_some(joined)
}

/// Whether an address is on the host, port and scheme of an endpoint.
fn is_on(url: &str, endpoint: &str) -> bool {
    let origin = |text: &str| {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?.to_owned();
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        Some((scheme, uri.host()?.to_ascii_lowercase(), port))
    };
    matches!((origin(url), origin(endpoint)), (Some(a), Some(b)) if a == b)
}

/// The host of an address, for sentences.
pub(super) fn host(url: &str) -> String {
    url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_else(|| url.to_owned())
}

/// Text for a URL: all but RFC 3986's unreserved characters is written as `%XX`; slashes only on demand.
pub(super) fn encode(text: &str, slashes_too: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
        if plain || (byte == b'/' && !slashes_too) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_joined_as_browsers_join_it() {
        let at = |location| join("https://a.example:8/x/y?z=1", location);
        assert_eq!(at("https://b.example/c").as_deref(), Some("https://b.example/c"));
        assert_eq!(at("//b.example/c").as_deref(), Some("https://b.example/c"));
        assert_eq!(at("/c?d=e").as_deref(), Some("https://a.example:8/c?d=e"));
        assert_eq!(at("c").as_deref(), Some("https://a.example:8/x/c"));
        assert_eq!(at("file:///etc/passwd"), None);
        assert_eq!(at("javascript:x"), None);
    }

    #[test]
    fn another_host_port_or_scheme_is_not_home() {
        let home = "https://hub.example";
        assert!(is_on("https://HUB.example:443/a/b", home));
        for away in [
            "http://hub.example/a",
            "https://hub.example:8443/a",
            "https://hub.example.evil.example/a",
            "https://evil.example/hub.example",
            "https://hub.example@evil.example/a",
        ] {
            assert!(!is_on(away, home), "{away}");
        }
    }

    #[test]
    fn names_are_written_as_urls_need_them() {
        assert_eq!(encode("a b/测#?.x", false), "a%20b/%E6%B5%8B%23%3F.x");
        assert_eq!(encode("a/b", true), "a%2Fb");
    }
}
