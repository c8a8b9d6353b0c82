//! The bar on standard error: what is being done, how far, and the seconds left. Nothing at all
//! when standard error is not a terminal.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::wire::message::{Progress, Stage};

/// The bar. Dropping it takes it off the screen.
#[derive(Debug)]
pub(in crate::cli) struct Bar {
    bar: ProgressBar,
    count: u32,
}

impl Bar {
    /// For a picture.
    pub(in crate::cli) fn new() -> Self {
        let seen = std::io::stderr().is_terminal();
        let target = if seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(1), target);
        bar.set_style(style("{msg}"));
        Self { bar, count: 1 }
    }

    /// For so many.
    pub(in crate::cli) fn expect(&mut self, count: u32) {
        self.count = count;
    }

    /// A line without a bar: nothing is known yet about how long it will take.
    pub(in crate::cli) fn say(&self, text: &str) {
        self.bar.set_style(style("{msg}"));
        self.bar.set_message(text.to_owned());
        self.bar.tick();
    }

    /// How far the job is.
    pub(in crate::cli) fn update(&self, progress: &Progress) {
        let (position, length, text) = line(progress, self.count);
        match length {
            Some(length) => {
                self.bar.set_style(style("{msg} [{bar:30}] {prefix}"));
                self.bar.set_length(length);
                self.bar.set_position(position);
                self.bar.set_prefix(beside(progress));
                self.bar.set_message(text);
            }
            None => self.say(&text),
        }
    }

    /// Takes the bar away while `print` prints.
    pub(in crate::cli) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates of this file are tested")
        .progress_chars("=> ")
}

/// Position, length if there is one, and what is being done.
fn line(progress: &Progress, count: u32) -> (u64, Option<u64>, String) {
    let picture = if count > 1 { format!("{} of {count}: ", progress.index + 1) } else { String::new() };
    let (position, length, doing) = match progress.stage {
        Stage::Loading { done, total } if total > 0 => (done, Some(total), "reading the model"),
        Stage::Loading { .. } => (0, None, "reading the model"),
        Stage::Encoding => (0, None, "reading the prompt"),
        Stage::Drawing { step, steps, .. } => (step.into(), Some(steps.into()), "drawing"),
        Stage::Decoding => (0, None, "decoding"),
        Stage::Saving => (0, None, "saving"),
    };
    (position, length, format!("{picture}{doing}"))
}

/// What stands beside the bar.
fn beside(progress: &Progress) -> String {
    let far = match progress.stage {
        Stage::Drawing { step, steps, .. } => format!("{step}/{steps}"),
        Stage::Loading { done, total } if total > 0 => format!("{} %", done.saturating_mul(100) / total),
        _ => String::new(),
    };
    match progress.remaining {
        Some(seconds) => format!("{far}, {seconds:.1} s left"),
        None => far,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::job::JobId;

    fn at(stage: Stage, remaining: Option<f64>) -> Progress {
        let (device, job) = (Device::Cpu, JobId(1));
        Progress { device, job, index: 1, seed: 7, stage, elapsed: 1.0, remaining }
    }

    #[test]
    fn drawing_shows_steps_and_seconds() {
        let progress = at(Stage::Drawing { step: 14, steps: 20, sigma: 0.4 }, Some(6.13));
        assert_eq!(line(&progress, 4), (14, Some(20), "2 of 4: drawing".to_owned()));
        assert_eq!(beside(&progress), "14/20, 6.1 s left");
    }

    #[test]
    fn loading_shows_percent_and_survives_a_total_of_zero() {
        assert_eq!(beside(&at(Stage::Loading { done: 50, total: 200 }, None)), "25 %");
        assert_eq!(line(&at(Stage::Loading { done: 0, total: 0 }, None), 1).1, None);
    }

    #[test]
    fn every_template_can_be_used() {
        let bar = Bar::new();
        bar.say("queued");
        bar.update(&at(Stage::Drawing { step: 1, steps: 2, sigma: 0.4 }, None));
        bar.update(&at(Stage::Decoding, None));
    }
}
