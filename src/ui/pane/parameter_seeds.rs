//! The seed among the parameters: random, fixed, or going up after each job.

use super::parameters::{Field, FieldName, ParametersPane};
use crate::job::Seed;

impl ParametersPane {
    /// Seeds are drawn at random again.
    pub fn random_seed(&mut self) {
        self.counts_up = false;
        self.fields[FieldName::Seed as usize] = Field { text: Seed::Random.to_string(), ..Field::default() };
    }

    /// Only this seed from now on.
    pub fn fix_seed(&mut self, seed: u64) {
        self.counts_up = false;
        self.type_in(FieldName::Seed, seed.to_string());
    }

    /// The seed goes up after each job, or stays. A random one goes up from the one after the last.
    pub fn toggle_count(&mut self) {
        self.commit();
        let random = self.text(FieldName::Seed).parse() == Ok(Seed::Random);
        if !self.counts_up && random {
            self.fix_seed(self.last_seed.map_or(0, |last| last.wrapping_add(1)));
        }
        self.counts_up = !self.counts_up;
    }

    /// Whether the seed goes up after each job.
    #[must_use]
    pub fn counts_up(&self) -> bool {
        self.counts_up && !matches!(self.text(FieldName::Seed).parse(), Ok(Seed::Random))
    }

    /// A job of so many pictures was asked for with the seed as it is.
    pub fn seed_taken(&mut self, count: u32) {
        if let Ok(Seed::Fixed(seed)) = self.text(FieldName::Seed).parse::<Seed>()
            && self.counts_up
        {
            self.type_in(FieldName::Seed, seed.wrapping_add(u64::from(count)).to_string());
        }
    }
}
