//! `flux-tui queue edit`: another prompt or other parameters for a job that waits.

use super::{change, list};
use crate::cli::block_on;
use crate::cli::failure::Failure;
use crate::cli::generate::{model_name, request};
use crate::client::{Asking, ClientError, Endpoint};
use crate::config::wildcards;
use crate::job::{Job, JobId, LoraChoice, Prompt, Seed, Size};
use crate::paths::Paths;
use crate::wire::message::{Refusal, Request};
use crate::wire::queue::QueueChange;

/// Change a job that waits and of which nothing was begun. What is not said stays.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Its number, as `queue list` tells it.
    #[arg(value_name = "JOB")]
    id: i64,
    /// What to draw.
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// The model's name, or a path with / in it.
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// Pixels across, a multiple of 16 up to 2048.
    #[arg(long, value_name = "W", value_parser = request::width, allow_negative_numbers = true)]
    width: Option<u32>,
    /// Pixels down, a multiple of 16 up to 2048.
    #[arg(long, value_name = "H", value_parser = request::height, allow_negative_numbers = true)]
    height: Option<u32>,
    /// Steps, 1 to 200.
    #[arg(long, value_name = "N", value_parser = request::steps, allow_negative_numbers = true)]
    steps: Option<u32>,
    /// The embedded guidance, 0 to 100.
    #[arg(long, value_name = "G", value_parser = request::guidance, allow_negative_numbers = true)]
    guidance: Option<f32>,
    /// The seed of the first picture; -1 draws one at random.
    #[arg(long, value_name = "N", value_parser = request::seed, allow_negative_numbers = true)]
    seed: Option<Seed>,
    /// How many pictures, 1 to 1000.
    #[arg(long, value_name = "K", value_parser = request::count, allow_negative_numbers = true)]
    count: Option<u32>,
    /// LoRAs in place of those that it has beside its prompt, as for `generate`; may be given more than once.
    #[arg(long = "lora", value_name = "FILE[:STRENGTH[@FROM-TO%]]", value_parser = request::lora, conflicts_with = "no_loras")]
    loras: Vec<LoraChoice>,
    /// No LoRAs but those of the prompt's tags.
    #[arg(long)]
    no_loras: bool,
    /// One JSON object on standard output: changed, and the job as the library has it.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(at: &Endpoint, paths: &Paths, args: Args) -> Result<(), Failure> {
    let (id, json) = (JobId(args.id), args.json);
    let job = block_on(async {
        let (client, _) = at.connect_or_start(Asking::Here).await?;
        let jobs = list::snapshot(&client).await?.jobs;
        let found = jobs.into_iter().find(|status| status.id == id && !status.state.is_over());
        let job = found.map(|status| status.job).ok_or(ClientError::Refused(Refusal::UnknownJob(id)))?;
        let change = QueueChange::Edit { job: id, to: Box::new(changed(job, args, paths)?) };
        change::call(&client, Request::Queue(change)).await
    })?;
    change::tell(job.as_ref(), "changed", json)
}

fn changed(job: Job, args: Args, paths: &Paths) -> Result<Job, Failure> {
    let size = Size::new(args.width.unwrap_or(job.size.width()), args.height.unwrap_or(job.size.height()))?;
    let (steps, guidance) = (args.steps.unwrap_or(job.steps()), args.guidance.unwrap_or(job.guidance()));
    let (seed, count) = (args.seed.unwrap_or(job.seed), args.count.unwrap_or(job.count()));
    let prompt = args.prompt.map(Prompt::new).transpose()?;
    // The lines of a prompt that stays do too.
    let lines =
        prompt.as_ref().map(|prompt| wildcards::gather(&paths.config, prompt.as_str())).transpose()?;
    let lines = lines.unwrap_or_else(|| job.wildcards().clone());
    let prompt = prompt.unwrap_or_else(|| job.prompt.clone());
    let model = args.model.map_or_else(|| job.model.clone(), |name| model_name(&name));
    let loras = match &args.loras[..] {
        [] if args.no_loras => Vec::new(),
        [] => job.loras().to_vec(),
        loras => loras.to_vec(),
    };
    let (device, load) = (job.device, job.load);
    let changed = Job::new(prompt, model, size, steps, guidance, seed, count)?.placed(device, load);
    let changed = changed.with_wildcards(lines);
    changed.check_words()?;
    Ok(changed.with_loras(loras)?)
}
