//! The LoRAs of a job: which files at which strengths, from the command line and from tags in the prompt.
//!
//! A tag is `<lora:NAME>` or `<lora:NAME:STRENGTH>`, as in A1111 and its kin, or `<lora:NAME:STRENGTH@0-60%>` for a LoRA
//! that counts in some of the steps. It stays in the prompt, so that a job can be
//! repeated and edited as it was typed; the encoders read the text without it ([`Tagged`]).

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Job, JobError, Prompt, Recipe, Span};

/// The most LoRAs of one job.
pub const LORAS_MAX: usize = 64;
/// The largest strength, either way.
pub const STRENGTH_MAX: f32 = 100.0;
/// The longest name or path of a LoRA, in bytes.
const FILE_BYTES: usize = 4096;
const BEGIN: &str = "<lora:";

/// SHA-256 of a LoRA's file, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LoraHash(String);

impl LoraHash {
    /// Of a digest.
    #[must_use]
    pub fn new(digest: [u8; 32]) -> Self {
        Self(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first ten digits, as other tools show it.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl TryFrom<String> for LoraHash {
    type Error = JobError;
    fn try_from(text: String) -> Result<Self, JobError> {
        let fits = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if fits { Ok(Self(text)) } else { Err(JobError::LoraHash(text)) }
    }
}

impl From<LoraHash> for String {
    fn from(hash: LoraHash) -> Self {
        hash.0
    }
}

/// A LoRA that is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawLora")]
pub struct LoraChoice {
    file: String,
    strength: f32,
    /// In which steps it counts.
    #[serde(default, skip_serializing_if = "Span::is_whole")]
    steps: Span,
    /// The content that the file must have: of a picture that is drawn again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<LoraHash>,
}

#[derive(Deserialize)]
struct RawLora {
    file: String,
    strength: f32,
    #[serde(default)]
    steps: Span,
    #[serde(default)]
    hash: Option<LoraHash>,
}

impl TryFrom<RawLora> for LoraChoice {
    type Error = JobError;
    fn try_from(raw: RawLora) -> Result<Self, JobError> {
        Ok(Self { hash: raw.hash, ..Self::new(raw.file, raw.strength)?.during(raw.steps) })
    }
}

impl LoraChoice {
    /// A file's name in the folders of LoRAs, or its whole path; how much of it is added.
    ///
    /// # Errors
    /// [`JobError::LoraName`] or [`JobError::LoraStrength`].
    pub fn new(file: impl Into<String>, strength: f32) -> Result<Self, JobError> {
        let file = file.into();
        if file.trim().is_empty() || file.len() > FILE_BYTES {
            return Err(JobError::LoraName(file.chars().take(100).collect()));
        }
        if !(-STRENGTH_MAX..=STRENGTH_MAX).contains(&strength) {
            return Err(JobError::LoraStrength { name: file, strength });
        }
        Ok(Self { file, strength, steps: Span::WHOLE, hash: None })
    }

    /// The same in these steps alone.
    #[must_use]
    pub fn during(self, steps: Span) -> Self {
        Self { steps, ..self }
    }

    /// The same of another file.
    ///
    /// # Errors
    /// As [`LoraChoice::new`].
    pub fn of_file(self, file: impl Into<String>) -> Result<Self, JobError> {
        Ok(Self { hash: self.hash, ..Self::new(file, self.strength)?.during(self.steps) })
    }

    /// The same at another strength.
    ///
    /// # Errors
    /// [`JobError::LoraStrength`].
    pub fn at(self, strength: f32) -> Result<Self, JobError> {
        Ok(Self { hash: self.hash, ..Self::new(self.file, strength)?.during(self.steps) })
    }

    /// The name or the path, as it was asked for.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The path, when it is one.
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        Some(Path::new(&self.file)).filter(|path| path.is_absolute())
    }

    /// What a person calls it: the file's name without its ending.
    #[must_use]
    pub fn name(&self) -> &str {
        name(&self.file)
    }

    /// How much of it is added: 1 for as much as it was trained for, 0 for nothing.
    #[must_use]
    pub fn strength(&self) -> f32 {
        self.strength
    }

    /// In which steps it counts.
    #[must_use]
    pub fn steps(&self) -> Span {
        self.steps
    }

    /// How much of it, and in which steps if not in all: `0.8`, `0.8@0-60%`.
    #[must_use]
    pub fn amount(&self) -> String {
        Amount(self.strength, self.steps).to_string()
    }
}

/// `STRENGTH` or `STRENGTH@FROM-TO%`; `None` where what comes first is no number.
fn amount(text: &str) -> Option<Result<(f32, Span), JobError>> {
    let (strength, steps) = match text.split_once('@') {
        None => (text, Ok(Span::WHOLE)),
        Some((strength, steps)) => (strength, steps.parse()),
    };
    let strength = strength.trim().parse().ok()?;
    Some(steps.map(|steps| (strength, steps)))
}

/// `0.8`, or `0.8@0-60%`.
struct Amount(f32, Span);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(strength, steps) = self;
        if steps.is_whole() { write!(f, "{strength}") } else { write!(f, "{strength}@{steps}") }
    }
}

impl std::str::FromStr for LoraChoice {
    type Err = JobError;
    /// `FILE[:STRENGTH[@FROM-TO%]]`: what is behind the last colon is a strength if it begins with a number.
    fn from_str(text: &str) -> Result<Self, JobError> {
        match text.rsplit_once(':').map(|(file, behind)| (file, amount(behind))) {
            Some((file, Some(amount))) => {
                let (strength, steps) = amount?;
                Ok(Self::new(file, strength)?.during(steps))
            }
            _ => Self::new(text, 1.0),
        }
    }
}

impl fmt::Display for LoraChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name(), Amount(self.strength, self.steps))
    }
}

/// A LoRA that a picture was drawn with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsedLora {
    /// What it was asked for by: a name or a whole path.
    pub file: String,
    /// Of the file's content.
    pub hash: LoraHash,
    /// How much of it was added.
    pub strength: f32,
    /// In which steps.
    #[serde(default, skip_serializing_if = "Span::is_whole")]
    pub steps: Span,
    /// Whether a tag in the prompt asked for it.
    pub tagged: bool,
    /// What of it was not used.
    #[serde(default, skip_serializing_if = "Unapplied::is_empty")]
    pub unapplied: Unapplied,
}

/// The name of a LoRA's file without its folders and its ending.
fn name(file: &str) -> &str {
    let file = file.rsplit('/').next().unwrap_or(file);
    file.strip_suffix(".safetensors").unwrap_or(file)
}

impl UsedLora {
    /// What a person calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        name(&self.file)
    }

    /// The same, to be asked for again: this content and no other.
    ///
    /// # Errors
    /// When its values are none that can be asked for.
    pub fn again(&self) -> Result<LoraChoice, JobError> {
        let choice = LoraChoice::new(self.file.clone(), self.strength)?.during(self.steps);
        Ok(LoraChoice { hash: Some(self.hash.clone()), ..choice })
    }
}

impl Job {
    /// Bytes of text in it that a person gives: what bounds how much of jobs is held and sent.
    #[must_use]
    pub fn text_len(&self) -> usize {
        let loras = self.loras().iter().map(|lora| lora.file.len()).sum::<usize>();
        self.prompt.as_str().len() + loras + self.wildcards().text_len()
    }
}

impl Recipe {
    /// Bytes of text in it that a person gives.
    #[must_use]
    pub fn text_len(&self) -> usize {
        let lora = |lora: &UsedLora| {
            lora.file.len() + lora.unapplied.examples.iter().map(String::len).sum::<usize>()
        };
        let template = self.template.as_ref().map_or(0, |template| template.as_str().len());
        self.prompt.as_str().len() + template + self.loras.iter().map(lora).sum::<usize>()
    }

    /// The prompt as it was written.
    #[must_use]
    pub fn written(&self) -> &Prompt {
        self.template.as_ref().unwrap_or(&self.prompt)
    }

    /// The words that it was drawn from, where those are not what was written.
    #[must_use]
    pub fn drawn(&self) -> Option<&str> {
        self.template.as_ref().map(|_| self.prompt.as_str())
    }

    /// The prompt with a tag for each LoRA that it has none of: what is typed to draw the same again.
    #[must_use]
    pub fn tagged_prompt(&self) -> String {
        let mut prompt = self.written().as_str().to_owned();
        for lora in self.loras.iter().filter(|lora| !lora.tagged) {
            // Of a path that a tag cannot hold, the name.
            let file = if lora.file.contains([':', '>']) { lora.name() } else { &lora.file };
            prompt += &format!(" {BEGIN}{file}:{}>", Amount(lora.strength, lora.steps));
        }
        prompt
    }
}

/// Tensors of a LoRA that belong to no layer of the model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unapplied {
    /// How many.
    pub count: usize,
    /// Of how many in the file.
    pub of: usize,
    /// The first of them.
    pub examples: Vec<String>,
}

impl Unapplied {
    /// Whether all of the file was used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A prompt with its tags taken out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tagged {
    /// What the encoders read.
    pub text: String,
    /// What the tags ask for, in order.
    pub loras: Vec<LoraChoice>,
    /// The tags as they are written.
    pub tags: Vec<String>,
    /// Where in the text something was taken out, and how many bytes.
    gaps: Vec<(usize, usize)>,
}

impl Tagged {
    /// # Errors
    /// [`JobError::LoraTag`] for a tag that cannot be understood.
    pub fn read(prompt: &str) -> Result<Self, JobError> {
        let mut tagged = Self::default();
        let mut rest = prompt;
        while let Some((before, behind)) = rest.split_once(BEGIN) {
            let wrong = |reason| {
                let tag = format!("{BEGIN}{}", behind.chars().take(40).collect::<String>());
                JobError::LoraTag { tag, reason }
            };
            let (inside, more) = behind.split_once('>').ok_or_else(|| wrong("it has no end, >"))?;
            tagged.loras.push(of_tag(inside).map_err(|error| match error {
                Some(error) => error,
                None => wrong("it is <lora:NAME>, <lora:NAME:STRENGTH> or <lora:NAME:STRENGTH@FROM-TO%>"),
            })?);
            tagged.tags.push(format!("{BEGIN}{inside}>"));
            tagged.text += before;
            // Of the blanks on both sides one is enough, and at an end none.
            let spaced = tagged.text.is_empty() || tagged.text.ends_with(char::is_whitespace);
            let kept = if spaced { more.trim_start_matches([' ', '\t']) } else { more };
            let taken = BEGIN.len() + inside.len() + 1 + (more.len() - kept.len());
            tagged.gaps.push((tagged.text.len(), taken));
            rest = kept;
        }
        tagged.text += rest;
        if !tagged.loras.is_empty() {
            tagged.text.truncate(tagged.text.trim_end().len());
        }
        Ok(tagged)
    }

    /// Where in the prompt a place in the text is, in bytes.
    #[must_use]
    pub fn in_prompt(&self, at: usize) -> usize {
        at + self.gaps.iter().take_while(|(gap, _)| *gap <= at).map(|(_, taken)| taken).sum::<usize>()
    }
}

/// What stands between `<lora:` and `>`; `None` for an error of form.
fn of_tag(inside: &str) -> Result<LoraChoice, Option<JobError>> {
    let (name, (strength, steps)) = match inside.split_once(':') {
        None => (inside, (1.0, Span::WHOLE)),
        Some((name, behind)) => (name, amount(behind).ok_or(None)?.map_err(Some)?),
    };
    Ok(LoraChoice::new(name.trim(), strength).map_err(Some)?.during(steps))
}

/// # Errors
/// [`JobError::Loras`] for more than [`LORAS_MAX`].
pub fn check_loras(count: usize) -> Result<(), JobError> {
    if count <= LORAS_MAX { Ok(()) } else { Err(JobError::Loras(count)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(prompt: &str) -> (String, Vec<String>) {
        let tagged = Tagged::read(prompt).expect("it can be understood");
        (tagged.text, tagged.loras.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn tags_are_taken_out_with_the_blank_that_they_leave() {
        let all = [
            ("a fox", "a fox", &[][..]),
            ("a fox <lora:ink:0.8>", "a fox", &["ink:0.8"]),
            ("<lora:ink> a fox", "a fox", &["ink:1"]),
            ("a fox <lora:ink:-0.5> in snow", "a fox in snow", &["ink:-0.5"]),
            ("a<lora:水墨:1>b <lora:b/c.safetensors:2>", "ab", &["水墨:1", "c:2"]),
            ("a, <lora:x:1>, b", "a, , b", &["x:1"]),
            ("a <lora:x:0.7@20-100%> b", "a b", &["x:0.7@20-100%"]),
            ("a fox  ", "a fox  ", &[]),
            ("<lora:x>", "", &["x:1"]),
            ("1 < 2, <loa:x> and <LORA:x>", "1 < 2, <loa:x> and <LORA:x>", &[]),
        ];
        for (prompt, text, loras) in all {
            assert_eq!(read(prompt), (text.to_owned(), loras.iter().map(ToString::to_string).collect()));
        }
    }

    #[test]
    fn places_in_the_text_are_found_in_the_prompt() {
        let prompt = "a <lora:x:1> red <lora:猫:0.5>fox and more";
        let tagged = Tagged::read(prompt).expect("two tags");
        assert_eq!(tagged.text, "a red fox and more");
        for word in ["red", "fox", "and", "more"] {
            let at = tagged.text.find(word).expect("it is there");
            assert_eq!(tagged.in_prompt(at), prompt.find(word).expect("it is there"), "{word}");
        }
    }

    #[test]
    fn tags_that_cannot_be_understood_are_refused() {
        for prompt in
            ["a <lora:x", "a <lora:>", "<lora:x:strong>", "<lora:x:1:2>", "<lora:x:NaN>", "<lora:x:1e9>"]
        {
            let error = Tagged::read(prompt).expect_err(prompt).to_string();
            assert!(error.contains("LoRA"), "{error}");
        }
    }

    #[test]
    fn a_strength_is_what_is_behind_the_last_colon_if_it_is_a_number() {
        let read = |text: &str| text.parse::<LoraChoice>().map(|it| (it.file.clone(), it.strength));
        assert_eq!(read("/a b/x.safetensors:0.8"), Ok(("/a b/x.safetensors".to_owned(), 0.8)));
        assert_eq!(read("x"), Ok(("x".to_owned(), 1.0)));
        assert_eq!(read("/a:b/x"), Ok(("/a:b/x".to_owned(), 1.0)));
        assert_eq!(read("x:-2"), Ok(("x".to_owned(), -2.0)));
        let span = |text: &str| text.parse::<LoraChoice>().map(|it| (it.strength, it.steps.to_string()));
        assert_eq!(span("x:0.8@0-60%"), Ok((0.8, "0-60%".to_owned())));
        assert_eq!(span("/a@b/x:1"), Ok((1.0, "0-100%".to_owned())));
        assert!(span("x:0.8@60%").is_err());
        assert!(read("x:inf").is_err() && read(":1").is_err() && read("").is_err());
        let named = LoraChoice::new("/模型/水墨.safetensors", 0.5).expect("it is one");
        assert_eq!((named.name(), named.to_string().as_str()), ("水墨", "水墨:0.5"));
    }

    #[test]
    fn a_hash_is_64_digits() {
        let hash = LoraHash::new([0xab; 32]);
        assert_eq!((hash.short(), hash.as_str().len()), ("ababababab", 64));
        assert!(LoraHash::try_from("AB".repeat(32)).is_err() && LoraHash::try_from(String::new()).is_err());
        let span = "10-20%".parse().expect("a span");
        let choice =
            LoraChoice { hash: Some(hash), ..LoraChoice::new("x", 0.25).expect("it is one").during(span) };
        let text = serde_json::to_string(&choice).expect("it is JSON");
        assert_eq!(serde_json::from_str::<LoraChoice>(&text).expect("ours"), choice);
        assert!(serde_json::from_str::<LoraChoice>(r#"{"file":"x","strength":1000}"#).is_err());
    }
}
