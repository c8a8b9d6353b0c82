//! Whether a picture's LoRAs are merged into weights, and what is said of it.

use crate::device::MergeChoice;
use crate::engine::LoraFile;

/// Whether these are to be merged: not those that count in some of the steps alone, for which weights would have to be
/// read again in the middle of a picture.
#[must_use]
pub fn merges(choice: MergeChoice, loras: &[LoraFile]) -> bool {
    choice == MergeChoice::Resident && !loras.is_empty() && loras.iter().all(|lora| lora.steps.is_whole())
}

/// What a person is told of it, behind what computes: into how many layers, or why into none. Empty where nobody asked.
#[must_use]
pub fn merging_note(choice: MergeChoice, loras: &[LoraFile], layers: usize) -> String {
    let beside = |because: &str| format!("; LoRAs beside the weights, because {because}");
    if choice == MergeChoice::Never || loras.iter().all(|lora| lora.strength == 0.0) {
        return String::new();
    }
    match (merges(choice, loras), layers) {
        (false, _) => beside("they count in some of the steps alone"),
        (true, 0) => beside("no weight that they change can be merged into"),
        (true, layers) => format!("; LoRAs merged into {layers} layers"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{LoraHash, Span};

    fn lora(strength: f32, steps: Span) -> LoraFile {
        let (name, path, hash) = ("ink".to_owned(), "/ink".into(), LoraHash::new([1; 32]));
        LoraFile { name, path, hash, strength, steps }
    }

    #[test]
    fn loras_are_merged_where_that_is_asked_for_and_all_count_in_every_step() {
        let whole = lora(1.0, Span::WHOLE);
        let some = lora(1.0, "0-60%".parse().expect("a span"));
        let (never, resident) = (MergeChoice::Never, MergeChoice::Resident);
        assert!(merges(resident, &[whole.clone(), whole.clone()]));
        assert!(!merges(never, std::slice::from_ref(&whole)) && !merges(resident, &[]));
        assert!(!merges(resident, &[whole.clone(), some.clone()]));
        let told = |choice, loras: &[LoraFile], layers| merging_note(choice, loras, layers);
        assert_eq!(told(never, std::slice::from_ref(&whole), 0), "");
        assert_eq!(told(resident, &[lora(0.0, Span::WHOLE)], 0), "");
        assert!(told(resident, std::slice::from_ref(&whole), 0).contains("can be merged into"));
        assert!(told(resident, &[whole.clone(), some], 0).contains("some of the steps"));
        assert_eq!(told(resident, &[whole], 304), "; LoRAs merged into 304 layers");
    }
}
