//! From the words of the command line to a [`Job`], through the checks of [`crate::job`].

use std::io::Read;
use std::path::{Path, PathBuf};

use super::like;
use crate::catalog::Catalog;
use crate::cli::failure::Failure;
use crate::cli::{load, text};
use crate::client::HostName;
use crate::config::wildcards;
use crate::device::DeviceChoice;
use crate::job::shape::{Ratio, megapixels, read_megapixels};
use crate::job::{self, Job, JobError, LoraChoice, PROMPT_BYTES, Prompt, SIZE_MULTIPLE, Seed, Size};
use crate::model::{ModelInfo, ModelName};
use crate::paths::Paths;
use crate::worker::{self, NoModel, Ready, Recogniser};

/// What a job can be asked for by.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Asked {
    /// What to draw; `-` reads it from standard input.
    #[arg(required_unless_present = "like")]
    prompt: Option<String>,
    /// A picture that this program drew: what is not said is as there, its seed and its LoRAs too.
    #[arg(long, value_name = "PICTURE.png")]
    like: Option<PathBuf>,
    /// The model's name, or a path with / in it: a transformer's file or folder [default: the first there is].
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// Pixels across, a multiple of 16 up to 2048 [default: the model's].
    #[arg(long, value_name = "W", value_parser = width, allow_negative_numbers = true)]
    width: Option<u32>,
    /// Pixels down, a multiple of 16 up to 2048 [default: the model's].
    #[arg(long, value_name = "H", value_parser = height, allow_negative_numbers = true)]
    height: Option<u32>,
    /// The shape in place of width and height, as in 3:2 [default: the model's].
    #[arg(long, value_name = "W:H", conflicts_with_all = ["width", "height"])]
    ratio: Option<Ratio>,
    /// How many megapixels in that shape, 1 being 1024x1024; both sides become multiples of 16 [default: the model's].
    #[arg(long, value_name = "M", value_parser = read_megapixels, conflicts_with_all = ["width", "height"])]
    megapixels: Option<f64>,
    /// Steps, 1 to 200 [default: the model's].
    #[arg(long, value_name = "N", value_parser = steps, allow_negative_numbers = true)]
    steps: Option<u32>,
    /// The embedded guidance, 0 to 100 [default: the model's].
    #[arg(long, value_name = "G", value_parser = guidance, allow_negative_numbers = true)]
    guidance: Option<f32>,
    /// The seed of the first picture, each further one has the next; -1 draws one at random [default: -1].
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    seed: Option<Seed>,
    /// How many pictures, 1 to 1000.
    #[arg(long, value_name = "K", default_value = "1", value_parser = count, allow_negative_numbers = true)]
    count: u32,
    /// A LoRA to add and how much of it, 1 without a number: a file, or its name in a folder of LoRAs. May be given more
    /// than once; <lora:NAME:STRENGTH> in the prompt is the same.
    #[arg(long = "lora", value_name = "FILE[:STRENGTH[@FROM-TO%]]", value_parser = lora)]
    loras: Vec<LoraChoice>,
    /// Where to draw: auto, cpu, cuda for any card, cuda:N for one; auto takes a card where there is one.
    #[arg(long, value_name = "D")]
    device: Option<DeviceChoice>,
    #[command(flatten)]
    load: load::Flags,
}

/// The job that was asked for; what was not said is that of the picture that it is to be like, or else the model's
/// default. Where and how it is drawn is the configuration's when it was not said.
pub(in crate::cli) fn job(args: Asked, paths: &Paths, models: Offered<'_>) -> Result<Job, Failure> {
    let like = args.like.as_deref().map(|path| like::recipe(path, paths)).transpose()?;
    let (like, parent) = like.map_or((None, None), |(recipe, parent)| (Some(recipe), parent));
    let (known, mut loras) = like.as_ref().map(like::parts).transpose()?.unzip();
    let prompt = match args.prompt.as_deref() {
        Some("-") => Prompt::new(read_prompt(std::io::stdin().lock())?)?,
        Some(text) => Prompt::new(text)?,
        None => known.ok_or(JobError::EmptyPrompt)?,
    };
    let model = match (&args.model, &like) {
        (Some(name), _) => models.model(Some(name))?,
        (None, Some(recipe)) => models.model(Some(recipe.model.as_str()))?,
        (None, None) => models.model(None)?,
    };
    let defaults = model.defaults;
    let size = like.as_ref().map_or(defaults.size, |recipe| recipe.size);
    let size = match (args.ratio, args.megapixels) {
        (None, None) => size,
        (ratio, pixels) => ratio.unwrap_or(Ratio::of(size)).size(pixels.unwrap_or(megapixels(size)))?,
    };
    let size = Size::new(args.width.unwrap_or(size.width()), args.height.unwrap_or(size.height()))?;
    let steps = like.as_ref().map_or(defaults.steps, |recipe| recipe.steps);
    let guidance = like.as_ref().map_or(defaults.guidance, |recipe| recipe.guidance);
    let (steps, guidance) = (args.steps.unwrap_or(steps), args.guidance.unwrap_or(guidance));
    let seed = args.seed.or(like.map(|recipe| Seed::Fixed(recipe.seed))).unwrap_or(Seed::Random);
    if !args.loras.is_empty() {
        loras = Some(args.loras);
    }
    let wildcards = wildcards::gather(&paths.config, prompt.as_str())?;
    let job = Job::new(prompt, model.name, size, steps, guidance, seed, args.count)?;
    let (device, options) = args.load.placed(args.device, paths);
    let job = job.placed(device, options).iterated_from(parent).with_wildcards(wildcards);
    job.check_words()?;
    Ok(job.with_loras(loras.unwrap_or_default())?)
}

/// Which models there are to be asked for.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) enum Offered<'o> {
    /// Those of this machine.
    Here(&'o Paths),
    /// Those that another machine's worker draws with; the first is the default.
    There(&'o HostName, &'o [ModelInfo]),
}

impl Offered<'_> {
    fn model(self, name: Option<&str>) -> Result<ModelInfo, Failure> {
        match (self, name) {
            // The program has a model of its own.
            (Self::Here(paths), None) => Ok(catalog(&paths.config).entries()[0].info.clone()),
            (Self::Here(paths), Some(name)) => Ok(find(paths, &model_name(name))?.info),
            (Self::There(host, models), name) => {
                let found = match name {
                    None => models.first(),
                    Some(name) => models.iter().find(|model| model.name.as_str() == name),
                };
                found.cloned().ok_or_else(|| not_there(host, models, name.unwrap_or_default()))
            }
        }
    }
}

fn not_there(host: &HostName, models: &[ModelInfo], name: &str) -> Failure {
    let known: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
    Failure::NotThere { host: host.to_string(), name: name.to_owned(), known: known.join(", ") }
}

/// The model of a name or a path, with all its parts.
pub(in crate::cli) fn find(paths: &Paths, name: &ModelName) -> Result<Ready, NoModel> {
    let catalog = catalog(&paths.config);
    worker::search(&catalog, paths, &Recogniser::default(), |search| worker::find(&catalog, search, name))
}

/// The models that there are; what is wrong with a person's own is told and stops nothing.
pub(in crate::cli) fn catalog(config: &Path) -> Catalog {
    let (catalog, problems) = Catalog::load(config);
    for problem in problems {
        text::complain("warning", &problem.to_string());
    }
    catalog
}

/// A name as it is, a path made whole: the worker is elsewhere.
pub(in crate::cli) fn model_name(name: &str) -> ModelName {
    let whole = name.contains('/').then(|| std::path::absolute(name).ok()).flatten();
    // It was text, and so is our directory where it can be: otherwise no worker could be told.
    ModelName::new(whole.and_then(|path| path.into_os_string().into_string().ok()).unwrap_or(name.to_owned()))
}

/// All of the input, without the line end that `echo` adds. No more than a prompt may have is read.
fn read_prompt(input: impl Read) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    input.take(PROMPT_BYTES as u64 + 3).read_to_end(&mut bytes).map_err(Failure::Stdin)?;
    let end = bytes
        .strip_suffix(b"\n")
        .map_or(bytes.as_slice(), |line| line.strip_suffix(b"\r").unwrap_or(line))
        .len();
    bytes.truncate(end);
    if bytes.len() > PROMPT_BYTES {
        return Err(JobError::LongPrompt { bytes: bytes.len() }.into());
    }
    String::from_utf8(bytes).map_err(|error| Failure::StdinNotText { at: error.utf8_error().valid_up_to() })
}

pub(in crate::cli) fn width(text: &str) -> Result<u32, String> {
    let value = whole(text)?;
    Size::new(value, SIZE_MULTIPLE).map(Size::width).map_err(|error| error.to_string())
}

pub(in crate::cli) fn height(text: &str) -> Result<u32, String> {
    let value = whole(text)?;
    Size::new(SIZE_MULTIPLE, value).map(Size::height).map_err(|error| error.to_string())
}

pub(in crate::cli) fn steps(text: &str) -> Result<u32, String> {
    job::check_steps(whole(text)?).map_err(|error| error.to_string())
}

pub(in crate::cli) fn count(text: &str) -> Result<u32, String> {
    job::check_count(whole(text)?).map_err(|error| error.to_string())
}

pub(in crate::cli) fn guidance(text: &str) -> Result<f32, String> {
    let value = text.trim().parse().map_err(|_| format!("{text:?} is not a number"))?;
    job::check_guidance(value).map_err(|error| error.to_string())
}

/// A file, which is made whole, or a name in the folders of LoRAs: a word without / and without the ending of one.
pub(in crate::cli) fn lora(text: &str) -> Result<LoraChoice, JobError> {
    // A file may have a colon in its name.
    let asked = if Path::new(text).is_file() { LoraChoice::new(text, 1.0)? } else { text.parse()? };
    let file = asked.file();
    let like_a_path = file.contains('/') || file.ends_with(".safetensors");
    let is_path =
        like_a_path && Path::new(file).is_file() || file.starts_with("./") || file.starts_with("../");
    let whole =
        is_path.then(|| std::path::absolute(file).ok()?.into_os_string().into_string().ok()).flatten();
    whole.map_or(Ok(asked.clone()), |whole| asked.of_file(whole))
}

pub(in crate::cli) fn seed(text: &str) -> Result<Seed, JobError> {
    text.parse()
}

/// A number too large for any field is out of range, not "not a number".
fn whole(text: &str) -> Result<u32, String> {
    let text = text.trim();
    match text.parse::<u32>() {
        Ok(value) => Ok(value),
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(u32::MAX),
        Err(_) => Err(format!("{text:?} is not a whole number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_off_the_grid_name_the_side_and_the_nearest() {
        let message = width("100").expect_err("not a multiple");
        assert!(message.contains("width 100") && message.contains("nearest is 96"), "{message}");
        let message = height("4096").expect_err("too large");
        assert!(message.contains("height 4096") && message.contains("2048"), "{message}");
        assert!(width("0").is_err() && height("-16").is_err() && width("99999999999").is_err());
        assert_eq!((width("2048"), height("16")), (Ok(2048), Ok(16)));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for text in ["0", "201", "-1", "x", "", "99999999999999"] {
            assert!(steps(text).is_err(), "{text}");
        }
        for text in ["NaN", "nan", "inf", "-1", "101", "x", ""] {
            assert!(guidance(text).is_err(), "{text}");
        }
        for text in ["18446744073709551616", "-2", "1.5", "x", ""] {
            assert!(seed(text).is_err(), "{text}");
        }
        assert_eq!(seed("18446744073709551615"), Ok(Seed::Fixed(u64::MAX)));
        assert_eq!(seed("-1"), Ok(Seed::Random));
        assert!(count("0").is_err() && count("1001").is_err());
    }

    #[test]
    fn standard_input_loses_only_its_last_line_end() {
        assert_eq!(read_prompt(&b"a red\napple\r\n"[..]).expect("text"), "a red\napple");
        assert_eq!(read_prompt(&b""[..]).expect("text"), "");
    }

    #[test]
    fn standard_input_is_read_no_further_than_a_prompt_may_be_long() {
        let error = read_prompt(std::io::repeat(b'x')).expect_err("endless");
        assert!(matches!(error, Failure::Job(JobError::LongPrompt { .. })));
        let longest = "x".repeat(PROMPT_BYTES) + "\n";
        assert_eq!(read_prompt(longest.as_bytes()).expect("just fits").len(), PROMPT_BYTES);
    }

    #[test]
    fn standard_input_that_is_no_text_says_where() {
        let error = read_prompt(&b"ab\xff"[..]).expect_err("not UTF-8");
        assert!(matches!(error, Failure::StdinNotText { at: 2 }));
    }

    #[test]
    fn an_unknown_model_is_answered_with_those_that_there_are() {
        let nowhere = Paths::under(Path::new("/nowhere"));
        let here = Offered::Here(&nowhere);
        let message = here.model(Some("sdxl")).expect_err("no such model").to_string();
        assert!(message.contains("sdxl") && message.contains("nano"), "{message}");
        let nano = here.model(None).expect("there is a default");
        assert_eq!(nano.name.as_str(), "nano");

        let (host, models) = ("ann@server".parse().expect("a name"), [nano]);
        let there = Offered::There(&host, &models);
        let message = there.model(Some("sdxl")).expect_err("no such model").to_string();
        assert!(["sdxl", "nano", "ann@server"].iter().all(|part| message.contains(part)), "{message}");
        assert_eq!(there.model(None).expect("there is a default").name.as_str(), "nano");
    }
}
