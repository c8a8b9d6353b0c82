//! Published files, wherever other programs keep them: by their content and their size, never by their name.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use flux_tui::catalog::find::{Missing, Search, to_fetch};
use flux_tui::catalog::places::Places;
use flux_tui::catalog::{self, Catalog, Role};
use flux_tui::model::{ModelName, Source};
use flux_tui::paths::Paths;
use flux_tui::wire::message::Refusal;
use flux_tui::worker::{Catalogued, Models, Recogniser, find};

use crate::sparse;

/// Caches and folders that there are for a test.
struct Machine {
    root: tempfile::TempDir,
    recogniser: Recogniser,
}

impl Machine {
    fn new() -> Self {
        Self { root: tempfile::tempdir().expect("a directory"), recogniser: Recogniser::default() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join("磁盘 1").join(path)
    }

    fn search<T>(&self, act: impl FnOnce(&Search<'_>) -> T) -> T {
        let places = Places {
            huggingface: vec![self.at("hf/hub")],
            modelscope: vec![self.at("ms/hub/models"), self.at("ms/hub")],
            folders: vec![self.at("own"), self.at("ComfyUI/模型"), self.at("none")],
            loras: Vec::new(),
        };
        let recognise = |path: &Path| self.recogniser.roles(path);
        act(&Search::new(places, &recognise))
    }

    /// The path of each part of a model, or what is missing.
    fn parts(&self, model: &str) -> Vec<Result<PathBuf, Missing>> {
        let recipe = catalog::find(&ModelName::new(model)).expect("it is known").recipe;
        let path = |source| match source {
            Source::File(path) => path,
            built_in @ Source::Embedded { .. } => panic!("{built_in}"),
        };
        self.search(|search| Role::ALL.map(|role| search.weights(&recipe, role).map(path)).into())
    }

    #[track_caller]
    fn found(&self, model: &str, expected: [&str; 4]) {
        let parts: Vec<_> = self.parts(model).into_iter().map(|part| part.expect("it is here")).collect();
        assert_eq!(parts, expected.map(|path| self.at(path)));
    }

    #[track_caller]
    fn lacks(&self, model: &str, role: Role) -> Missing {
        let of_role = |part: Result<PathBuf, Missing>| part.err().filter(|missing| missing.role == role);
        self.parts(model).into_iter().find_map(of_role).expect("it is missing")
    }
}

const HF: &str = "hf/hub/models--black-forest-labs--FLUX.1-dev/snapshots/abc";
const ENCODERS: &str = "hf/hub/models--comfyanonymous--flux_text_encoders/snapshots/def";

#[test]
fn parts_are_found_in_the_caches_of_both_hubs_and_in_a_programs_folders() {
    let machine = Machine::new();
    let at = |path: &str| machine.at(path);
    // A cache of Hugging Face has links to blobs.
    let blob = sparse::published("flux1-dev", &at("hf/hub/models--black-forest-labs--FLUX.1-dev/blobs/123"));
    std::fs::create_dir_all(at(HF)).expect("a directory");
    symlink("../../blobs/123", at(HF).join("flux1-dev.safetensors")).expect("a link");
    assert!(blob.is_file());
    sparse::published("t5-xxl-fp8", &at(ENCODERS).join("t5xxl_fp8_e4m3fn.safetensors"));
    sparse::published("clip-l", &at("ComfyUI/模型/clip/随便 什么 名字"));
    sparse::published("flux1-vae", &at("ms/hub/models/AI-ModelScope/FLUX___1-dev/ae.safetensors"));
    let transformer = format!("{HF}/flux1-dev.safetensors");
    let t5 = format!("{ENCODERS}/t5xxl_fp8_e4m3fn.safetensors");
    let (clip, vae) =
        ("ComfyUI/模型/clip/随便 什么 名字", "ms/hub/models/AI-ModelScope/FLUX___1-dev/ae.safetensors");
    machine.found("flux1-dev", [&transformer, &t5, clip, vae]);

    // The same encoders and VAE with another transformer; dots in names as older releases keep them.
    sparse::published("majicflus-v134", &at("ms/hub/MAILAND/majicflus_v1/majicflus_v134.safetensors"));
    machine.found("majicflus_v1", ["ms/hub/MAILAND/majicflus_v1/majicflus_v134.safetensors", &t5, clip, vae]);

    // The most precise of several is taken.
    sparse::published("t5-xxl-fp16", &at("own/text_encoders/b.safetensors"));
    machine.found("flux1-dev", [&transformer, "own/text_encoders/b.safetensors", clip, vae]);
}

#[test]
fn a_gguf_file_of_flux1_is_found_and_fine_tunes_in_that_form_are_known_by_path() {
    let machine = Machine::new();
    let at = |path: &str| machine.at(path);
    let published = "hf/hub/models--city96--FLUX.1-dev-gguf/snapshots/abc/flux1-dev-Q4_K_S.gguf";
    sparse::gguf(&at(published), &sparse::transformer(true));
    let tuned = sparse::gguf(&at("ComfyUI/模型/unet/mine.gguf"), &sparse::transformer(true));
    assert_eq!(machine.parts("flux1-dev-q4")[0], Ok(at(published)));
    machine.lacks("flux1-dev-q8", Role::Transformer);
    let others = |search: &Search<'_>| search.other_transformers();
    assert_eq!(machine.search(others), [tuned]);
}

#[test]
fn in_folders_a_files_name_says_nothing_and_its_size_everything_of_a_transformer() {
    let machine = Machine::new();
    let at = |path: &str| machine.at(path);
    sparse::published("flux1-dev-fp8", &at("ComfyUI/模型/unet/a.safetensors"));
    // A fine-tune that somebody calls flux1-dev.
    sparse::write(&at("ComfyUI/模型/unet/flux1-dev.safetensors"), "BF16", &sparse::transformer(true), None);
    let parts = machine.parts("flux1-dev-fp8");
    assert_eq!(parts[0], Ok(at("ComfyUI/模型/unet/a.safetensors")));
    let missing = machine.lacks("flux1-dev", Role::Transformer);
    assert_eq!(missing.files[0].id, "flux1-dev");
    assert_eq!(to_fetch(&[missing])[0].bytes, Some(23_802_932_552));

    // SD3's VAE has the shapes of FLUX.1's: only a published size, or a FLUX.1 beside it in one file, says which it is.
    sparse::write(&at("ComfyUI/模型/vae/ae.safetensors"), "F16", &sparse::vae(), None);
    machine.lacks("flux1-dev-fp8", Role::Vae);
    // Encoders by whomever serve.
    sparse::write(&at("ComfyUI/模型/clip/x"), "F32", &sparse::clip(), None);
    sparse::write(&at("ComfyUI/模型/clip/y"), "BF16", &sparse::t5(false), None);
    let parts = machine.parts("flux1-dev-fp8");
    assert_eq!(parts[1..3], [Ok(at("ComfyUI/模型/clip/y")), Ok(at("ComfyUI/模型/clip/x"))]);
    // … unless a published one is there.
    sparse::published("clip-l", &at("ComfyUI/模型/clip/z"));
    assert_eq!(machine.parts("flux1-dev-fp8")[2], Ok(at("ComfyUI/模型/clip/z")));
}

#[test]
fn everything_in_one_file_serves_for_all_and_its_parts_for_other_transformers() {
    let machine = Machine::new();
    let file = machine.at("ComfyUI/模型/checkpoints/all.safetensors");
    sparse::write(&file, "F8_E4M3", &sparse::all_in_one(true), None);
    sparse::published("flux1-schnell", &machine.at("own/schnell"));
    let all = "ComfyUI/模型/checkpoints/all.safetensors";
    machine.found("flux1-schnell", ["own/schnell", all, all, all]);
}

#[test]
fn shards_are_found_whole_or_told_with_the_one_that_is_missing() {
    let machine = Machine::new();
    let folder = machine.at(HF).join("text_encoder_2");
    let index = sparse::t5_shards(&folder);
    assert_eq!(machine.parts("flux1-dev")[1], Ok(index.clone()));
    let shard = folder.join("model-00002-of-00002.safetensors");
    std::fs::remove_file(&shard).expect("it was there");
    let passed = machine.lacks("flux1-dev", Role::T5).passed_over;
    assert_eq!(passed[0].path, index);
    assert!(passed[0].reason.contains("model-00002-of-00002.safetensors"), "{passed:?}");
    // In a folder of anything, too.
    let index = sparse::t5_shards(&machine.at("own/a clone/text_encoder_2"));
    assert_eq!(machine.parts("flux1-dev")[1], Ok(index));
}

#[test]
fn what_is_not_whole_is_passed_over_with_the_reason() {
    let machine = Machine::new();
    let path = machine.at(HF).join("flux1-dev.safetensors");
    sparse::published("flux1-dev", &path);
    std::fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(1 << 30)).expect("cut");
    let missing = machine.lacks("flux1-dev", Role::Transformer);
    assert_eq!(missing.passed_over[0].path, path);
    assert!(missing.passed_over[0].reason.contains("1073741824 bytes"), "{missing:?}");
    // Nothing says how long it should be, but its header does.
    let path = machine.at("ms/hub/models/MAILAND/majicflus_v1/majicflus_v134.safetensors");
    sparse::published("majicflus-v134", &path);
    std::fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(1 << 30)).expect("cut");
    let missing = machine.lacks("majicflus_v1", Role::Transformer);
    assert_eq!(missing.passed_over[0].path, path);
    // Another file of the right name.
    std::fs::remove_file(&path).expect("it was there");
    sparse::published("clip-l", &path);
    let missing = machine.lacks("majicflus_v1", Role::Transformer);
    assert!(missing.passed_over[0].reason.contains("not the transformer"), "{missing:?}");
}

#[test]
fn nanos_parts_are_none_of_flux1s() {
    let machine = Machine::new();
    for file in ["flux1-nano-fp8", "t5", "clip", "ae"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("models/nano/{file}.safetensors"));
        assert_eq!(machine.recogniser.roles(&path), Ok(vec![]), "{file}");
    }
}

#[test]
fn a_worker_lists_what_draws_and_says_what_the_others_lack() {
    let root = tempfile::tempdir().expect("a directory");
    let paths = Paths::under(root.path());
    let folder = root.path().join("库");
    std::fs::create_dir(&paths.config).expect("a directory");
    std::fs::write(paths.config.join("models.toml"), format!("folders = [{folder:?}]\n")).expect("written");
    for id in ["flux1-dev", "t5-xxl-fp16", "clip-l", "flux1-vae"] {
        sparse::published(id, &folder.join(id));
    }
    let models = Catalogued::new(&paths);
    let dev = ModelName::new("flux1-dev");
    let listed = |name: &ModelName| models.infos().iter().any(|info| info.name == *name);
    assert!(listed(&dev) && models.check(&dev).is_ok());
    std::fs::remove_file(folder.join("clip-l")).expect("it was there");
    assert!(!listed(&dev), "it is listed without CLIP");
    let Err(Refusal::LackingModel(reason)) = models.check(&dev) else { panic!("it is taken without CLIP") };
    assert!(reason.contains("the CLIP encoder (clip_l.safetensors, 246.1 MB)"), "{reason}");
    let unknown = models.check(&ModelName::new("flux9")).expect_err("there is none");
    assert!(matches!(unknown, Refusal::UnknownModel { .. }));
}

#[test]
fn a_file_without_guidance_is_drawn_as_schnell_whatever_it_is_called() {
    let machine = Machine::new();
    for id in ["t5-xxl-fp8", "clip-l", "flux1-vae"] {
        sparse::published(id, &machine.at("own").join(id));
    }
    for (guidance, steps, tokens) in [(false, 4, 256), (true, 28, 512)] {
        let path = machine.at("下载/flux1-dev.safetensors");
        sparse::write(&path, "BF16", &sparse::transformer(guidance), None);
        let name = ModelName::new(path.to_str().expect("text"));
        let found =
            machine.search(|search| find(&Catalog::default(), search, &name)).expect("all of it is here");
        assert_eq!((found.info.defaults.steps, found.info.limits.t5), (steps, tokens));
        assert_eq!(found.parts.transformer, Source::File(path));
        assert_eq!(found.parts.vae, Source::File(machine.at("own/flux1-vae")));
    }
}
