//! The real program against the server: killed, interrupted, twice at once, checked, removed.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::home::{Home, finish, start};
use super::server::{Manner, Server, sha256};
use super::support::bytes;

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(60);

struct Site {
    home: Home,
    server: Server,
}

impl Site {
    fn new() -> Self {
        Self { home: Home::new(), server: Server::start() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.command(arguments);
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy().to_ascii_uppercase();
            if ["HF_", "HUGGING", "MODELSCOPE_"].iter().any(|start| name_text.starts_with(start))
                || name_text.ends_with("_PROXY")
                || name_text == "XDG_CACHE_HOME"
            {
                command.env_remove(name);
            }
        }
        let endpoint = self.server.endpoint();
        command.env("HF_ENDPOINT", &endpoint).env("MODELSCOPE_ENDPOINT", &endpoint);
        command
    }

    fn run(&self, arguments: &[&str]) -> super::home::Ran {
        finish(start(&mut self.command(arguments)))
    }

    /// The record beside the part of that content.
    fn record(&self, content: &[u8]) -> std::path::PathBuf {
        self.record_of("a--b", content)
    }

    fn record_of(&self, repo: &str, content: &[u8]) -> std::path::PathBuf {
        let hub = self.home.path().join(".cache/huggingface/hub");
        hub.join(format!("models--{repo}")).join("blobs").join(format!("{}.flux-part.json", sha256(content)))
    }

    /// Waits until the record says that something came.
    fn until_something_came(&self, content: &[u8]) {
        self.until_something_came_of("a--b", content);
    }

    fn until_something_came_of(&self, repo: &str, content: &[u8]) {
        until("the record says that something came", || {
            let text = std::fs::read_to_string(self.record_of(repo, content)).unwrap_or_default();
            let record: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            record["have"].as_array().is_some_and(|have| !have.is_empty())
        });
    }
}

#[track_caller]
fn until(what: &str, mut wanted: impl FnMut() -> bool) {
    let end = Instant::now() + WITHIN;
    while !wanted() {
        assert!(Instant::now() < end, "not within {WITHIN:?}: {what}");
        std::thread::yield_now();
    }
}

fn slow() -> Manner {
    Manner { pace: Some((64 * 1024, Duration::from_millis(40))), lfs: true, ..Manner::default() }
}

fn fast() -> Manner {
    Manner { lfs: true, ..Manner::default() }
}

#[test]
fn files_of_both_hubs_come_and_are_told_as_json() {
    let site = Site::new();
    let content = bytes(300_000);
    site.server.publish("a/b/c d/x.bin", content.clone(), fast());
    let ran = site.run(&["models", "pull", "hf:a/b/c d/x.bin", "ms:a/b/c d/x.bin", "--json"]);
    ran.done();
    let told = ran.json();
    for file in told["files"].as_array().expect("a list") {
        assert_eq!((&file["outcome"], &file["bytes"]), (&"fetched".into(), &300_000.into()));
        let path = file["file"].as_str().expect("a path");
        assert!(path.starts_with(site.home.path().to_str().expect("it is text")), "{path}");
        assert_eq!(std::fs::read(path).expect("it is there"), content);
    }
    let again = site.run(&["models", "pull", "hf:a/b/c d/x.bin"]);
    assert!(again.done().contains("was there already"), "{again:?}");
}

#[test]
fn a_killed_program_is_gone_on_with() {
    let site = Site::new();
    let content = bytes(6_000_000);
    site.server.publish("a/b/x.bin", content.clone(), slow());
    let mut child = start(&mut site.command(&["models", "pull", "hf:a/b/x.bin"]));
    site.until_something_came(&content);
    child.kill().expect("SIGKILL can be sent");
    child.wait().expect("it ends");
    assert!(!site.run(&["models", "verify"]).stdout.contains("x.bin"), "a half file is no file");
    site.server.publish("a/b/x.bin", content.clone(), fast());
    let ran = site.run(&["models", "pull", "hf:a/b/x.bin"]);
    ran.done();
    assert!(ran.stderr.contains("going on with hf:a/b/x.bin"), "{ran:?}");
    let file = ran.stdout.split(" (").next().expect("a path");
    assert_eq!(std::fs::read(file).expect("it is there"), content);
    let last = site.server.gets().pop().expect("it was asked for");
    assert!(!last.headers["range"].starts_with("bytes=0-"), "{last:?}");
}

#[test]
fn a_half_fetched_model_is_listed_and_removed_with_its_bytes() {
    let site = Site::new();
    let content = bytes(3_000_000);
    let address = "city96/FLUX.1-dev-gguf/flux1-dev-Q2_K.gguf";
    site.server.publish(address, content.clone(), slow());
    let none = site.run(&["models", "list"]);
    assert!(!none.done().contains("half fetched"), "{none:?}");
    // The encoders and the VAE are nowhere: only the transformer comes.
    let mut child = start(&mut site.command(&["models", "pull", "flux1-dev-q2"]));
    site.until_something_came_of("city96--FLUX.1-dev-gguf", &content);
    let busy = site.run(&["models", "remove", "flux1-dev-q2", "--yes"]);
    assert!(busy.done().contains("another process is fetching it"), "{busy:?}");
    child.kill().expect("SIGKILL can be sent");
    child.wait().expect("it ends");
    let list = site.run(&["models", "list"]);
    let listed = list.done();
    assert!(listed.contains("half fetched: ") && listed.contains(" MB"), "{listed}");
    let models = site.run(&["models", "list", "--json"]).json();
    let models = models["models"].as_array().expect("a list").clone();
    let q2 = models.iter().find(|model| model["name"] == "flux1-dev-q2").expect("it is listed");
    let have = q2["half_fetched"]["have"].as_u64().expect("a number");
    assert!((1..3_000_000).contains(&have), "{q2}");
    let refused = site.run(&["models", "remove", "flux1-dev-q2"]);
    refused.ended_with(1, &["--yes"]);
    assert!(refused.stdout.contains("of 3.0 MB, unfinished"), "{refused:?}");
    let removed = site.run(&["models", "remove", "flux1-dev-q2", "--yes", "--json"]).json();
    assert_eq!(removed["freed"].as_u64(), Some(have));
    assert_eq!(removed["unfinished"].as_array().map(Vec::len), Some(1));
    let left = site.run(&["models", "remove", "flux1-dev-q2", "--yes"]);
    left.refused_with(&["nothing of flux1-dev-q2 was fetched"]);
}

#[test]
fn ctrl_c_ends_at_once_and_keeps_what_came() {
    let site = Site::new();
    let content = bytes(6_000_000);
    site.server.publish("a/b/x.bin", content.clone(), slow());
    let child = start(&mut site.command(&["models", "pull", "hf:a/b/x.bin"]));
    site.until_something_came(&content);
    // Then nothing more comes, and it must end all the same.
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .stderr(Stdio::null())
            .status()
            .expect("kill is there")
            .success()
    );
    let ran = finish(child);
    ran.ended_with(130, &["interrupted", "is kept"]);
    assert!(site.record(&content).exists());
}

#[test]
fn the_second_of_two_programs_waits_for_the_first() {
    let site = Site::new();
    let content = bytes(2_000_000);
    site.server.publish("a/b/x.bin", content, slow());
    let pull = || start(&mut site.command(&["models", "pull", "hf:a/b/x.bin", "--json"]));
    let (one, two) = (pull(), pull());
    let (one, two) = (finish(one), finish(two));
    one.done();
    two.done();
    let outcome = |ran: &super::home::Ran| ran.json()["files"][0]["outcome"].as_str().map(str::to_owned);
    let mut outcomes = [outcome(&one), outcome(&two)];
    outcomes.sort();
    assert_eq!(outcomes, [Some("fetched".to_owned()), Some("present".to_owned())]);
    assert!(
        [&one, &two].iter().any(|ran| ran.stderr.contains("another process is fetching")),
        "{one:?} {two:?}"
    );
    assert_eq!(site.server.gets().len(), 1, "it is fetched once");
}

#[test]
fn a_damaged_file_is_found_and_removed_and_fetched_again() {
    let site = Site::new();
    let content = bytes(100_000);
    site.server.publish("a/b/x.bin", content.clone(), fast());
    site.server.publish("a/b/config.json", b"{}".to_vec(), Manner::default());
    site.run(&["models", "pull", "hf:a/b/x.bin", "hf:a/b/config.json", "ms:a/b/x.bin"]).done();
    assert_eq!(site.run(&["models", "verify"]).done().matches(": right").count(), 3);
    let blob = site.record(&content).with_file_name(sha256(&content));
    let mut damaged = content.clone();
    damaged[5_000] ^= 1;
    std::fs::write(&blob, damaged).expect("room");
    let ran = site.run(&["models", "verify"]);
    ran.ended_with(1, &["1 of 3 files"]);
    assert!(ran.stdout.contains("WRONG") && ran.stdout.contains(&sha256(&content)), "{ran:?}");
    let by_path = site.run(&["models", "verify", blob.to_str().expect("it is text"), "--json"]);
    assert_eq!(by_path.json()["files"][0]["verdict"], "wrong");

    let refused = site.run(&["models", "remove", "hf:a/b/x.bin"]);
    refused.ended_with(1, &["--yes"]);
    assert!(refused.stdout.contains("goes") && blob.exists(), "{refused:?}");
    let removed = site.run(&["models", "remove", "hf:a/b/x.bin", "--yes", "--json"]);
    assert_eq!(removed.json()["freed"], 100_000);
    assert!(!blob.exists());
    site.run(&["models", "remove", "hf:a/b/x.bin", "--yes"])
        .refused_with(&["nothing of hf:a/b/x.bin was fetched"]);
    site.run(&["models", "pull", "hf:a/b/x.bin"]).done();
    assert_eq!(std::fs::read(&blob).expect("it is there again"), content);
}

#[test]
fn each_failure_of_several_is_said_and_the_rest_comes() {
    let site = Site::new();
    site.server.publish("a/b/x.bin", bytes(10), fast());
    let ran = site.run(&["models", "pull", "hf:a/b/none", "hf:a/b/x.bin", "ms:a/b/none"]);
    ran.ended_with(
        1,
        &["hf:a/b/none: there is no such file", "ms:a/b/none: there is no such file", "2 of 3 files"],
    );
    assert!(ran.stdout.contains("x.bin"), "{ran:?}");
}

#[test]
fn words_that_mean_nothing_are_usage_errors() {
    let site = Site::new();
    site.run(&["models", "pull", "no-such-model"]).refused_with(&[
        "no-such-model",
        "flux1-dev",
        "hf:ORG/NAME/PATH",
    ]);
    site.run(&["models", "pull", "hf:a/b/../../x"]).refused_with(&["leaves the repository"]);
    let mut command = site.command(&["models", "pull", "hf:a/b/x"]);
    command.env("HF_ENDPOINT", "gopher://x");
    finish(start(&mut command)).refused_with(&["HF_ENDPOINT", "gopher://x"]);
}

#[test]
fn a_published_file_is_fetched_checked_and_removed_by_its_name() {
    let site = Site::new();
    let content = bytes(50_000);
    site.server.publish("city96/FLUX.1-dev-gguf/flux1-dev-Q2_K.gguf", content.clone(), fast());
    let told = site.run(&["models", "pull", "flux1-dev-q2", "--json"]).json();
    assert_eq!(
        (&told["files"][0]["asked"], &told["files"][0]["outcome"]),
        (&"flux1-dev-q2".into(), &"fetched".into())
    );
    let path = told["files"][0]["file"].as_str().expect("a path").to_owned();
    assert!(site.run(&["models", "verify", "flux1-dev-q2"]).done().contains(": right"));
    std::fs::write(&path, &content[..40_000]).expect("room");
    let cut = site.run(&["models", "verify", "flux1-dev-q2"]);
    cut.ended_with(1, &["1 of 1 files"]);
    assert!(cut.stdout.contains("40000 bytes and should have 50000"), "{cut:?}");
    site.run(&["models", "remove", "flux1-dev-q2", "--yes"]).done();
    assert!(!std::path::Path::new(&path).exists());
    site.run(&["models", "verify", "flux1-dev-q2"]).refused_with(&["nothing of flux1-dev-q2 was fetched"]);
}

#[test]
fn a_persons_file_is_fetched_by_its_name_and_held_against_its_hash() {
    let site = Site::new();
    let content = bytes(50_000);
    site.server.publish("me/tuned/it.safetensors", content.clone(), fast());
    let config = site.home.path().join(".config/flux-tui");
    std::fs::create_dir_all(&config).expect("room");
    let list = |hash: &str| {
        let text = format!(
            "[[model]]\nname = \"tuned\"\nbase = \"nano\"\ntransformer = [\"it\"]\n[[file]]\nid = \"it\"\n\
             license = \"MIT\"\nbytes = 50000\nsha256 = \"{hash}\"\n\
             places = [{{ hub = \"modelscope\", repo = \"me/tuned\", path = \"it.safetensors\" }}]\n"
        );
        std::fs::write(config.join("models.toml"), text).expect("room");
    };
    list(&"0".repeat(64));
    site.run(&["models", "pull", "it"]).ended_with(1, &["in the catalogue", &sha256(&content)]);
    list(&sha256(&content));
    assert!(site.run(&["models", "list"]).done().contains("missing: transformer (50.0 kB to fetch)"));
    // By the model's name: what is missing of it.
    let told = site.run(&["models", "pull", "tuned", "--json"]).json();
    assert_eq!((&told["files"][0]["asked"], &told["files"][0]["outcome"]), (&"it".into(), &"fetched".into()));
    assert!(site.run(&["models", "verify", "it"]).done().contains(": right"));
    site.run(&["models", "remove", "it", "--yes"]).done();
}

#[test]
fn a_model_by_name_means_its_parts_and_the_catalogue_is_held_against_the_hub() {
    let site = Site::new();
    let gated =
        Manner { refuse_head: Some((401, "X-Error-Code: GatedRepo\r\n".to_owned())), ..Manner::default() };
    site.server.publish("black-forest-labs/FLUX.1-dev/flux1-dev.safetensors", bytes(10), gated);
    site.server.publish("comfyanonymous/flux_text_encoders/clip_l.safetensors", bytes(20), fast());
    let ran = site.run(&["models", "pull", "flux1-dev", "--source", "huggingface"]);
    let page = format!("{}/black-forest-labs/FLUX.1-dev", site.server.endpoint());
    ran.ended_with(1, &["HF_TOKEN", &page, "has 20 bytes on the hub and 246144152 bytes in the catalogue"]);
    assert_eq!(site.server.gets().len(), 0, "nothing is fetched that is not the right file");
}

#[test]
fn a_proxy_is_used_but_for_its_exceptions() {
    let site = Site::new();
    let proxy = Server::start();
    proxy.publish("a/b/x.bin", bytes(100), fast());
    site.server.publish("a/b/y.bin", bytes(100), fast());
    let pull = |address: &str, endpoint: &str| {
        let mut command = site.command(&["models", "pull", address]);
        command
            .env("HF_ENDPOINT", endpoint)
            .env("HTTPS_PROXY", proxy.endpoint())
            .env("NO_PROXY", "127.0.0.1");
        finish(start(&mut command)).done();
    };
    pull("hf:a/b/x.bin", "http://hub.invalid");
    let connects = || proxy.seen().into_iter().filter(|seen| seen.method == "CONNECT").collect::<Vec<_>>();
    assert!(connects().iter().any(|seen| seen.path.starts_with("hub.invalid")), "{:?}", proxy.seen());
    let before = connects().len();
    pull("hf:a/b/y.bin", &site.server.endpoint());
    assert_eq!(connects().len(), before);
}
