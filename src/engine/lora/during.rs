//! Which LoRAs count at the steps of a picture, one after the other.

use crate::engine::{Brief, LoraFile};

/// Goes along with the steps.
#[derive(Debug, Default)]
pub struct During(Option<Vec<LoraFile>>);

impl During {
    /// What is to be set from this step on, if that is other than at the last: at the first step always.
    pub fn changed(&mut self, brief: &Brief, step: u32) -> Option<Vec<LoraFile>> {
        let now = brief.loras_at(step);
        if self.0.as_ref() == Some(&now) {
            return None;
        }
        self.0 = Some(now.clone());
        Some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{LoraHash, Prompt, Size};

    #[test]
    fn what_counts_changes_where_a_span_begins_or_ends() {
        let lora = |name: &str, steps: &str| LoraFile {
            name: name.to_owned(),
            path: name.into(),
            hash: LoraHash::new([0; 32]),
            strength: 0.5,
            steps: steps.parse().expect("a span"),
        };
        let brief = Brief {
            prompt: Prompt::new("a").expect("a prompt"),
            size: Size::new(64, 64).expect("a size"),
            steps: 10,
            guidance: 3.0,
            seed: 0,
            loras: vec![lora("a", "0-60%"), lora("b", "30-100%")],
        };
        let mut during = During::default();
        let strengths = |loras: Vec<LoraFile>| loras.iter().map(|lora| lora.strength).collect::<Vec<_>>();
        let changes: Vec<_> = (0..10)
            .filter_map(|step| during.changed(&brief, step).map(|loras| (step, strengths(loras))))
            .collect();
        assert_eq!(changes, [(0, vec![0.5, 0.0]), (3, vec![0.5, 0.5]), (6, vec![0.0, 0.5])]);
        // One that is gone on with begins in the middle.
        assert!(During::default().changed(&brief, 7).is_some());
    }
}
