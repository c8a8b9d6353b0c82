//! What becomes of the choices in a prompt, as far as the studio shows it: the longest words are those that are counted,
//! so that what fits fits whatever is chosen.

use crate::job::Wildcards;
use crate::job::template::{Drawn, Pick, Template};
use crate::ui::effect::Gather;

/// The choices of the prompt that was counted last.
#[derive(Debug, Clone, Default)]
pub struct Words {
    /// Its longest words, where it has choices.
    drawn: Option<Drawn>,
    /// The lines of its wildcards.
    wildcards: Wildcards,
    /// The prompt whose wildcards are to be read.
    wanted: Option<String>,
    /// The prompt whose wildcards were asked for last.
    asked: Option<String>,
    /// Why they cannot be had.
    problem: Option<String>,
}

impl Words {
    /// The longest words of a prompt; itself where it has no choices, or what they give is not known yet.
    pub fn longest(&mut self, prompt: String) -> String {
        (self.drawn, self.wanted) = (None, None);
        let Ok(template) = Template::parse(&prompt) else { return prompt };
        let names = template.wildcards();
        if names.is_empty() {
            (self.asked, self.problem) = (None, None);
        } else if self.asked.as_ref() != Some(&prompt) {
            self.wanted = Some(prompt.clone());
        }
        if template.is_plain() {
            return prompt;
        }
        self.drawn = template.draw(Pick::Longest, &self.wildcards).ok();
        self.drawn.as_ref().map_or(prompt, |drawn| drawn.text.clone())
    }

    /// The wildcards to read now, if any.
    pub fn gather(&mut self) -> Option<Gather> {
        let prompt = self.wanted.take()?;
        self.asked = Some(prompt.clone());
        Some(Gather { prompt, draft: None })
    }

    /// Wildcards were read, or cannot be. Whether the prompt is to be counted again.
    pub fn gathered(&mut self, prompt: &str, result: Result<Wildcards, String>) -> bool {
        if self.asked.as_deref() != Some(prompt) {
            return false;
        }
        match result {
            Ok(wildcards) => {
                self.problem = None;
                let others = self.wildcards != wildcards;
                self.wildcards = wildcards;
                others
            }
            Err(problem) => {
                self.problem = Some(problem);
                false
            }
        }
    }

    /// Where in the prompt a place in what was counted is, in bytes.
    #[must_use]
    pub fn in_prompt(&self, at: usize) -> usize {
        self.drawn.as_ref().map_or(at, |drawn| drawn.in_template(at))
    }

    /// Whether the prompt that was counted last has choices.
    #[must_use]
    pub fn has_choices(&self) -> bool {
        self.drawn.is_some()
    }

    /// The lines of the prompt's wildcards, as far as they were read.
    #[must_use]
    pub fn wildcards(&self) -> &Wildcards {
        &self.wildcards
    }

    /// Why wildcards cannot be had.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}
