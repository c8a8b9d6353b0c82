//! How the environment wants the network to be used: through which proxy, with which certificates.

use std::ffi::OsString;
use std::path::PathBuf;

use ureq::Proxy;
use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::error::FetchError;

/// Variables that name a proxy, the first that is set counts.
const PROXIES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"];
/// Variables that name hosts that are asked without it.
const WITHOUT: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// Variables that name certificates to trust instead of the built-in ones: proxies of companies have their own.
const CERTIFICATES: [&str; 3] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

/// The way to the hubs.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// `http`, `socks5` and other proxies; a password in it is not shown.
    pub(super) proxy: Option<Proxy>,
    certificates: Option<(&'static str, PathBuf)>,
}

impl Network {
    /// From variables that `lookup` gives.
    ///
    /// # Errors
    /// A proxy's address that is none.
    pub(super) fn from_lookup(lookup: &impl Fn(&str) -> Option<OsString>) -> Result<Self, FetchError> {
        let text = |name: &str| lookup(name).and_then(|value| value.into_string().ok());
        let set = |name: &&'static str| Some((*name, text(name).filter(|value| !value.trim().is_empty())?));
        let except = WITHOUT.iter().find_map(set).map(|(_, value)| value).unwrap_or_default();
        let proxy = PROXIES.iter().find_map(set).map(|(name, value)| {
            let works = "an address such as http://host:3128 or socks5h://host:1080";
            // The value may hold a password: it is not repeated.
            proxy(value.trim(), &except).ok_or(FetchError::Setting { name, value: "…".to_owned(), works })
        });
        let file =
            |name: &&'static str| Some((*name, lookup(name).filter(|value| !value.is_empty())?.into()));
        Ok(Self { proxy: proxy.transpose()?, certificates: CERTIFICATES.iter().find_map(file) })
    }

    /// The certificates to trust, if others than the built-in ones.
    ///
    /// # Errors
    /// A file that cannot be read or has none in it.
    pub(super) fn tls(&self) -> Result<Option<TlsConfig>, FetchError> {
        let Some((name, path)) = &self.certificates else { return Ok(None) };
        let unusable = || FetchError::Setting {
            name,
            value: path.display().to_string(),
            works: "a file of certificates in PEM form",
        };
        let pem = std::fs::read(path).map_err(|_| unusable())?;
        let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if certificates.is_empty() {
            return Err(unusable());
        }
        Ok(Some(TlsConfig::builder().root_certs(RootCerts::from(certificates)).build()))
    }
}

/// A proxy by its address, for all hosts but those of the list.
fn proxy(address: &str, except: &str) -> Option<Proxy> {
    let plain = Proxy::new(address).ok()?;
    let uri: &Uri = plain.uri();
    let mut builder = Proxy::builder(plain.protocol()).host(uri.host()?).port(plain.port());
    if let Some(name) = plain.username() {
        builder = builder.username(name);
    }
    if let Some(password) = plain.password() {
        builder = builder.password(password);
    }
    for host in except.split(',').map(str::trim).filter(|host| !host.is_empty()) {
        builder = builder.no_proxy(host);
        // Elsewhere `example.com` means its subdomains too.
        if !host.starts_with(['.', '*']) {
            builder = builder.no_proxy(&format!(".{host}"));
        }
    }
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(pairs: &[(&str, &str)]) -> Result<Network, FetchError> {
        Network::from_lookup(&|name: &str| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_proxy_of_https_comes_first_and_knows_its_exceptions() {
        let network = network(&[
            ("ALL_PROXY", "socks5h://all.example:1080"),
            ("HTTPS_PROXY", "http://me:p%40ss@proxy.example:3128"),
            ("NO_PROXY", "127.0.0.1, hub.example"),
        ]);
        let proxy = network.expect("a proxy").proxy.expect("one is set");
        assert_eq!((proxy.host(), proxy.port(), proxy.password()), ("proxy.example", 3128, Some("p@ss")));
        let around = |url: &'static str| proxy.is_no_proxy(&Uri::from_static(url));
        assert!(
            around("http://127.0.0.1:8/")
                && around("https://hub.example/")
                && around("https://a.hub.example/")
        );
        assert!(!around("https://other.example/"));
    }

    #[test]
    fn a_proxy_that_is_none_is_refused_without_its_password() {
        let error =
            network(&[("https_proxy", "gopher://me:secret@host")]).expect_err("no such proxy").to_string();
        assert!(error.contains("https_proxy") && !error.contains("secret"), "{error}");
        assert!(network(&[]).expect("nothing is set").proxy.is_none());
    }
}
