//! Names and errors of the modules below the studio, as the studio says them. In English they are as those modules say them.

use super::Language;
use crate::device::Owner;
use crate::job::template::{CHOICES_MAX, DEPTH_MAX};
use crate::job::{
    COUNT_MAX, GUIDANCE_MAX, JobError, LORAS_MAX, PROMPT_BYTES, SIZE_MAX, SIZE_MULTIPLE, STEPS_MAX,
    STRENGTH_MAX, WILDCARDS_BYTES, WILDCARDS_MAX,
};
use crate::ui::habits::NotKept;
use crate::ui::pane::parameters::FieldName;
use crate::ui::terminal::editor::EditorError;

impl Language {
    /// Why something cannot be part of a job. What only someone meets who writes tags by hand is as it comes.
    pub(in crate::ui) fn job_error(self, error: &JobError) -> String {
        match error {
            JobError::EmptyPrompt => self.job_empty_prompt().to_owned(),
            JobError::LongPrompt { bytes } => self.job_long_prompt(bytes, PROMPT_BYTES),
            JobError::Size { side, value, nearest } => {
                let side = if *side == "width" { self.field_width() } else { self.field_height() };
                self.job_size(side, value, SIZE_MULTIPLE, SIZE_MAX, nearest)
            }
            JobError::Steps(steps) => self.job_steps(steps, STEPS_MAX),
            JobError::Guidance(guidance) => self.job_guidance(guidance, GUIDANCE_MAX),
            JobError::Count(count) => self.job_count(count, COUNT_MAX),
            JobError::Seed(text) => self.job_seed(format_args!("{text:?}"), u64::MAX),
            JobError::OnlyTags => self.job_only_tags().to_owned(),
            JobError::Loras(count) => self.job_loras(count, LORAS_MAX),
            JobError::LoraName(text) => self.job_lora_name(format_args!("{text:?}")),
            JobError::LoraStrength { name, strength } => self.job_lora_strength(name, strength, STRENGTH_MAX),
            JobError::DeepTemplate => self.job_deep_template(DEPTH_MAX, "{a|b}"),
            JobError::ManyChoices => self.job_many_choices(CHOICES_MAX),
            JobError::BlankTemplate => self.job_blank_template("{a|}"),
            JobError::NoWildcard(name) => self.job_no_wildcard(name),
            JobError::EmptyWildcard(name) => self.job_empty_wildcard(name),
            JobError::WildcardRing(name) => self.job_wildcard_ring(name),
            JobError::Wildcards { count, bytes } => {
                self.job_wildcards(count, bytes, WILDCARDS_MAX, WILDCARDS_BYTES)
            }
            other => other.to_string(),
        }
    }

    /// Why nothing came from the person's editor.
    pub(in crate::ui) fn editor_error(self, error: &EditorError) -> String {
        match error {
            EditorError::NoFile(error) => self.editor_no_file(error),
            EditorError::NotStarted { name, error } => self.editor_not_started(name, error),
            EditorError::Failed { name, status } => self.editor_ended(name, status),
            EditorError::Lost { name, error } => self.editor_lost(name, error),
            EditorError::Unreadable(error) => self.editor_unreadable(error),
            EditorError::Ending => self.editor_ending().to_owned(),
        }
    }

    /// Why a setting is not in its file.
    pub(in crate::ui) fn not_kept(self, NotKept { setting, file, error }: &NotKept) -> String {
        match *setting {
            "theme" => self.theme_not_kept(file.display(), error),
            _ => self.language_not_kept(file.display(), error),
        }
    }

    /// Who holds memory.
    pub(in crate::ui) fn owner(self, owner: Owner) -> &'static str {
        match owner {
            Owner::Transformer => self.owner_transformer(),
            Owner::Streamed => self.owner_streamed(),
            Owner::Encoders => self.owner_encoders(),
            Owner::Vae => self.owner_vae(),
            Owner::Activations => self.owner_activations(),
            Owner::Loras => self.owner_loras(),
            Owner::Context => self.owner_context(),
        }
    }

    /// A parameter, in a sentence.
    pub(in crate::ui) fn field(self, field: FieldName) -> &'static str {
        match field {
            FieldName::Model => self.field_model(),
            FieldName::Width => self.field_width(),
            FieldName::Height => self.field_height(),
            FieldName::Steps => self.field_steps(),
            FieldName::Guidance => self.field_guidance(),
            FieldName::Seed => self.field_seed(),
            FieldName::Count => self.field_count(),
        }
    }

    /// What a line of a model's facts is about, which the worker's words call so.
    pub(in crate::ui) fn fact(self, label: &'static str) -> &'static str {
        match label {
            "file" => self.fact_file(),
            "is" => self.fact_is(),
            "parts" => self.fact_parts(),
            "precision" => self.fact_precision(),
            "size" => self.fact_size(),
            "weights" => self.fact_weights(),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command line says the same errors: nobody should read two English sentences for one thing.
    #[test]
    fn in_english_they_are_the_words_of_the_modules_below() {
        let size = JobError::Size { side: "width", value: 100, nearest: 96 };
        let errors = [
            JobError::EmptyPrompt,
            JobError::LongPrompt { bytes: 9_000_000 },
            size,
            JobError::Size { side: "height", value: 7, nearest: 16 },
            JobError::Steps(0),
            JobError::Guidance(-1.5),
            JobError::Count(1000),
            JobError::Seed("x y".to_owned()),
            JobError::OnlyTags,
            JobError::Loras(99),
            JobError::LoraName(String::new()),
            JobError::LoraStrength { name: "ink".to_owned(), strength: -1.5e4 },
            JobError::DeepTemplate,
            JobError::ManyChoices,
            JobError::BlankTemplate,
            JobError::NoWildcard("animal".to_owned()),
            JobError::EmptyWildcard("animal".to_owned()),
            JobError::WildcardRing("animal".to_owned()),
            JobError::Wildcards { count: 101, bytes: 7 },
            JobError::LoraSpan("a".to_owned()),
        ];
        for error in errors {
            assert_eq!(Language::English.job_error(&error), error.to_string());
        }
        let (name, error) = (|| "vi".to_owned(), || "no such file".to_owned());
        let editors = [
            EditorError::NoFile(error()),
            EditorError::NotStarted { name: name(), error: error() },
            EditorError::Failed { name: name(), status: "exit status: 1".to_owned() },
            EditorError::Lost { name: name(), error: error() },
            EditorError::Unreadable(error()),
            EditorError::Ending,
        ];
        for error in editors {
            assert_eq!(Language::English.editor_error(&error), error.to_string());
        }
        for owner in Owner::ALL {
            assert_eq!(Language::English.owner(owner), owner.name());
        }
        for field in FieldName::ALL {
            assert_eq!(Language::English.field(field), format!("{field:?}").to_lowercase());
        }
        for label in ["file", "is", "parts", "precision", "size", "weights", "not in it"] {
            assert_eq!(Language::English.fact(label), label);
        }
    }
}
