//! `flux-tui models convert`: a wide transformer becomes fp8 once, and is kept.

use std::path::PathBuf;

use serde::Serialize;

use super::bar::Bar;
use super::pull::interruptible;
use crate::catalog::Bytes;
use crate::cli::failure::Failure;
use crate::cli::generate::{find, model_name};
use crate::cli::{stdout, text};
use crate::engine::converted::{self, Kept};
use crate::engine::{Observer, Report};
use crate::fetch::Cancel;
use crate::model::ModelName;
use crate::paths::Paths;

/// Convert a model's transformer from bf16, fp16 or fp32 to fp8 once, so that loading it in fp8 reads half as much.
///
/// The values are those that a card makes of it at each load with --precision fp8; the picture is the same. The file is
/// kept in the cache and found there by itself.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model's name, or a path with / in it: a transformer's file or folder.
    model: String,
    /// Write the file here instead: a transformer of its own, in BFL's names.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let paths = Paths::from_env()?;
    let name = model_name(&args.model);
    let parts = find(&paths, &name)?.parts;
    let (bar, cancel) = (Bar::new(), Cancel::default());
    let kept = interruptible(&cancel, {
        let (mut shown, to) = (Shown { bar: bar.clone(), cancel: cancel.clone() }, args.to.clone());
        move || converted::keep(&parts, &paths.converted(), to.as_deref(), &mut shown)
    })?;
    bar.clear();
    let kept = kept.map_err(Failure::Convert)?;
    if args.json {
        return stdout::json(&Told::new(name, &kept));
    }
    let Kept { file, bytes, from, present } = &kept;
    let was = if *present { ", was there already" } else { "" };
    let line = format!("{} ({}, from {}{was})", file.display(), Bytes(*bytes), from.name());
    stdout::line(&text::plain(&line))
}

/// The bar, and the wish to end.
struct Shown {
    bar: Bar,
    cancel: Cancel,
}

impl Observer for Shown {
    fn report(&mut self, report: Report<'_>) {
        if let Report::Loading { done, total } = report {
            self.bar.read(done, total, &format!("{} of {}", Bytes(done), Bytes(total)));
        }
    }

    fn wants_stop(&self) -> bool {
        self.cancel.is_stopped()
    }
}

#[derive(Serialize)]
struct Told {
    model: ModelName,
    file: String,
    bytes: u64,
    /// The type that most of its blocks had: `bf16`, `fp16`, `fp32`.
    from: String,
    /// `converted` or `present`.
    outcome: &'static str,
}

impl Told {
    fn new(model: ModelName, kept: &Kept) -> Self {
        let Kept { file, bytes, from, present } = kept;
        let outcome = if *present { "present" } else { "converted" };
        Self { model, file: file.display().to_string(), bytes: *bytes, from: from.name(), outcome }
    }
}
