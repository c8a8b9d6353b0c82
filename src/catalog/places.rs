//! Where files that were fetched before may be: the caches of Hugging Face and ModelScope, our own folder, and those of
//! programs that draw.

use std::path::{Path, PathBuf};

use super::comfy;
use super::published::{Hub, Place};
use crate::config;

/// Where ComfyUI, Forge and A1111 keep models, below a home directory.
const PROGRAMS: [&str; 8] = [
    "ComfyUI/models",
    "comfyui/models",
    "comfy/ComfyUI/models",
    "Documents/ComfyUI/models",
    "stable-diffusion-webui/models",
    "stable-diffusion-webui-forge/models",
    "stable-diffusion-webui-reForge/models",
    "sd-webui-forge-neo/models",
];
/// What ComfyUI's file of further folders is called: beside its own folder of models, and of its desktop program below a
/// home directory.
const EXTRA: &str = "extra_model_paths.yaml";
const EXTRA_OF_DESKTOP: &str = ".config/ComfyUI/extra_models_config.yaml";
/// What folders of LoRAs are called in those of models.
const LORAS: [&str; 4] = ["loras", "Lora", "lora", "LyCORIS"];
/// Of a cache, no more commits of one repository are looked through.
const SNAPSHOTS_MAX: usize = 64;

/// Directories to look in, the first one first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// Caches of Hugging Face: `models--OWNER--NAME/snapshots/COMMIT/PATH`.
    pub huggingface: Vec<PathBuf>,
    /// Caches of ModelScope: `OWNER/NAME/PATH`.
    pub modelscope: Vec<PathBuf>,
    /// Folders of anything.
    pub folders: Vec<PathBuf>,
    /// Folders of LoRAs.
    pub loras: Vec<PathBuf>,
}

impl Places {
    /// By the environment. `data` is our own directory of data, `folders` are a person's.
    #[must_use]
    pub fn from_env(data: &Path, folders: &[PathBuf]) -> Self {
        Self::from_lookup(|name| std::env::var_os(name).map(PathBuf::from), data, folders)
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<PathBuf>, data: &Path, folders: &[PathBuf]) -> Self {
        let home = lookup("HOME").filter(|home| home.is_absolute());
        let set = |name: &str| lookup(name).and_then(|path| whole(&path, home.as_deref()));
        let cache = set("XDG_CACHE_HOME").or_else(|| home.as_ref().map(|home| home.join(".cache")));
        let below = |root: Option<PathBuf>, path: &str| root.map(|root| root.join(path));
        let huggingface = [
            set("HF_HUB_CACHE"),
            set("HUGGINGFACE_HUB_CACHE"),
            below(set("HF_HOME"), "hub"),
            below(cache, "huggingface/hub"),
            below(home.clone(), ".cache/huggingface/hub"),
        ];
        // Releases differ in what they put between the cache and OWNER/NAME.
        let usual = below(home.clone(), ".cache/modelscope");
        let modelscope = [set("MODELSCOPE_CACHE"), usual].into_iter().flatten().flat_map(|root| {
            [root.join("models"), root.join("hub/models"), root.join("hub"), root.clone()].map(Some)
        });
        let programs = home.iter().flat_map(|home| PROGRAMS.map(|folder| Some(home.join(folder))));
        let own = [Some(data.join("models"))].into_iter();
        let named: Vec<_> = own.chain(folders.iter().cloned().map(Some)).chain(programs).collect();
        let beside = named.iter().flatten().flat_map(|folder| {
            [folder.parent().map(|parent| parent.join(EXTRA)), Some(folder.join(EXTRA))].into_iter().flatten()
        });
        let beside: Vec<_> = beside.collect();
        let of_desktop = home.iter().map(|home| home.join(EXTRA_OF_DESKTOP));
        let files: Vec<PathBuf> = beside.into_iter().chain(of_desktop).collect();
        let told = |kinds: &'static [&'static str]| {
            files.iter().flat_map(|file| extra(file, kinds, &lookup)).map(Some).collect::<Vec<_>>()
        };
        let own_loras = [Some(data.join("loras"))].into_iter();
        let in_folders = named.iter().flatten().flat_map(|folder| LORAS.map(|name| Some(folder.join(name))));
        let loras = once_each(own_loras.chain(in_folders).chain(told(&["loras"])));
        let extra = told(&comfy::KEYS);
        Self {
            huggingface: once_each(huggingface),
            modelscope: once_each(modelscope),
            folders: once_each(named.into_iter().chain(extra)),
            loras,
        }
    }

    /// The paths at which a published file may lie: in the caches of its hub, and in folders that keep `OWNER/NAME` or
    /// `NAME` as the hubs' own programs write them.
    #[must_use]
    pub fn candidates(&self, place: &Place) -> Vec<PathBuf> {
        let (owner, name) = place.repo.split_once('/').unwrap_or(("", &place.repo));
        // ModelScope's program writes no dots in names.
        let names = [name.to_owned(), name.replace('.', "___")];
        let in_modelscope =
            |root: &Path| names.clone().map(|name| root.join(owner).join(name).join(&place.path));
        let mut paths: Vec<PathBuf> = match place.hub {
            Hub::HuggingFace => {
                let snapshots = self.huggingface.iter().flat_map(|root| snapshots(root, place));
                snapshots.map(|snapshot| snapshot.join(&place.path)).collect()
            }
            Hub::ModelScope => self.modelscope.iter().flat_map(|root| in_modelscope(root)).collect(),
        };
        for folder in &self.folders {
            paths.extend(in_modelscope(folder));
            paths.push(folder.join(name).join(&place.path));
        }
        paths
    }
}

/// The folders that a file of ComfyUI's names; none where it cannot be read.
fn extra(file: &Path, kinds: &[&str], lookup: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let (Ok(Some(text)), Some(beside)) = (config::read_small(file), file.parent()) else { return Vec::new() };
    comfy::folders(&text, kinds, beside, lookup)
}

/// A path with its `~` put in place; `None` when it is not whole.
fn whole(path: &Path, home: Option<&Path>) -> Option<PathBuf> {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => Some(home.join(rest)),
        _ => Some(path.to_owned()).filter(|path| path.is_absolute()),
    }
}

/// The folders of a repository's commits: first the one that the revision means, then the others.
fn snapshots(root: &Path, place: &Place) -> Vec<PathBuf> {
    let repository = root.join(format!("models--{}", place.repo.replace('/', "--")));
    let folder = repository.join("snapshots");
    let meant = std::fs::read_to_string(repository.join("refs").join(&place.revision)).unwrap_or_default();
    let meant = Some(meant.trim()).filter(|commit| !commit.is_empty() && !commit.contains('/'));
    let others = std::fs::read_dir(&folder).into_iter().flatten().flatten().take(SNAPSHOTS_MAX);
    let mut others: Vec<PathBuf> = others.map(|entry| entry.path()).collect();
    others.sort_unstable();
    once_each(meant.map(|commit| folder.join(commit)).into_iter().chain(others).map(Some))
}

/// Those that there are, without repetition, in order.
fn once_each(paths: impl IntoIterator<Item = Option<PathBuf>>) -> Vec<PathBuf> {
    let mut once = Vec::new();
    for path in paths.into_iter().flatten() {
        if !once.contains(&path) {
            once.push(path);
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(pairs: &[(&str, &str)], folders: &[PathBuf]) -> Places {
        let lookup = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        Places::from_lookup(lookup, Path::new("/data"), folders)
    }

    fn place(hub: Hub) -> Place {
        let (repo, path) = ("black-forest-labs/FLUX.1-dev", "ae.safetensors");
        Place { hub, repo: repo.into(), revision: hub.usual_revision().into(), path: path.into() }
    }

    #[test]
    fn the_environment_says_where_caches_are_and_home_what_is_usual() {
        let home = "/home/测试 目录";
        let usual = places(&[("HOME", home)], &[]);
        assert_eq!(usual.huggingface, [Path::new(home).join(".cache/huggingface/hub")]);
        assert_eq!(usual.folders[0], Path::new("/data/models"));
        assert!(usual.folders.contains(&Path::new(home).join("ComfyUI/models")));
        let set = places(
            &[("HOME", home), ("HF_HUB_CACHE", "/a"), ("HF_HOME", "~/b"), ("MODELSCOPE_CACHE", "/c")],
            &["/d".into()],
        );
        assert_eq!(set.huggingface[..2], [Path::new("/a").to_owned(), Path::new(home).join("b/hub")]);
        assert_eq!(set.modelscope[0], Path::new("/c/models"));
        assert_eq!(set.folders[1], Path::new("/d"));
        let relative = places(&[("HF_HOME", "b"), ("MODELSCOPE_CACHE", "c")], &[]);
        assert!(relative.huggingface.is_empty() && relative.modelscope.is_empty());
    }

    #[test]
    fn folders_that_comfyui_was_told_of_are_looked_in_too() {
        let root = tempfile::tempdir().expect("a directory");
        let comfy = root.path().join("ComfyUI");
        std::fs::create_dir(&comfy).expect("a directory");
        let text =
            "disk:\n    base_path: /disk 2\n    unet: |\n        unet\n        more\n    loras: loras\n";
        std::fs::write(comfy.join("extra_model_paths.yaml"), text).expect("it can be written");
        let home = root.path().to_str().expect("it is text");
        let folders = places(&[("HOME", home)], &[]).folders;
        let at = |path: &str| folders.iter().position(|folder| folder == Path::new(path));
        assert!(at("/disk 2/unet").is_some() && at("/disk 2/more") > at("/disk 2/unet"), "{folders:?}");
        assert_eq!(at("/disk 2/loras"), None);
        let named = places(&[("HOME", "/nowhere")], &[comfy.join("models")]).folders;
        assert!(named.contains(&PathBuf::from("/disk 2/unet")), "{named:?}");
    }

    #[test]
    fn the_commit_that_a_branch_means_comes_first() {
        let root = tempfile::tempdir().expect("a directory");
        let repository = root.path().join("models--black-forest-labs--FLUX.1-dev");
        for commit in ["aaa", "bbb", "ccc"] {
            std::fs::create_dir_all(repository.join("snapshots").join(commit)).expect("a directory");
        }
        std::fs::create_dir(repository.join("refs")).expect("a directory");
        std::fs::write(repository.join("refs/main"), "bbb\n").expect("it can be written");
        let places = Places { huggingface: vec![root.path().to_owned()], ..Places::default() };
        let paths = places.candidates(&place(Hub::HuggingFace));
        let expected = ["bbb", "aaa", "ccc"]
            .map(|commit| repository.join("snapshots").join(commit).join("ae.safetensors"));
        assert_eq!(paths, expected);
    }

    #[test]
    fn modelscope_writes_dots_in_two_ways() {
        let places = Places { modelscope: vec!["/c".into()], ..Places::default() };
        let paths = places.candidates(&place(Hub::ModelScope));
        let expected = ["FLUX.1-dev", "FLUX___1-dev"];
        let expected =
            expected.map(|name| Path::new("/c/black-forest-labs").join(name).join("ae.safetensors"));
        assert_eq!(paths, expected);
    }
}
