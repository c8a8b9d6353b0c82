//! The LoRAs in the folders, for a person who chooses: what each is, by its header alone, and a small copy of its picture.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rayon::prelude::*;

use super::answer::Answer;
use super::held::aside;
use super::models::lora_folders;
use super::{Shared, thumbnail};
use crate::catalog::{Catalog, loras};
use crate::engine::lora::{describe, thumbnail as in_header};
use crate::job::LoraFacts;
use crate::paths::Paths;
use crate::wire::loras::{LISTED_MAX, ListLoras, LoraInfo, LoraList, LoraPicture, LoraRequest, LoraResponse};
use crate::wire::message::{Refusal, Response};
use crate::wire::thumbnail::bounded_side;

/// The longest reason why a file cannot be used, in characters: it may have a name out of the file.
const REASON_MAX: usize = 400;
/// Larger pictures beside a LoRA are not read.
const PICTURE_BYTES: u64 = 24 << 20;

/// What LoRAs' files are, as long as they do not change: a folder may have hundreds, and lie on a slow network. Which
/// there are is looked for anew each time.
#[derive(Debug, Default)]
pub struct KnownLoras(Mutex<HashMap<PathBuf, Known>>);

/// What is known of a file.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    facts: Facts,
    /// The picture beside it, as it was listed last.
    picture: Option<PathBuf>,
}

/// What changes when a file does: its size and when it was written.
type Stamp = (u64, Option<SystemTime>);

/// What a file is, or why it cannot be used.
type Facts = Result<LoraFacts, String>;

/// How LoRAs are looked for.
pub struct Looking<'l> {
    /// Told of each folder before it is looked into, and of those that are not there.
    pub entering: &'l mut dyn FnMut(&Path),
    /// Headers that are not known by then are not read.
    pub until: Option<Instant>,
}

impl KnownLoras {
    /// The LoRAs in the program's folders, other programs' and those that `models.toml` names.
    pub fn list(&self, catalog: &Catalog, paths: &Paths, looking: Looking<'_>) -> LoraList {
        self.list_in(&lora_folders(catalog, paths), looking)
    }

    fn list_in(&self, folders: &[PathBuf], looking: Looking<'_>) -> LoraList {
        let Looking { entering, until } = looking;
        let mut found = loras::list_telling(folders, entering);
        let (of, mut once, mut shared) = (found.len(), HashSet::new(), HashSet::new());
        shared.extend(
            found.iter().filter(|lora| !once.insert(lora.name.clone())).map(|lora| lora.name.clone()),
        );
        found.truncate(LISTED_MAX);
        let info = |lora: loras::Lora| {
            let (bytes, facts, preview) = self.facts(&lora, until);
            LoraInfo {
                shared_name: shared.contains(&lora.name),
                name: lora.name,
                path: lora.path.display().to_string(),
                bytes,
                facts,
                picture: lora.picture.map(|path| path.display().to_string()),
                preview,
            }
        };
        let there: HashSet<PathBuf> = found.iter().map(|lora| lora.path.clone()).collect();
        // Headers of hundreds of files: by all threads.
        let infos: Vec<_> = found.into_par_iter().map(info).collect();
        self.lock().retain(|path, _| there.contains(path));
        LoraList::bounded(infos, of)
    }

    /// The size of a file, what it is unless that is not known in time, and what tells its picture from another.
    fn facts(&self, lora: &loras::Lora, until: Option<Instant>) -> (u64, Option<Facts>, Option<u64>) {
        let stamp = match stamp(&lora.path) {
            Ok(stamp) => stamp,
            Err(error) => return (0, Some(Err(error)), None),
        };
        let beside = lora.picture.as_ref().and_then(|picture| Some((picture, self::stamp(picture).ok()?)));
        let known = self.lock().get_mut(&lora.path).filter(|known| known.stamp == stamp).map(|known| {
            known.picture.clone_from(&lora.picture);
            known.facts.clone()
        });
        let facts = known.or_else(|| {
            let in_time = until.is_none_or(|until| Instant::now() < until);
            in_time.then(|| self.read(lora, stamp))
        });
        let inside =
            matches!(&facts, Some(Ok(LoraFacts { thumbnail: true, .. }))).then_some((&lora.path, stamp));
        (stamp.0, facts, beside.or(inside).map(digest))
    }

    fn read(&self, lora: &loras::Lora, stamp: Stamp) -> Facts {
        let facts: Facts =
            describe(&lora.path).map_err(|error| error.to_string().chars().take(REASON_MAX).collect());
        let known = Known { stamp, facts: facts.clone(), picture: lora.picture.clone() };
        self.lock().insert(lora.path.clone(), known);
        facts
    }

    /// The picture of a LoRA that was listed, as its file has it: the one beside it, else the one in its header.
    ///
    /// # Errors
    /// When there is no such LoRA, and why its picture cannot be read.
    pub fn picture(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        let known = self
            .lock()
            .get(path)
            .map(|known| (known.picture.clone(), known.facts.as_ref().is_ok_and(|facts| facts.thumbnail)));
        match known {
            None => Err(format!("there is no LoRA {}", path.display())),
            Some((Some(beside), _)) => whole(&beside).map(Some),
            Some((None, true)) => {
                let read = in_header(path);
                read.map(Some).ok_or_else(|| "its header has a picture that cannot be read".to_owned())
            }
            Some((None, false)) => Ok(None),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(path: &Path) -> Result<Stamp, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    Ok((metadata.len(), metadata.modified().ok()))
}

fn digest(of: impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// A file that is no larger than a picture is.
fn whole(path: &Path) -> Result<Vec<u8>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    // A pipe of that name would be waited for.
    if !fs::metadata(path).map_err(told)?.is_file() {
        return Err(format!("{} is no file", path.display()));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(PICTURE_BYTES + 1).read_to_end(&mut bytes)).map_err(told)?;
    if bytes.len() as u64 > PICTURE_BYTES {
        return Err(format!("{} has more than {PICTURE_BYTES} bytes", path.display()));
    }
    Ok(bytes)
}

/// Answers a client, off the main loop.
pub(super) async fn answer(shared: Rc<Shared>, asked: LoraRequest) -> Answer {
    match asked {
        LoraRequest::List(asked) => list(&shared, asked).await,
        LoraRequest::Picture(asked) => picture(&shared, asked).await,
    }
    .map(Response::Loras)
}

async fn list(shared: &Shared, asked: ListLoras) -> Result<LoraResponse, Refusal> {
    let watch = shared.lora_watch.clone();
    let until = asked.patience_ms.map(|wait| Instant::now() + Duration::from_millis(wait.into()));
    let list = aside(shared, move |models| {
        let mut watched = true;
        let mut entering = |folder: &Path| watched &= watch.enter(folder);
        let list = models.loras(Looking { entering: &mut entering, until });
        Ok(LoraList { watched, ..list })
    });
    let list = list.await?;
    let same = asked.known.is_some_and(|known| known == list.digest());
    Ok(if same { LoraResponse::Same } else { LoraResponse::List(list) })
}

async fn picture(shared: &Shared, asked: LoraPicture) -> Result<LoraResponse, Refusal> {
    // Before the file is read: at most one is in memory.
    let _one = shared.copying.lock().await;
    let LoraPicture { path, side } = asked;
    let refused = {
        let path = path.clone();
        move |reason| Refusal::File { path, reason }
    };
    let made = aside(shared, move |models| {
        let made = models.lora_picture(Path::new(&path));
        Ok(made.and_then(|picture| {
            picture.map(|bytes| thumbnail::of_any(&bytes, bounded_side(side))).transpose()
        }))
    });
    let made = made.await?.map_err(refused)?;
    Ok(LoraResponse::Picture(made.map(Into::into)))
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

    fn listed(known: &KnownLoras, folders: &[PathBuf]) -> LoraList {
        known.list_in(folders, Looking { entering: &mut |_| {}, until: None })
    }

    fn keep(name: &str, at: &Path) {
        fs::create_dir_all(at.parent().expect("a folder")).expect("a folder can be made");
        fs::copy(fixture(name), at).expect("it can be copied");
    }

    #[test]
    fn every_fixture_is_told_by_its_form() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lora/fixtures");
        let list = listed(&KnownLoras::default(), &[folder]);
        let told: Vec<_> = list
            .loras
            .iter()
            .map(|lora| match &lora.facts {
                Some(Ok(LoraFacts { form, kind, rank, .. })) => {
                    format!(
                        "{}: {form} {kind} {}",
                        lora.name,
                        rank.map_or(String::new(), |rank| rank.to_string())
                    )
                }
                Some(Err(reason)) => format!("{}: {reason}", lora.name),
                None => format!("{} is unread", lora.name),
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn what_comes_changes_and_goes_is_seen_the_next_time() {
        let root = tempfile::tempdir().expect("a directory");
        let (one, other) = (root.path().join("一"), root.path().join("other"));
        let (known, folders) = (KnownLoras::default(), [one.clone(), other.clone()]);
        assert_eq!(listed(&known, &folders), LoraList::default());
        keep("kohya", &one.join("ink.safetensors"));
        keep("peft", &other.join("ink.safetensors"));
        fs::write(one.join("ink.preview.png"), "").expect("it can be written");
        fs::write(one.join("broken.safetensors"), "<html>").expect("it can be written");
        let list = listed(&known, &folders);
        let [broken, ink, second] = &list.loras[..] else { panic!("three of {list:?}") };
        assert!(broken.unusable().is_some_and(|reason| reason.contains("web page")), "{broken:?}");
        assert!(!broken.shared_name && ink.shared_name && second.shared_name);
        assert_eq!(ink.file(), one.join("ink.safetensors").display().to_string());
        assert!(ink.picture.as_ref().is_some_and(|path| path.ends_with("ink.preview.png")));
        assert_eq!(ink.bytes, fs::metadata(fixture("kohya")).expect("it is there").len());
        keep("lokr", &other.join("ink.safetensors"));
        fs::remove_file(one.join("ink.safetensors")).expect("it is ours");
        let list = listed(&known, &folders);
        let [_, ink] = &list.loras[..] else { panic!("two of {list:?}") };
        assert_eq!((ink.file(), ink.known().map(|facts| facts.kind.as_str())), ("ink", Some("LoKr")));
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
        let mut file = File::create(path).expect("it can be made");
        file.write_all(&(header.len() as u64).to_le_bytes()).expect("there is room");
        file.write_all(header.as_bytes()).expect("there is room");
        file.set_len(8 + header.len() as u64 + at as u64).expect("a hole costs nothing");
    }

    #[test]
    fn who_is_not_patient_is_told_names_first_and_what_is_known() {
        let (root, known) = (tempfile::tempdir().expect("a directory"), KnownLoras::default());
        full_size(&root.path().join("large.safetensors"));
        let folders = [root.path().to_owned()];
        let hurried = |known: &KnownLoras| {
            known.list_in(&folders, Looking { entering: &mut |_| {}, until: Some(Instant::now()) })
        };
        let names = hurried(&known);
        assert!(
            names.has_unread() && names.loras[0].bytes > 0 && names.loras[0].name == "large",
            "{names:?}"
        );
        let whole = listed(&known, &folders);
        assert_eq!(whole.loras[0].known().and_then(|facts| facts.rank), Some(16));
        assert_eq!(hurried(&known), whole, "what is known needs no time");
        assert!(names.digest() != whole.digest() && whole.digest() == listed(&known, &folders).digest());
    }

    #[test]
    fn pictures_are_those_beside_and_then_those_in_the_header() {
        let (root, known) = (tempfile::tempdir().expect("a directory"), KnownLoras::default());
        let (path, folders) = (root.path().join("ink.safetensors"), [root.path().to_owned()]);
        keep("kohya", &path);
        assert!(known.picture(&path).is_err(), "only what was listed is read");
        let none = listed(&known, &folders);
        assert_eq!((none.loras[0].preview, known.picture(&path)), (None, Ok(None)));
        let beside = root.path().join("ink.png");
        fs::write(&beside, "one").expect("it can be written");
        let one = listed(&known, &folders).loras[0].preview;
        assert_eq!((one.is_some(), known.picture(&path)), (true, Ok(Some(b"one".to_vec()))));
        fs::write(&beside, "other").expect("it can be written");
        let other = listed(&known, &folders).loras[0].preview;
        assert!(other.is_some() && other != one, "another picture is told from it");
        fs::write(&beside, vec![0; PICTURE_BYTES as usize + 1]).expect("it can be written");
        assert!(known.picture(&path).is_err_and(|why| why.contains("bytes")));
        fs::remove_file(&beside).expect("it is ours");
        rustix::fs::mkfifoat(rustix::fs::CWD, &beside, rustix::fs::Mode::RWXU).expect("a pipe");
        assert!(known.picture(&path).is_err_and(|why| why.contains("no file")), "it is not waited for");
    }

    #[test]
    fn what_is_known_is_not_read_again() {
        let root = tempfile::tempdir().expect("a directory");
        let (path, known) = (root.path().join("ink.safetensors"), KnownLoras::default());
        keep("kohya", &path);
        let first = listed(&known, &[root.path().to_owned()]);
        let metadata = fs::metadata(&path).expect("it is there");
        // Of the same size and time: only who reads it again sees a difference.
        fs::write(&path, vec![b'x'; usize::try_from(metadata.len()).expect("it is small")])
            .expect("it is ours");
        let file = File::options().write(true).open(&path).expect("it is ours");
        file.set_modified(metadata.modified().expect("a time")).expect("its time can be set");
        assert_eq!(listed(&known, &[root.path().to_owned()]), first);
    }
}
