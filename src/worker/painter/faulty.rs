//! An engine that goes wrong where a test has asked for it ([`crate::faults`]).

use crate::device::Share;
use crate::engine::{Brief, Draw, Drawn, EngineError, Observer, Report, StepLatent};
use crate::faults::{Fault, take};

/// An engine, and what of it goes wrong.
pub struct Faulty(pub Box<dyn Draw>);

/// Follows a picture to the step at which something goes wrong.
struct Until<'o> {
    observer: &'o mut dyn Observer,
    /// Where the picture begins or is gone on with has been told: what is told from then on are steps.
    begun: bool,
    fault: Option<EngineError>,
}

impl Observer for Until<'_> {
    fn report(&mut self, report: Report<'_>) {
        let reached = match &report {
            Report::Step(step) => Some(step.step),
            _ => None,
        };
        let decodes = matches!(report, Report::Decoding);
        self.observer.report(report);
        assert!(!(decodes && take(Fault::Decode)), "a test has asked for a panic while decoding");
        let Some(step) = reached.filter(|_| std::mem::replace(&mut self.begun, true)) else { return };
        let reason = || format!("a test has asked for it at step {step}");
        if take(Fault::Memory(step)) {
            self.fault = Some(EngineError::OutOfMemory { stage: "drawing", reason: reason() });
        } else if take(Fault::Device(step)) {
            self.fault = Some(EngineError::Device { stage: "drawing", reason: reason() });
        }
    }

    fn wants_stop(&self) -> bool {
        self.fault.is_some() || self.observer.wants_stop()
    }
}

impl Draw for Faulty {
    fn draw_from(
        &mut self,
        brief: &Brief,
        begun: Option<&StepLatent>,
        observer: &mut dyn Observer,
    ) -> Result<Drawn, EngineError> {
        let mut until = Until { observer, begun: false, fault: None };
        let drawn = self.0.draw_from(brief, begun, &mut until);
        match until.fault {
            Some(fault) => Err(fault),
            None => drawn,
        }
    }

    fn numerics(&self, brief: &Brief) -> String {
        self.0.numerics(brief)
    }

    fn precision(&self) -> String {
        self.0.precision()
    }

    fn rounded(&self) -> bool {
        self.0.rounded()
    }

    fn memory(&self) -> Option<String> {
        self.0.memory()
    }

    fn shares(&self) -> Vec<Share> {
        self.0.shares()
    }

    fn lora_bytes(&self) -> u64 {
        self.0.lora_bytes()
    }
}
