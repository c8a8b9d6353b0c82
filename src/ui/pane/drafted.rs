//! The LoRAs of the job that is being made, beside those of the prompt's tags: one that is switched off keeps its strength.

use crate::job::{JobError, LoraChoice, STRENGTH_MAX, check_loras};
use crate::ui::language::Language;

/// A strength's own steps in 1.
const STEPS_IN_ONE: f64 = 20.0;

/// The LoRAs, in the order that they were added.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drafted(Vec<DraftedLora>);

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftedLora {
    /// Which, and how much of it.
    pub lora: LoraChoice,
    /// Whether jobs have it.
    pub on: bool,
}

impl Drafted {
    /// These, all switched on.
    #[must_use]
    pub fn of(loras: impl IntoIterator<Item = LoraChoice>) -> Self {
        Self(loras.into_iter().map(|lora| DraftedLora { lora, on: true }).collect())
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[DraftedLora] {
        &self.0
    }

    /// Those that jobs have.
    #[must_use]
    pub fn on(&self) -> Vec<LoraChoice> {
        self.0.iter().filter(|drafted| drafted.on).map(|drafted| drafted.lora.clone()).collect()
    }

    /// One more, switched on.
    ///
    /// # Errors
    /// [`JobError::Loras`] where no job may have so many.
    pub fn add(&mut self, lora: LoraChoice) -> Result<(), JobError> {
        check_loras(self.0.len() + 1)?;
        self.0.push(DraftedLora { lora, on: true });
        Ok(())
    }

    /// One fewer.
    pub fn remove(&mut self, index: usize) {
        if index < self.0.len() {
            self.0.remove(index);
        }
    }

    /// Switches one off, or on again.
    pub fn switch(&mut self, index: usize) {
        if let Some(drafted) = self.0.get_mut(index) {
            drafted.on = !drafted.on;
        }
    }

    /// Changes the strength of one by so many steps of 0.05; what lies between two goes to the next.
    pub fn change(&mut self, index: usize, by: i8) {
        let Some(drafted) = self.0.get_mut(index) else { return };
        let at = f64::from(drafted.lora.strength()) * STEPS_IN_ONE;
        // 0.35 in binary is a bit less than seven steps.
        let at = if (at - at.round()).abs() < 1e-3 { at.round() } else { at };
        let at = if by > 0 { at.floor() } else { at.ceil() };
        let most = f64::from(STRENGTH_MAX);
        let strength = ((at + f64::from(by)) / STEPS_IN_ONE).clamp(-most, most);
        if let Ok(lora) = drafted.lora.clone().at(strength as f32) {
            drafted.lora = lora;
        }
    }
}

impl DraftedLora {
    /// `0.8`, `0.5 off`, `0.8@0-60%`.
    #[must_use]
    pub fn amount(&self, language: Language) -> String {
        let amount = self.lora.amount();
        if self.on { amount } else { language.loras_off(amount) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::LORAS_MAX;

    fn one(strength: f32) -> Drafted {
        Drafted::of([LoraChoice::new("ink", strength).expect("it is one")])
    }

    fn amount(drafted: &Drafted) -> String {
        drafted.all()[0].amount(Language::English)
    }

    fn changed(strength: f32, by: i8) -> String {
        let mut drafted = one(strength);
        drafted.change(0, by);
        amount(&drafted)
    }

    #[test]
    fn strengths_go_by_steps_and_stop_at_their_ends() {
        let mut drafted = one(-1.0);
        let mut told = Vec::new();
        for _ in 0..=40 {
            told.push(amount(&drafted));
            drafted.change(0, 1);
        }
        let expected: Vec<_> = (-20..=20).map(|step| (step as f32 / 20.0).to_string()).collect();
        assert_eq!(told, expected);
        assert_eq!((changed(0.83, 1), changed(0.83, -1)), ("0.85".into(), "0.8".into()));
        assert_eq!((changed(0.5, 10), changed(0.5, -10)), ("1".into(), "0".into()));
        assert_eq!((changed(100.0, 1), changed(-99.9, -10)), ("100".into(), "-100".into()));
    }

    #[test]
    fn what_is_switched_off_keeps_its_strength_and_no_job_has_it() {
        let mut drafted = one(0.35);
        drafted.switch(0);
        assert_eq!((drafted.on(), amount(&drafted)), (Vec::new(), "0.35 off".into()));
        drafted.change(0, 1);
        drafted.switch(0);
        assert_eq!((drafted.on()[0].strength(), amount(&drafted)), (0.4, "0.4".into()));
        for index in [1, usize::MAX] {
            drafted.switch(index);
            drafted.change(index, 1);
            drafted.remove(index);
        }
        assert_eq!(drafted.all().len(), 1);
    }

    #[test]
    fn no_more_are_drafted_than_a_job_may_have() {
        let mut drafted = Drafted::default();
        let lora = || LoraChoice::new("ink", 1.0).expect("it is one");
        for _ in 0..LORAS_MAX {
            drafted.add(lora()).expect("there is room");
        }
        assert_eq!(drafted.add(lora()), Err(JobError::Loras(LORAS_MAX + 1)));
        drafted.remove(0);
        assert!(drafted.add(lora()).is_ok());
    }
}
