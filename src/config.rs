//! The configuration file, `config.toml` in the configuration directory.
//!
//! ```toml
//! theme    = "dark"    # auto, dark, light, lagoon, paper, high-contrast, ansi16, or a file in themes/
//! graphics = "auto"    # auto, kitty, iterm2, sixel, halfblocks
//! ascii    = false     # plain borders and signs
//! language = "auto"    # auto, en, zh: what the studio speaks; auto is by LC_ALL, LC_MESSAGES, LANG
//!
//! [defaults]           # what new jobs begin with, instead of what suits the model
//! model    = "nano"
//! width    = 128
//! height   = 128
//! steps    = 20
//! guidance = 3.5
//! device    = "auto"   # auto, cpu, cuda, cuda:0, cuda:1 …
//! precision = "auto"   # auto, fp8, fp8-storage, bf16
//! vram_budget = "8GiB" # of a card's memory; without it, what is free
//! t5        = "auto"   # auto, card, cpu: where T5 reads prompts
//! merge_loras = "never" # never, resident: whether LoRAs are merged into weights that stay in memory
//!
//! [terminal]           # what it is told beside what is drawn
//! notify       = "auto" # auto, off, bell, osc9, osc99, osc777: the end of a long job
//! notify_after = "20s" # how long a job has to take for that
//! title        = true  # the window's title says what is drawn
//! progress     = "auto" # auto, on, off: how far it is, in the tab or the task bar
//!
//! [worker]             # times: 500ms, 10s, 5m, 8h, never
//! checkpoint_every = "10s" # how often it is kept how far a picture is
//! free_after = "10m"   # without work the device's memory is freed after so long
//! end_after  = "8h"    # without work and clients the worker ends after so long
//! keep_converted = false # keep on disk what a wide model becomes in fp8, so that it loads faster
//!
//! [host]               # for --host: how another machine is reached
//! command = ["ssh"]    # may have options: ["ssh", "-J", "gate"]
//! program = "flux-tui" # what is run there, by its shell
//! ```
//!
//! A file that is wrong never stops the program: each [`ConfigProblem`] names the line and what is
//! allowed, and only that value falls back to its default. What a theme holds is not here.

mod host;
mod language;
mod terminal;
mod worker;

pub mod snippets;
pub mod wildcards;

use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use host::HostConfig;
pub use language::LanguageChoice;
pub use terminal::{Notify, ShowProgress, TerminalConfig};
pub use worker::{Lapse, NoLapse, WorkerConfig};

use crate::device::{DeviceChoice, LoadOptions, MergeChoice, PrecisionChoice, T5Choice, VramBudget};
use crate::job::{Size, check_guidance, check_steps};
use crate::model::ModelName;

/// Longer files are not read: nobody writes a configuration of a megabyte.
const FILE_BYTES: u64 = 1 << 20;

/// What a person has set. `None` where they have not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// A theme's name; `None` for one that suits the terminal.
    pub theme: Option<String>,
    /// How pictures are shown.
    pub graphics: Graphics,
    /// Only ASCII borders and signs.
    pub ascii: bool,
    /// What the studio speaks.
    pub language: LanguageChoice,
    /// What new jobs begin with.
    pub defaults: JobDefaults,
    /// What the terminal is told.
    pub terminal: TerminalConfig,
    /// How the worker behaves.
    pub worker: WorkerConfig,
    /// How the worker of another machine is reached.
    pub host: HostConfig,
}

/// What new jobs begin with, where it differs from what suits the model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobDefaults {
    /// With which model.
    pub model: Option<ModelName>,
    /// Pixels across.
    pub width: Option<u32>,
    /// Pixels down.
    pub height: Option<u32>,
    /// Evaluations of the transformer.
    pub steps: Option<u32>,
    /// The embedded guidance.
    pub guidance: Option<f32>,
    /// Where.
    pub device: Option<DeviceChoice>,
    /// In which numbers.
    pub precision: Option<PrecisionChoice>,
    /// Within how much of a card's memory.
    pub vram_budget: Option<VramBudget>,
    /// Where T5 reads.
    pub t5: Option<T5Choice>,
    /// Whether LoRAs are merged.
    pub merge_loras: Option<MergeChoice>,
}

impl JobDefaults {
    /// The same; what it does not say is as in `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            model: self.model.or(other.model),
            width: self.width.or(other.width),
            height: self.height.or(other.height),
            steps: self.steps.or(other.steps),
            guidance: self.guidance.or(other.guidance),
            device: self.device.or(other.device),
            precision: self.precision.or(other.precision),
            vram_budget: self.vram_budget.or(other.vram_budget),
            t5: self.t5.or(other.t5),
            merge_loras: self.merge_loras.or(other.merge_loras),
        }
    }

    /// How models are loaded.
    #[must_use]
    pub fn load(&self) -> LoadOptions {
        LoadOptions {
            precision: self.precision.unwrap_or_default(),
            vram_budget: self.vram_budget,
            t5: self.t5.unwrap_or_default(),
            merge_loras: self.merge_loras.unwrap_or_default(),
        }
    }
}

/// How pictures get onto the screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Graphics {
    /// By what the terminal says of itself.
    #[default]
    Auto,
    /// kitty's protocol, with unicode placeholders.
    Kitty,
    /// iTerm2's inline pictures.
    Iterm2,
    /// Sixel.
    Sixel,
    /// Half a character cell a pixel, in any terminal with colours.
    HalfBlocks,
}

impl Graphics {
    /// Every choice, by the name it is written with.
    pub const ALL: [(&'static str, Self); 5] = [
        ("auto", Self::Auto),
        ("kitty", Self::Kitty),
        ("iterm2", Self::Iterm2),
        ("sixel", Self::Sixel),
        ("halfblocks", Self::HalfBlocks),
    ];
}

impl fmt::Display for Graphics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, choice)| choice == self).map_or("auto", |(name, _)| name))
    }
}

impl std::str::FromStr for Graphics {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, choice)| *choice)
            .ok_or_else(|| format!("{text:?} is not one of {}", Self::ALL.map(|(name, _)| name).join(", ")))
    }
}

/// What is wrong with the file, where, and what would work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {message}", path.display(), LineOf(*line))]
pub struct ConfigProblem {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; `None` when it is not about one.
    pub line: Option<usize>,
    /// What is wrong and what is allowed.
    pub message: String,
}

struct LineOf(Option<usize>);

impl fmt::Display for LineOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, ", line {line}"))
    }
}

impl Config {
    /// Reads `config.toml` of the configuration directory. A missing one is the default; a wrong
    /// one is as much of it as is right.
    #[must_use]
    pub fn load(directory: &Path) -> (Self, Vec<ConfigProblem>) {
        let path = directory.join("config.toml");
        match read_small(&path) {
            Ok(None) => (Self::default(), Vec::new()),
            Ok(Some(text)) => Self::parse(&text, &path),
            Err(message) => (Self::default(), vec![ConfigProblem { path, line: None, message }]),
        }
    }

    /// Parses the file's text; `path` is for the messages.
    #[must_use]
    pub fn parse(text: &str, path: &Path) -> (Self, Vec<ConfigProblem>) {
        let mut reading = Reading { text, path, config: Self::default(), problems: Vec::new() };
        match DeTable::parse(text) {
            Ok(table) => reading.table("", table.get_ref()),
            Err(error) => {
                let start = error.span().map_or(0, |span| span.start);
                reading.problem(start, format!("{}; nothing of the file is used", error.message()));
            }
        }
        (reading.config, reading.problems)
    }
}

/// The text of a file, `None` when there is none.
pub(crate) fn read_small(path: &Path) -> Result<Option<String>, String> {
    use std::io::Read;
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| format!("it cannot be opened: {error}"))?,
    };
    let mut text = String::new();
    file.take(FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("it cannot be read: {error}; nothing of the file is used"))?;
    if text.len() as u64 > FILE_BYTES {
        return Err(format!("it is over {FILE_BYTES} bytes long; nothing of the file is used"));
    }
    Ok(Some(text))
}

struct Reading<'t> {
    text: &'t str,
    path: &'t Path,
    config: Config,
    problems: Vec<ConfigProblem>,
}

type Value<'v> = Spanned<DeValue<'v>>;

impl Reading<'_> {
    fn problem(&mut self, offset: usize, message: String) {
        let offset = offset.min(self.text.len());
        let line = 1 + self.text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count();
        self.problems.push(ConfigProblem { path: self.path.to_owned(), line: Some(line), message });
    }

    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if let Err(message) = self.entry(section, name, value) {
                self.problem(key.span().start, message);
            }
        }
    }

    fn entry(&mut self, section: &str, key: &str, value: &Value<'_>) -> Result<(), String> {
        let Config { defaults, terminal, worker, host, .. } = &mut self.config;
        match (section, key) {
            ("", "theme") => self.config.theme = Some(string(key, value)?).filter(|name| name != "auto"),
            ("", "graphics") => {
                self.config.graphics =
                    string(key, value)?.parse().map_err(|error| format!("graphics {error}"))?;
            }
            ("", "ascii") => self.config.ascii = boolean(key, value)?,
            ("", "language") => self.config.language = named(key, value)?,
            ("", "defaults" | "terminal" | "worker" | "host") => {
                let section = value
                    .get_ref()
                    .as_table()
                    .ok_or_else(|| wrong(key, value, &format!("a section, [{key}]")))?;
                self.table(key, section);
            }
            ("terminal", "notify") => terminal.notify = named(key, value)?,
            ("terminal", "notify_after") => terminal.notify_after = Some(named(key, value)?),
            ("terminal", "title") => terminal.title = boolean(key, value)?,
            ("terminal", "progress") => terminal.progress = named(key, value)?,
            ("terminal", _) => {
                return Err(format!(
                    "{key:?} is not known in [terminal]; there are notify, notify_after, title, progress"
                ));
            }
            ("host", "command") => host.command = words(key, value)?,
            ("host", "program") => host.program = string(key, value)?.to_owned(),
            ("host", _) => return Err(format!("{key:?} is not known in [host]; there are command, program")),
            ("worker", "checkpoint_every") => worker.checkpoint_every = Some(named(key, value)?),
            ("worker", "free_after") => worker.free_after = Some(named(key, value)?),
            ("worker", "end_after") => worker.end_after = Some(named(key, value)?),
            ("worker", "keep_converted") => worker.keep_converted = boolean(key, value)?,
            ("worker", _) => {
                return Err(format!(
                    "{key:?} is not known in [worker]; there are checkpoint_every, free_after, end_after, \
                     keep_converted"
                ));
            }
            ("defaults", "model") => defaults.model = Some(ModelName::new(string(key, value)?)),
            ("defaults", "width") => defaults.width = Some(side(key, value)?),
            ("defaults", "height") => defaults.height = Some(side(key, value)?),
            ("defaults", "steps") => {
                defaults.steps = Some(check_steps(whole(key, value)?).map_err(|error| error.to_string())?);
            }
            ("defaults", "guidance") => {
                defaults.guidance =
                    Some(check_guidance(real(key, value)?).map_err(|error| error.to_string())?);
            }
            ("defaults", "device") => defaults.device = Some(named(key, value)?),
            ("defaults", "precision") => defaults.precision = Some(named(key, value)?),
            ("defaults", "vram_budget") => defaults.vram_budget = Some(named(key, value)?),
            ("defaults", "t5") => defaults.t5 = Some(named(key, value)?),
            ("defaults", "merge_loras") => defaults.merge_loras = Some(named(key, value)?),
            ("", _) => {
                return Err(format!(
                    "{key:?} is not known here; there are theme, graphics, ascii, language, [defaults], \
                     [terminal], [worker], [host]"
                ));
            }
            (section, _) => {
                return Err(format!(
                    "{key:?} is not known in [{section}]; there are model, width, height, steps, guidance, \
                     device, precision, vram_budget, t5, merge_loras"
                ));
            }
        }
        Ok(())
    }
}

fn wrong(key: &str, value: &Value<'_>, allowed: &str) -> String {
    format!("{key} is {}, it must be {allowed}", value.get_ref().type_str())
}

fn boolean(key: &str, value: &Value<'_>) -> Result<bool, String> {
    value.get_ref().as_bool().ok_or_else(|| wrong(key, value, "true or false"))
}

fn string(key: &str, value: &Value<'_>) -> Result<String, String> {
    value.get_ref().as_str().map(str::to_owned).ok_or_else(|| wrong(key, value, "a text in quotes"))
}

/// A program and its first arguments.
fn words(key: &str, value: &Value<'_>) -> Result<Vec<String>, String> {
    let no =
        || wrong(key, value, "a list of texts that begins with a program, like [\"ssh\", \"-J\", \"gate\"]");
    let list = value.get_ref().as_array().ok_or_else(no)?;
    let words: Option<Vec<String>> =
        list.iter().map(|word| word.get_ref().as_str().map(str::to_owned)).collect();
    words.filter(|words| words.first().is_some_and(|program| !program.is_empty())).ok_or_else(no)
}

fn named<T: std::str::FromStr<Err: fmt::Display>>(key: &str, value: &Value<'_>) -> Result<T, String> {
    string(key, value)?.parse().map_err(|error| format!("{key} {error}"))
}

fn whole(key: &str, value: &Value<'_>) -> Result<u32, String> {
    let integer = value.get_ref().as_integer().ok_or_else(|| wrong(key, value, "a whole number"))?;
    u32::from_str_radix(integer.as_str(), integer.radix())
        .map_err(|_| format!("{key} {integer} is out of range", integer = integer.as_str()))
}

fn real(key: &str, value: &Value<'_>) -> Result<f32, String> {
    let text = match value.get_ref() {
        DeValue::Float(float) => float.as_str(),
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
        _ => return Err(wrong(key, value, "a number")),
    };
    text.parse().map_err(|_| format!("{key} {text} is not a number"))
}

fn side(key: &str, value: &Value<'_>) -> Result<u32, String> {
    let pixels = whole(key, value)?;
    Size::new(pixels, pixels).map_err(|error| error.to_string().replacen("width", key, 1))?;
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn parse(text: &str) -> (Config, Vec<String>) {
        let (config, problems) = Config::parse(text, Path::new("config.toml"));
        (config, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_whole_file() {
        let (config, problems) = parse(
            "theme = \"light\"\ngraphics = \"sixel\"\nascii = true\nlanguage = \"zh\"\n\n[defaults]\nmodel = \"nano\"\n\
             width = 256\nheight = 128\nsteps = 12\nguidance = 4\ndevice = \"cuda:1\"\n\
             precision = \"fp8-storage\"\nvram_budget = \"7.9GB\"\nt5 = \"cpu\"\nmerge_loras = \"resident\"\n[worker]\nfree_after = \"5m\"\n\
             end_after = \"never\"\nkeep_converted = true\n[terminal]\nnotify = \"osc99\"\n\
             notify_after = \"1m\"\ntitle = false\nprogress = \"off\"\n[host]\ncommand = [\"ssh\", \"-J\", \"gate\"]\n\
             program = \"/opt/flux-tui\"\n",
        );
        assert_eq!(problems, [] as [String; 0]);
        assert_eq!(config.theme.as_deref(), Some("light"));
        assert_eq!((config.graphics, config.ascii), (Graphics::Sixel, true));
        assert_eq!(config.language, LanguageChoice::Chinese);
        assert_eq!((config.defaults.width, config.defaults.height), (Some(256), Some(128)));
        assert_eq!((config.defaults.steps, config.defaults.guidance), (Some(12), Some(4.0)));
        assert_eq!(config.defaults.device, Some(DeviceChoice::CudaAt(1)));
        let vram_budget = Some(VramBudget(7_900_000_000));
        let (precision, merge_loras) = (PrecisionChoice::Fp8Storage, MergeChoice::Resident);
        let load = LoadOptions { precision, vram_budget, t5: T5Choice::Cpu, merge_loras };
        assert_eq!(config.defaults.load(), load);
        let (free_after, end_after) = (Some(Lapse::After(Duration::from_secs(300))), Some(Lapse::Never));
        let wanted = WorkerConfig { checkpoint_every: None, free_after, end_after, keep_converted: true };
        assert_eq!(config.worker, wanted);
        let told = TerminalConfig {
            notify: Notify::Osc99,
            notify_after: Some(Lapse::After(Duration::from_secs(60))),
            title: false,
            progress: ShowProgress::Off,
        };
        assert_eq!(config.terminal, told);
        let command = ["ssh", "-J", "gate"].map(str::to_owned).to_vec();
        assert_eq!(config.host, HostConfig { command, program: "/opt/flux-tui".to_owned() });
    }

    #[test]
    fn each_wrong_value_is_named_with_its_line_and_the_others_are_kept() {
        let (config, problems) = parse(
            "theme = \"light\"\ngraphics = \"sixels\"\ncolour = 3\n[defaults]\nwidth = 100\nsteps = 0\n\
             guidance = nan\nheight = \"tall\"\ndevice = \"gpu\"\nprecision = 8\nvram_budget = \"8\"\n\
             t5 = \"gpu\"\n[worker]\nend_after = \"10\"\nfree_after = 3\nkeep_converted = 1\n\
             [host]\ncommand = []\nprogram = 1\nport = 22\n",
        );
        assert_eq!(config.theme.as_deref(), Some("light"));
        assert_eq!(config.graphics, Graphics::Auto);
        assert_eq!(config.defaults, JobDefaults::default());
        let expect = [
            ("line 2", "auto, kitty, iterm2, sixel, halfblocks"),
            ("line 3", "theme, graphics, ascii"),
            ("line 5", "nearest is 96"),
            ("line 6", "1 to 200"),
            ("line 7", "0 to 100"),
            ("line 8", "whole number"),
            ("line 9", "auto, cpu, cuda"),
            ("line 10", "text in quotes"),
            ("line 11", "like 8GiB"),
            ("line 12", "card or cpu"),
            ("line 14", "10s"),
            ("line 15", "text in quotes"),
            ("line 16", "true or false"),
            ("line 18", "begins with a program"),
            ("line 19", "text in quotes"),
            ("line 20", "command, program"),
        ];
        for (line, allowed) in expect {
            assert!(
                problems.iter().any(|problem| problem.contains(line) && problem.contains(allowed)),
                "no problem has {line} and {allowed}: {problems:#?}"
            );
        }
        assert_eq!(problems.len(), expect.len(), "{problems:#?}");
    }

    #[test]
    fn a_broken_file_is_one_problem_with_its_line_and_the_defaults() {
        let (config, problems) = parse("theme = \"dark\"\n[defaults\n");
        assert_eq!(config, Config::default());
        assert!(problems.len() == 1 && problems[0].contains("line 2"), "{problems:?}");
    }

    #[test]
    fn no_file_is_no_problem_and_a_directory_in_its_place_is_one() {
        let root = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(Config::load(root.path()), (Config::default(), Vec::new()));
        std::fs::create_dir_all(root.path().join("config.toml")).expect("a directory can be made");
        let (config, problems) = Config::load(root.path());
        assert_eq!(config, Config::default());
        assert!(problems[0].to_string().contains("config.toml"), "{problems:?}");
    }
}
