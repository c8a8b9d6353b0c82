//! `flux-tui`: the studio.

use std::io::IsTerminal as _;

use super::failure::Failure;
use super::{host, load};
use crate::catalog::Catalog;
use crate::config::{Graphics, JobDefaults, LanguageChoice};
use crate::device::DeviceChoice;
use crate::paths::Paths;
use crate::ui::{self, Source, StudioError, StudioOptions};

/// What the command line says of the studio; it goes before the configuration.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The theme: dark, light, lagoon, paper, high-contrast, ansi16, or one in the configuration's `themes`
    #[arg(long, value_name = "NAME")]
    theme: Option<String>,
    /// How pictures are shown, where the terminal's answers mislead
    #[arg(long, value_name = "HOW", value_parser = graphics())]
    graphics: Option<Graphics>,
    /// Only ASCII borders and signs
    #[arg(long)]
    ascii: bool,
    /// What it speaks: en, zh, or auto for what LC_ALL, LC_MESSAGES or LANG says
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<LanguageChoice>,
    /// Where new jobs are drawn: auto, cpu, cuda for any card, cuda:N for one
    #[arg(long, value_name = "D")]
    device: Option<DeviceChoice>,
    #[command(flatten)]
    load: load::Flags,
    #[command(flatten)]
    host: host::Flag,
}

/// The names of [`Graphics::ALL`].
pub(super) fn graphics() -> impl clap::builder::TypedValueParser<Value = Graphics> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    PossibleValuesParser::new(Graphics::ALL.map(|(name, _)| name)).map(|name| {
        let known = Graphics::ALL.into_iter().find(|(known, _)| *known == name);
        known.map_or_else(Graphics::default, |(_, graphics)| graphics)
    })
}

/// Opens the studio.
///
/// # Errors
/// When there is no terminal, or it cannot be used.
pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = Paths::from_env()?;
    let Args { theme, graphics, ascii, language, device, load, host } = args;
    let defaults = JobDefaults { device, ..load.defaults() };
    let at = host.endpoint(&paths);
    // The worker leaves out what is wrong there; here is where a person looks. Of another machine it is theirs to say.
    let (_, problems) = if at.host().is_none() { Catalog::load(&paths.config) } else { Default::default() };
    let complaints = problems.iter().map(ToString::to_string).collect();
    let host = at.host().map(ToString::to_string);
    let options = StudioOptions { paths, theme, graphics, ascii, language, defaults, host, complaints };
    if !std::io::stdout().is_terminal() {
        // Not after a password was asked for.
        return Err(StudioError::NotATerminal.into());
    }
    super::block_on(async { Ok(ui::run(Source::open(at).await?, options).await?) })
}
