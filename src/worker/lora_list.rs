//! The LoRAs in the folders, for a person who chooses: what each is, by its header alone.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rayon::prelude::*;

use super::Shared;
use super::answer::Answer;
use super::held::aside;
use super::models::lora_folders;
use crate::catalog::{Catalog, loras};
use crate::engine::lora::describe;
use crate::job::LoraFacts;
use crate::paths::Paths;
use crate::wire::loras::{LISTED_MAX, LoraInfo, LoraList, LoraRequest, LoraResponse};
use crate::wire::message::Response;

/// The longest reason why a file cannot be used, in characters: it may have a name out of the file.
const REASON_MAX: usize = 400;

/// What LoRAs' files are, as long as they do not change: a folder may have hundreds, and lie on a slow network. Which
/// there are is looked for anew each time.
#[derive(Debug, Default)]
pub struct KnownLoras(Mutex<HashMap<PathBuf, (Stamp, Facts)>>);

/// What changes when a file does: its size and when it was written.
type Stamp = (u64, Option<SystemTime>);

/// What a file is, or why it cannot be used.
type Facts = Result<LoraFacts, String>;

impl KnownLoras {
    /// The LoRAs in the program's folders, other programs' and those that `models.toml` names.
    pub fn list(&self, catalog: &Catalog, paths: &Paths) -> LoraList {
        self.list_in(&lora_folders(catalog, paths))
    }

    fn list_in(&self, folders: &[PathBuf]) -> LoraList {
        let mut found = loras::list(folders);
        let (of, mut once, mut shared) = (found.len(), HashSet::new(), HashSet::new());
        shared.extend(
            found.iter().filter(|lora| !once.insert(lora.name.clone())).map(|lora| lora.name.clone()),
        );
        found.truncate(LISTED_MAX);
        let info = |lora: loras::Lora| {
            let (bytes, facts) = self.facts(&lora.path);
            LoraInfo {
                shared_name: shared.contains(&lora.name),
                name: lora.name,
                path: lora.path.display().to_string(),
                bytes,
                facts,
                picture: lora.picture.map(|path| path.display().to_string()),
            }
        };
        let there: HashSet<PathBuf> = found.iter().map(|lora| lora.path.clone()).collect();
        // Headers of hundreds of files: by all threads.
        let infos: Vec<_> = found.into_par_iter().map(info).collect();
        self.lock().retain(|path, _| there.contains(path));
        LoraList::bounded(infos, of)
    }

    fn facts(&self, path: &Path) -> (u64, Facts) {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => return (0, Err(error.to_string())),
        };
        let stamp = (metadata.len(), metadata.modified().ok());
        if let Some((_, facts)) = self.lock().get(path).filter(|(known, _)| *known == stamp) {
            return (stamp.0, facts.clone());
        }
        let facts = describe(path).map_err(|error| error.to_string().chars().take(REASON_MAX).collect());
        self.lock().insert(path.to_owned(), (stamp, facts.clone()));
        (stamp.0, facts)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, (Stamp, Facts)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers a client, off the main loop.
pub(super) fn answer(shared: &Rc<Shared>, asked: &LoraRequest) -> impl Future<Output = Answer> + use<> {
    let LoraRequest::List = asked;
    let looking = aside(shared, |models| Ok(models.loras()));
    async move { Ok(Response::Loras(LoraResponse::List(looking.await?))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/lora/fixtures")
            .join(name)
            .with_extension("safetensors")
    }

    fn keep(name: &str, at: &Path) {
        fs::create_dir_all(at.parent().expect("a folder")).expect("a folder can be made");
        fs::copy(fixture(name), at).expect("it can be copied");
    }

    #[test]
    fn every_fixture_is_told_by_its_form() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lora/fixtures");
        let list = KnownLoras::default().list_in(&[folder]);
        let told: Vec<_> = list
            .loras
            .iter()
            .map(|lora| match &lora.facts {
                Ok(LoraFacts { form, kind, rank, .. }) => {
                    format!(
                        "{}: {form} {kind} {}",
                        lora.name,
                        rank.map_or(String::new(), |rank| rank.to_string())
                    )
                }
                Err(reason) => format!("{}: {reason}", lora.name),
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn what_comes_changes_and_goes_is_seen_the_next_time() {
        let root = tempfile::tempdir().expect("a directory");
        let (one, other) = (root.path().join("一"), root.path().join("other"));
        let (known, folders) = (KnownLoras::default(), [one.clone(), other.clone()]);
        assert_eq!(known.list_in(&folders), LoraList::default());
        keep("kohya", &one.join("ink.safetensors"));
        keep("peft", &other.join("ink.safetensors"));
        fs::write(one.join("ink.preview.png"), "").expect("it can be written");
        fs::write(one.join("broken.safetensors"), "<html>").expect("it can be written");
        let list = known.list_in(&folders);
        let [broken, ink, second] = &list.loras[..] else { panic!("three of {list:?}") };
        assert!(broken.facts.as_ref().is_err_and(|reason| reason.contains("web page")), "{broken:?}");
        assert!(!broken.shared_name && ink.shared_name && second.shared_name);
        assert_eq!(ink.file(), one.join("ink.safetensors").display().to_string());
        assert!(ink.picture.as_ref().is_some_and(|path| path.ends_with("ink.preview.png")));
        assert_eq!(ink.bytes, fs::metadata(fixture("kohya")).expect("it is there").len());
        keep("lokr", &other.join("ink.safetensors"));
        fs::remove_file(one.join("ink.safetensors")).expect("it is ours");
        let list = known.list_in(&folders);
        let [_, ink] = &list.loras[..] else { panic!("two of {list:?}") };
        assert_eq!((ink.file(), ink.facts.as_ref().map(|facts| facts.kind.as_str())), ("ink", Ok("LoKr")));
        assert_eq!(known.lock().len(), 2, "what is gone is forgotten");
    }

    /// The header of kohya's LoRA of all linear layers of FLUX.1 in rank 16; behind it a hole.
    fn full_size(path: &Path) {
        use std::io::Write as _;
        let double = ["img_attn_qkv", "img_attn_proj", "img_mlp_0", "img_mlp_2", "img_mod_lin"];
        let double =
            double.map(str::to_owned).into_iter().chain(double.map(|name| name.replace("img", "txt")));
        let double: Vec<_> = double.collect();
        let names = (0..19).flat_map(|block| {
            double.iter().map(move |name| format!("lora_unet_double_blocks_{block}_{name}"))
        });
        let single = (0..38).flat_map(|block| {
            ["linear1", "linear2", "modulation_lin"]
                .map(|name| format!("lora_unet_single_blocks_{block}_{name}"))
        });
        let (mut header, mut at) = (serde_json::Map::new(), 0);
        for name in names.chain(single) {
            for (ending, shape) in [("lora_down", [16, 3072]), ("lora_up", [3072, 16])] {
                let offsets = [at, at + 2 * 16 * 3072];
                let tensor = serde_json::json!({ "dtype": "BF16", "shape": shape, "data_offsets": offsets });
                header.insert(format!("{name}.{ending}.weight"), tensor);
                at = offsets[1];
            }
            let offsets = [at, at + 2];
            let alpha = serde_json::json!({ "dtype": "BF16", "shape": [], "data_offsets": offsets });
            header.insert(format!("{name}.alpha"), alpha);
            at += 2;
        }
        let header = serde_json::Value::Object(header).to_string();
        let mut file = fs::File::create(path).expect("it can be made");
        file.write_all(&(header.len() as u64).to_le_bytes()).expect("there is room");
        file.write_all(header.as_bytes()).expect("there is room");
        file.set_len(8 + header.len() as u64 + at as u64).expect("a hole costs nothing");
    }

    #[test]
    fn five_hundred_of_full_size_are_told_at_once() {
        let root = tempfile::tempdir().expect("a directory");
        let known = KnownLoras::default();
        for number in 0..500 {
            full_size(&root.path().join(format!("{number:03}.safetensors")));
        }
        let list = || {
            let begun = std::time::Instant::now();
            let list = known.list_in(&[root.path().to_owned()]);
            (list, begun.elapsed())
        };
        let ((first, cold), (second, warm)) = (list(), list());
        eprintln!("500 LoRAs: {cold:?}, and {warm:?} when they are known");
        assert_eq!(first.loras.len(), 500);
        assert!(first.loras.iter().all(|lora| lora.facts.as_ref().is_ok_and(|facts| facts.rank == Some(16))));
        assert_eq!(first, second);
        assert!(warm < std::time::Duration::from_secs(1), "{warm:?}");
    }

    #[test]
    fn what_is_known_is_not_read_again() {
        let root = tempfile::tempdir().expect("a directory");
        let (path, known) = (root.path().join("ink.safetensors"), KnownLoras::default());
        keep("kohya", &path);
        let first = known.list_in(&[root.path().to_owned()]);
        let metadata = fs::metadata(&path).expect("it is there");
        // Of the same size and time: only who reads it again sees a difference.
        fs::write(&path, vec![b'x'; usize::try_from(metadata.len()).expect("it is small")])
            .expect("it is ours");
        let file = fs::File::options().write(true).open(&path).expect("it is ours");
        file.set_modified(metadata.modified().expect("a time")).expect("its time can be set");
        assert_eq!(known.list_in(&[root.path().to_owned()]), first);
    }
}
