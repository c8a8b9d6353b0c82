//! What is kept comes back bit for bit, for this picture alone, and goes with it.

use super::*;
use crate::job::{Content, JobState, Prompt, Seed};
use crate::library::samples;

fn job(prompt: &str, steps: u32) -> Job {
    let prompt = Prompt::new(prompt).expect("it is not empty");
    let size = Size::new(32, 16).expect("it is on the grid");
    Job::new(prompt, ModelName::new("nano"), size, steps, 3.5, Seed::Fixed(7), 2).expect("it is in range")
}

fn key(id: JobId, index: u32) -> CheckpointKey {
    CheckpointKey::new(id, index, 7, &job("a", 4), "fp32; weights 1; schedule 2".into())
}

fn checkpoint(key: CheckpointKey) -> Checkpoint {
    let values = vec![0.1, -0.0, f32::MIN_POSITIVE, 1e30, 5.0, 6.0];
    Checkpoint { key, step: 2, tokens: 2, channels: 3, values }
}

struct Place {
    root: tempfile::TempDir,
    library: Library,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let library = open(root.path());
        Self { root, library }
    }

    fn accept(&mut self) -> JobId {
        self.library.accept(&job("a", 4), 7, 0).expect("it is accepted").id
    }

    fn keep(&mut self, id: JobId, index: u32) {
        assert!(self.library.keep_checkpoint(&checkpoint(key(id, index))).expect("there is room"));
    }

    fn files(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.path().join("checkpoints")) else { return Vec::new() };
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> = entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn file(&self, id: JobId) -> PathBuf {
        self.root.path().join("checkpoints").join(format!("{id}-0.latent"))
    }
}

fn open(root: &Path) -> Library {
    samples::open(root)
}

#[test]
fn what_is_kept_comes_back_bit_for_bit_and_only_the_latest() {
    let mut place = Place::new();
    let id = place.accept();
    assert_eq!(place.library.checkpoint(&key(id, 0)), None);
    place.keep(id, 0);
    let later = Checkpoint { step: 3, values: vec![9.0; 6], ..checkpoint(key(id, 0)) };
    place.library.keep_checkpoint(&later).expect("there is room");
    assert_eq!(place.library.checkpoint(&key(id, 0)), Some(later));
    place.keep(id, 1);
    let found = place.library.checkpoint(&key(id, 1)).expect("it is there");
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&found.values), bits(&checkpoint(key(id, 1)).values));
    assert_eq!(place.files(), [format!("{id}-0.latent"), format!("{id}-1.latent")]);
}

#[test]
fn one_that_differs_in_anything_is_not_used_and_goes() {
    let mut place = Place::new();
    let id = place.accept();
    let other = |job: &Job, seed, numerics: &str| CheckpointKey::new(id, 0, seed, job, numerics.into());
    let numerics = "fp32; weights 1; schedule 2";
    let (mut wide, mut dev) = (job("a", 4), job("a", 4));
    wide.size = Size::new(48, 16).expect("a size");
    dev.model = ModelName::new("dev");
    let others = [
        ("seed", other(&job("a", 4), 8, numerics)),
        ("prompt", other(&job("b", 4), 7, numerics)),
        ("steps", other(&job("a", 5), 7, numerics)),
        ("size", other(&wide, 7, numerics)),
        ("model", other(&dev, 7, numerics)),
        ("weights, precision or schedule", other(&job("a", 4), 7, "fp32; weights 1; schedule 3")),
        ("version of the program", CheckpointKey { version: "0".into(), ..key(id, 0) }),
        ("guidance", CheckpointKey { guidance: 3.6, ..key(id, 0) }),
    ];
    for (part, other) in others {
        place.keep(id, 0);
        assert_eq!(key(id, 0).difference(&other), Some(part));
        assert_eq!(place.library.checkpoint(&other), None, "{part}");
        assert_eq!(place.files(), [] as [String; 0], "{part}");
    }
}

#[test]
fn one_that_is_not_whole_or_claims_what_it_has_not_is_not_used() {
    let mut place = Place::new();
    let id = place.accept();
    let whole = checkpoint(key(id, 0)).to_bytes().expect("it is JSON");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let claims = |step, tokens, channels| Checkpoint { step, tokens, channels, ..checkpoint(key(id, 0)) };
    let lying =
        [claims(2, usize::MAX, 2), claims(2, 3, 3), claims(0, 2, 3), claims(2, 0, 3), claims(999, 2, 3)];
    let lying = lying.map(|checkpoint| checkpoint.to_bytes().expect("it is JSON"));
    let mut long_header = whole[..whole.len() - HASH].to_vec();
    long_header[MAGIC.len()..MAGIC.len() + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let hash = Sha256::digest(&long_header);
    long_header.extend_from_slice(&hash);
    let cut = (0..whole.len()).step_by(7).map(|length| whole[..length].to_vec());
    for bytes in cut.chain(lying).chain([flipped, long_header]) {
        place.keep(id, 0);
        fs::write(place.file(id), &bytes).expect("it can be written");
        assert_eq!(place.library.checkpoint(&key(id, 0)), None, "{} bytes", bytes.len());
        assert_eq!(place.files(), [] as [String; 0]);
    }
    place.keep(id, 0);
    File::options().write(true).open(place.file(id)).and_then(|file| file.set_len(1 << 40)).expect("sparse");
    assert_eq!(place.library.checkpoint(&key(id, 0)), None, "a terabyte is not read");
}

#[test]
fn they_go_when_the_job_is_over_and_none_comes_after() {
    for end in [JobState::Cancelled, JobState::Failed { reason: "no memory".into() }] {
        let mut place = Place::new();
        let (id, other) = (place.accept(), place.accept());
        place.keep(id, 0);
        place.keep(id, 1);
        place.keep(other, 0);
        place.library.set_state(id, &JobState::Running, 1).expect("it is kept");
        assert_eq!(place.files().len(), 3, "a job that goes on keeps them");
        place.library.set_state(id, &end, 2).expect("it is kept");
        assert_eq!(place.files(), [format!("{other}-0.latent")]);
        assert!(!place.library.keep_checkpoint(&checkpoint(key(id, 0))).expect("it is answered"));
        assert_eq!(place.files(), [format!("{other}-0.latent")]);
    }
}

#[test]
fn a_pictures_goes_when_it_is_recorded_and_recovery_sweeps_the_rest() {
    let mut place = Place::new();
    let id = place.accept();
    place.keep(id, 0);
    place.keep(id, 1);
    let job = job("a", 4);
    let recipe = samples::recipe(&job, 7);
    let content = Content::of(b"a picture");
    let name = place.library.intend(id, 0, &recipe, content, &jiff::Zoned::now()).expect("it is noted");
    place.library.folder().write(&name, b"a picture").expect("it is written");
    place.library.record(id, 0).expect("it is recorded");
    assert_eq!(place.files(), [format!("{id}-1.latent")]);

    let directory = place.root.path().join("checkpoints");
    for left in [format!("{id}-1.part"), format!("{id}-0.latent"), "99-0.latent".into(), "what".into()] {
        fs::write(directory.join(left), b"left behind").expect("it can be written");
    }
    place.library.recover().expect("it is whole");
    assert_eq!(place.files(), [format!("{id}-1.latent")], "that picture is still to be drawn");
    assert_eq!(place.library.checkpoint(&key(id, 1)), Some(checkpoint(key(id, 1))));
}
