//! `flux-tui doctor`: what this machine can draw with, and what is in the way.

mod terminal;

use serde::Serialize;

use super::failure::Failure;
use super::{stdout, text};
use crate::engine::examine::{Finding, State, examine};
use crate::gpu::Sampler;

/// Say what this machine can draw with, and what is in the way.
///
/// Looks at the processor, NVIDIA's driver and libraries, and each card. Exit code 1 when there is a card that cannot
/// be used.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    about: Option<About>,
}

/// What else is looked at.
#[derive(Debug, clap::Subcommand)]
enum About {
    Terminal(terminal::Args),
}

#[derive(Serialize)]
struct Told {
    version: &'static str,
    findings: Vec<One>,
}

#[derive(Serialize)]
struct One {
    about: String,
    state: &'static str,
    says: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if let Some(About::Terminal(args)) = &args.about {
        return terminal::run(args);
    }
    let mut findings = examine();
    findings.extend(unused_cards(&findings, Sampler::new().sample().gpus.len()));
    let bad = findings.iter().filter(|finding| finding.state == State::Bad).count();
    if args.json {
        let findings = findings.into_iter().map(told).collect();
        stdout::json(&Told { version: env!("CARGO_PKG_VERSION"), findings })?;
    } else {
        stdout::write(&page(&findings))?;
    }
    if bad == 0 { Ok(()) } else { Err(Failure::InTheWay(text::count(bad, "thing"))) }
}

/// A card that NVML shows and nothing else speaks of: the driver works, the program cannot use it.
fn unused_cards(findings: &[Finding], there: usize) -> Option<Finding> {
    let spoken_of = findings.iter().any(|finding| finding.about.starts_with("cuda:"));
    (there > 0 && !spoken_of).then(|| Finding {
        about: "nvml".to_owned(),
        state: State::Bad,
        says: format!("{} here, and this program cannot use it", text::count(there, "card")),
    })
}

fn told(finding: Finding) -> One {
    One { about: finding.about, state: word(finding.state), says: finding.says }
}

fn word(state: State) -> &'static str {
    match state {
        State::Good => "good",
        State::Note => "note",
        State::Bad => "bad",
    }
}

fn page(findings: &[Finding]) -> String {
    let mark = |state| match state {
        State::Good => "ok",
        State::Note => "--",
        State::Bad => "!!",
    };
    let width = findings.iter().map(|finding| finding.about.len()).max().unwrap_or(0);
    let lines = findings
        .iter()
        .map(|finding| format!("{} {:width$}  {}\n", mark(finding.state), finding.about, finding.says));
    format!("flux-tui {}\n{}", env!("CARGO_PKG_VERSION"), lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(about: &str, state: State) -> Finding {
        Finding { about: about.to_owned(), state, says: "says".to_owned() }
    }

    #[test]
    fn a_card_that_nothing_can_use_is_in_the_way() {
        let without = [finding("cpu", State::Good), finding("cuda", State::Note)];
        assert_eq!(unused_cards(&without, 1).map(|finding| finding.state), Some(State::Bad));
        assert_eq!(unused_cards(&without, 0), None);
        assert_eq!(unused_cards(&[finding("cuda:0", State::Bad)], 1), None);
    }

    #[test]
    fn the_page_lines_up() {
        let page = page(&[finding("cpu", State::Good), finding("cuda:0", State::Bad)]);
        assert!(page.ends_with("ok cpu     says\n!! cuda:0  says\n"), "{page}");
    }
}
