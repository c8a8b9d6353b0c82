//! What `flux-tui doctor` says about CUDA: driver, libraries, each card and what it will run.

use super::card::{self, Card};
use super::error::{CudaError, Result};
use super::flux::precision::{Asked, Stored, choose};
use super::gpu::{BUILT_WITH, Gpu, MODULES};
use crate::engine::examine::{Finding, State};

/// Looks at the driver, the libraries and every card.
#[must_use]
pub fn examine() -> Vec<Finding> {
    let mut findings = vec![match BUILT_WITH {
        "none" => Finding::new("kernels", State::Bad, CudaError::NoKernels.to_string()),
        version => Finding::new("kernels", State::Good, format!("built by CUDA {version}")),
    }];
    let cards = match card::driver_version() {
        Ok((major, minor)) => {
            findings.push(Finding::new("driver", State::Good, format!("speaks CUDA {major}.{minor}")));
            card::cards()
        }
        Err(error) => Err(error),
    };
    match cards {
        Ok(cards) if cards.is_empty() => {
            let says = CudaError::NoCard { asked: 0, there: 0 }.to_string();
            findings.push(Finding::new("cards", State::Note, says));
        }
        Ok(cards) => findings.extend(cards.iter().map(finding)),
        Err(error @ CudaError::NoDriver) => {
            findings.push(Finding::new("driver", State::Note, error.to_string()));
        }
        Err(error) => findings.push(Finding::new("driver", State::Bad, error.to_string())),
    }
    findings
}

fn finding(card: &Card) -> Finding {
    let about = format!("cuda:{}", card.ordinal);
    match try_out(card) {
        Ok(says) => Finding::new(about, State::Good, says),
        Err(error) => Finding::new(about, State::Bad, format!("{}: {error}", describe(card))),
    }
}

fn describe(card: &Card) -> String {
    let (major, minor) = card.capability;
    format!("{}, {:.1} GB, compute capability {major}.{minor}", card.name, card.memory as f64 / 1e9)
}

/// Opens the card and loads all that it would run.
fn try_out(card: &Card) -> Result<String> {
    let gpu = Gpu::open(card.ordinal)?;
    for module in MODULES {
        gpu.load_module(*module)?;
    }
    let (free, _) = gpu.free_and_total()?;
    let of_fp8 = choose(Asked::Auto, card, Stored::FP8)?;
    let attention =
        if card.is_hopper() { "Hopper's attention kernel" } else { "the attention kernel for every card" };
    Ok(format!(
        "{}, {:.1} GB free; fp8 weights run on {} ({}), bf16 weights in bf16, {attention}",
        describe(card),
        free as f64 / 1e9,
        of_fp8.precision.name(),
        of_fp8.because,
    ))
}
