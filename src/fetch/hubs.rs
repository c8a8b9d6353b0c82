//! What the environment says about the hubs: where they are, whose token is sent, and where their caches lie.
//!
//! The variables are those of the hubs' own tools, so that a machine that is set up for them is set up for us.
//!
//! | what | Hugging Face | ModelScope |
//! |---|---|---|
//! | server or mirror | `HF_ENDPOINT` | `MODELSCOPE_ENDPOINT`, `MODELSCOPE_DOMAIN` |
//! | token | `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, the file `HF_TOKEN_PATH` or `$HF_HOME/token` | `MODELSCOPE_API_TOKEN` |
//! | cache | `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `$HF_HOME/hub` | `MODELSCOPE_CACHE` |
//! | no network | `HF_HUB_OFFLINE` | |
//! | seconds without a byte | `HF_HUB_DOWNLOAD_TIMEOUT` | |
//!
//! Proxies and certificates: `network.rs`.

use std::ffi::OsString;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::FetchError;
use super::network::Network;
use crate::catalog::Hub;

/// How long a server may send nothing, unless `HF_HUB_DOWNLOAD_TIMEOUT` says otherwise.
const STALL: Duration = Duration::from_secs(20);
/// Longer tokens are none.
const TOKEN_MAX: u64 = 4096;

/// Both hubs as the environment has them.
#[derive(Debug, Clone)]
pub struct Hubs {
    /// huggingface.co or a mirror. Its cache is the folder with `models--ORG--NAME` in it.
    pub huggingface: Server,
    /// modelscope.cn. Its cache is the folder with `models` in it.
    pub modelscope: Server,
    /// Whether a person forbade the network.
    pub offline: bool,
    /// How long a server may send nothing.
    pub stall: Duration,
    /// Proxy and certificates.
    pub network: Network,
}

/// One hub.
#[derive(Debug, Clone)]
pub struct Server {
    /// `https://host`, without a slash at the end.
    pub endpoint: String,
    /// Sent to that endpoint and to nobody else.
    pub token: Option<Token>,
    /// The root of its cache.
    pub cache: PathBuf,
    /// The folder below which new files go; another only for ModelScope, whose tools have used two.
    pub models: PathBuf,
}

/// A token. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// From what a person wrote; `None` when it is empty or could not be sent.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty() && text.chars().all(|c| c.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Hubs {
    /// From the environment.
    ///
    /// # Errors
    /// A variable that cannot be used, and a missing `HOME` where the caches need one.
    pub fn from_env() -> Result<Self, FetchError> {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// From variables that `lookup` gives.
    ///
    /// # Errors
    /// As [`Self::from_env`].
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, FetchError> {
        let lookup = &lookup;
        Ok(Self {
            huggingface: huggingface(lookup)?,
            modelscope: modelscope(lookup)?,
            offline: text(lookup, "HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
            stall: stall(lookup)?,
            network: Network::from_lookup(lookup)?,
        })
    }

    /// That hub.
    #[must_use]
    pub fn server(&self, hub: Hub) -> &Server {
        match hub {
            Hub::HuggingFace => &self.huggingface,
            Hub::ModelScope => &self.modelscope,
        }
    }
}

fn huggingface(lookup: &impl Fn(&str) -> Option<OsString>) -> Result<Server, FetchError> {
    let home = match (path(lookup, "HF_HOME"), path(lookup, "XDG_CACHE_HOME")) {
        (Some(home), _) => home,
        (None, Some(cache)) => cache.join("huggingface"),
        (None, None) => below_home(lookup, ".cache/huggingface")?,
    };
    let cache = path(lookup, "HF_HUB_CACHE").or_else(|| path(lookup, "HUGGINGFACE_HUB_CACHE"));
    let cache = cache.unwrap_or_else(|| home.join("hub"));
    let file = path(lookup, "HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
    let named = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].iter().find_map(|name| text(lookup, name));
    let token = named.and_then(|text| Token::new(&text)).or_else(|| token_file(&file));
    let endpoint = endpoint(lookup, "HF_ENDPOINT")?.unwrap_or_else(|| "https://huggingface.co".to_owned());
    Ok(Server { endpoint, token, models: cache.clone(), cache })
}

fn modelscope(lookup: &impl Fn(&str) -> Option<OsString>) -> Result<Server, FetchError> {
    // Named by a person, `models` is right below it; else there is a `hub` in between.
    let (cache, models) = match path(lookup, "MODELSCOPE_CACHE") {
        Some(cache) => (cache.clone(), cache.join("models")),
        None => {
            let cache = below_home(lookup, ".cache/modelscope")?;
            (cache.clone(), cache.join("hub/models"))
        }
    };
    let endpoint = match endpoint(lookup, "MODELSCOPE_ENDPOINT")? {
        Some(endpoint) => Some(endpoint),
        None => endpoint(lookup, "MODELSCOPE_DOMAIN")?,
    };
    let endpoint = endpoint.unwrap_or_else(|| "https://www.modelscope.cn".to_owned());
    let token = text(lookup, "MODELSCOPE_API_TOKEN").and_then(|text| Token::new(&text));
    Ok(Server { endpoint, token, cache, models })
}

fn text(lookup: &impl Fn(&str) -> Option<OsString>, name: &str) -> Option<String> {
    lookup(name).and_then(|value| value.into_string().ok()).filter(|value| !value.trim().is_empty())
}

/// A folder; `~` is the home, as in the hubs' own tools.
fn path(lookup: &impl Fn(&str) -> Option<OsString>, name: &str) -> Option<PathBuf> {
    let value = PathBuf::from(lookup(name).filter(|value| !value.is_empty())?);
    let value = match (value.strip_prefix("~"), lookup("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => value,
    };
    std::path::absolute(value).ok()
}

fn below_home(lookup: &impl Fn(&str) -> Option<OsString>, folder: &str) -> Result<PathBuf, FetchError> {
    let home = path(lookup, "HOME").ok_or(FetchError::Setting {
        name: "HOME",
        value: String::new(),
        works: "an absolute path, or HF_HOME and MODELSCOPE_CACHE instead",
    })?;
    Ok(home.join(folder))
}

/// A server's address; a bare host gets `https`.
fn endpoint(
    lookup: &impl Fn(&str) -> Option<OsString>,
    name: &'static str,
) -> Result<Option<String>, FetchError> {
    let Some(value) = text(lookup, name) else { return Ok(None) };
    let whole = value.trim();
    let url = if whole.contains("://") { whole.to_owned() } else { format!("https://{whole}") };
    let url = url.trim_end_matches('/').to_owned();
    let web = url.starts_with("http://") || url.starts_with("https://");
    let host =
        url.parse::<ureq::http::Uri>().is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    if web && host && !url.contains(['?', '#', '@']) {
        Ok(Some(url))
    } else {
        Err(FetchError::Setting { name, value, works: "a server's address such as https://huggingface.co" })
    }
}

fn token_file(path: &Path) -> Option<Token> {
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(TOKEN_MAX).read_to_string(&mut text).ok()?;
    Token::new(&text)
}

fn stall(lookup: &impl Fn(&str) -> Option<OsString>) -> Result<Duration, FetchError> {
    let name = "HF_HUB_DOWNLOAD_TIMEOUT";
    let Some(value) = text(lookup, name) else { return Ok(STALL) };
    match value.trim().parse::<u32>() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds.into())),
        _ => Err(FetchError::Setting { name, value, works: "a whole number of seconds from 1 up" }),
    }
}

fn is_true(value: &str) -> bool {
    matches!(value.trim().to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hubs(pairs: &[(&str, &str)]) -> Result<Hubs, FetchError> {
        let pairs: Vec<_> =
            pairs.iter().map(|&(name, value)| (name.to_owned(), OsString::from(value))).collect();
        Hubs::from_lookup(|name| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
    }

    #[test]
    fn caches_are_where_the_hubs_tools_have_them() {
        let plain = hubs(&[("HOME", "/home/测试 目录")]).expect("a home");
        assert_eq!(plain.huggingface.cache, Path::new("/home/测试 目录/.cache/huggingface/hub"));
        assert_eq!(plain.modelscope.models, Path::new("/home/测试 目录/.cache/modelscope/hub/models"));
        let named = [("HOME", "/h"), ("HF_HOME", "~/hf"), ("MODELSCOPE_CACHE", "/ms")];
        let named = hubs(&named).expect("a home");
        assert_eq!(named.huggingface.cache, Path::new("/h/hf/hub"));
        assert_eq!(named.modelscope.models, Path::new("/ms/models"));
        let one = hubs(&[("HOME", "/h"), ("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/hub")]).expect("a home");
        assert_eq!(one.huggingface.cache, Path::new("/hub"));
    }

    #[test]
    fn a_token_is_never_shown() {
        let hubs = hubs(&[("HOME", "/h"), ("HUGGING_FACE_HUB_TOKEN", " hf_secret\n")]).expect("a home");
        assert_eq!(hubs.huggingface.token.as_ref().map(Token::reveal), Some("hf_secret"));
        assert!(!format!("{hubs:?}").contains("secret"));
        assert_eq!(Token::new("two words"), None);
    }

    #[test]
    fn a_mirror_may_be_named_with_or_without_a_scheme() {
        let of = |name, value| hubs(&[("HOME", "/h"), (name, value)]);
        assert_eq!(
            of("HF_ENDPOINT", "https://m.example/").expect("an address").huggingface.endpoint,
            "https://m.example"
        );
        let domain = of("MODELSCOPE_DOMAIN", "m.example").expect("an address");
        assert_eq!(domain.modelscope.endpoint, "https://m.example");
        for bad in ["ftp://x", "https://user@x", "https://", "https://a b"] {
            assert!(matches!(of("HF_ENDPOINT", bad), Err(FetchError::Setting { .. })), "{bad}");
        }
        assert!(of("HF_HUB_DOWNLOAD_TIMEOUT", "0").is_err());
        assert!(of("HF_HUB_OFFLINE", "1").expect("a home").offline);
    }
}
