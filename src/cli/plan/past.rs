//! `flux-tui plan --past N`: what pictures took of a card beside what was planned for them.

use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::stdout;
use crate::device::LoadOptions;
use crate::library::{Glance, Past};
use crate::model::ModelName;
use crate::paths::Paths;

/// One picture.
#[derive(Serialize)]
struct Told {
    picture: i64,
    model: ModelName,
    #[serde(flatten)]
    load: LoadOptions,
    width: u32,
    height: u32,
    steps: u32,
    /// Bytes.
    planned_peak: u64,
    peak: Option<u64>,
    /// Shares of what came: 0.05 is five percent too high.
    peak_error: Option<f64>,
    /// Seconds.
    planned_step: f64,
    step: Option<f64>,
    step_error: Option<f64>,
}

impl From<Past> for Told {
    fn from(past: Past) -> Self {
        let Past { picture, model, load, size, steps, compared } = past;
        Self {
            picture: picture.0,
            model,
            load,
            width: size.width(),
            height: size.height(),
            steps,
            planned_peak: compared.foreseen.peak,
            peak: compared.peak,
            peak_error: compared.peak_error(),
            planned_step: compared.foreseen.step,
            step: compared.step,
            step_error: compared.step_error(),
        }
    }
}

/// Tells of the latest `count` pictures.
pub(super) fn tell(paths: &Paths, count: u32, json: bool) -> Result<(), Failure> {
    let past = match Glance::at(&paths.library())? {
        Some(glance) => glance.past_usage(count)?,
        None => Vec::new(),
    };
    let told: Vec<Told> = past.into_iter().map(Told::from).collect();
    if json { stdout::json(&told) } else { stdout::write(&page(&told)) }
}

fn page(told: &[Told]) -> String {
    if told.is_empty() {
        return "no picture has been drawn on a card yet\n".to_owned();
    }
    told.iter().map(line).collect()
}

fn line(told: &Told) -> String {
    let Told { picture, model, width, height, steps, .. } = told;
    let budget = told.load.vram_budget.map_or_else(String::new, |budget| format!(" within {budget}"));
    let peak = match told.peak {
        Some(peak) => format!("{:.2} GB came ({})", peak as f64 / 1e9, percent(told.peak_error)),
        None => "the driver does not say what came".to_owned(),
    };
    let step = match told.step {
        Some(step) => format!("{step:.4} s came ({})", percent(told.step_error)),
        None => "too few steps to tell".to_owned(),
    };
    format!(
        "#{picture} {model} {width}x{height} in {steps}{budget}: peak {:.2} GB planned, {peak}; step {:.4} s planned, \
         {step}\n",
        told.planned_peak as f64 / 1e9,
        told.planned_step,
    )
}

/// How much too high a prediction was.
fn percent(error: Option<f64>) -> String {
    error.map_or_else(String::new, |error| format!("{:+.1} %", 100.0 * error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::VramBudget;
    use crate::job::{PictureId, Size};
    use crate::usage::{Compared, Foreseen};

    fn past(peak: Option<u64>, step: Option<f64>) -> Past {
        Past {
            picture: PictureId(7),
            model: ModelName::new("mine"),
            load: LoadOptions { vram_budget: Some(VramBudget(8_000_000_000)), ..LoadOptions::default() },
            size: Size::new(1024, 768).expect("it is on the grid"),
            steps: 20,
            compared: Compared {
                foreseen: Foreseen { peak: 7_900_000_000, context: 600_000_000, step: 0.08 },
                peak,
                step,
            },
        }
    }

    #[test]
    fn a_line_has_what_was_planned_and_what_came() {
        let page = page(&[past(Some(7_800_000_000), Some(0.0816)).into()]);
        assert_eq!(
            page,
            "#7 mine 1024x768 in 20 within 8 GB: peak 7.90 GB planned, 7.80 GB came (+1.3 %); step 0.0800 s planned, \
             0.0816 s came (-2.0 %)\n"
        );
    }

    #[test]
    fn what_is_not_known_is_said() {
        let page = page(&[past(None, None).into()]);
        assert!(page.contains("the driver does not say") && page.contains("too few steps"), "{page}");
        assert!(super::page(&[]).contains("no picture"));
    }

    #[test]
    fn json_has_errors_as_shares() {
        let told = Told::from(past(Some(7_900_000_000), None));
        let json = serde_json::to_value(told).expect("it can be written");
        assert_eq!((json["peak_error"].as_f64(), json["step"].as_f64()), (Some(0.0), None));
        assert_eq!(json["vram_budget"], 8_000_000_000_u64);
    }
}
