//! What is told of finished pictures: their paths, the pictures themselves, warnings, or JSON.

use std::borrow::Cow;
use std::fs;
use std::mem;
use std::path::Path;

use bytes::Bytes;
use serde::Serialize;

use super::target::Target;
use crate::cli::failure::Failure;
use crate::cli::{picture, stdout, text};
use crate::client::{ClientError, HostName};
use crate::job::{Picture, Recipe, Times, TokenCount, Unapplied, UsedLora};

/// How finished pictures are told, and what was told so far.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    display: bool,
    /// Where copies go, one a picture; empty when none were asked for.
    targets: Vec<Target>,
    /// The machine that the paths are of, when it is another.
    host: Option<HostName>,
    pictures: Vec<Picture>,
    /// Whether what the encoders do not read was told.
    warned: bool,
    /// The first copy that could not be written. The job goes on: its pictures are in the library.
    failure: Option<Failure>,
}

impl Report {
    pub(super) fn new(json: bool, display: bool, targets: Vec<Target>) -> Self {
        Self { json, display, targets, host: None, pictures: Vec::new(), warned: false, failure: None }
    }

    /// The pictures are on another machine.
    pub(super) fn on(self, host: Option<HostName>) -> Self {
        Self { host, ..self }
    }

    /// Whether more than its path is told of a picture.
    pub(super) fn wants_file(&self, picture: &Picture) -> bool {
        self.display || self.targets.len() > picture.index as usize
    }

    /// Says what the encoders do not read. The first time only: the prompt stays the same.
    pub(super) fn warn(&mut self, counts: &[TokenCount], prompt: &str) {
        if !mem::replace(&mut self.warned, true) {
            for warning in counts.iter().flat_map(|count| warnings(count, prompt)) {
                text::complain("warning", &warning);
            }
        }
    }

    /// Says what of the LoRAs was not used. The first time only: they stay the same.
    fn warn_of_loras(&mut self, loras: &[UsedLora]) {
        if self.pictures.is_empty() {
            loras.iter().filter_map(unused).for_each(|warning| text::complain("warning", &warning));
        }
    }

    /// Copies, shows and names one picture. Of one on another machine the file was fetched where it is
    /// [wanted](Self::wants_file).
    ///
    /// # Errors
    /// Only when standard output fails. A copy that fails is told by [`Report::finish`].
    pub(super) fn picture(
        &mut self,
        picture: &Picture,
        fetched: Option<Result<Bytes, ClientError>>,
    ) -> Result<(), Failure> {
        self.warn(&picture.recipe.cuts, picture.recipe.prompt.as_str());
        self.warn_of_loras(&picture.recipe.loras);
        self.pictures.push(picture.clone());
        if self.wants_file(picture) {
            self.hand_out(picture, self.file(picture, fetched));
        }
        if self.json { Ok(()) } else { stdout::line(&self.line(picture)) }
    }

    /// A picture's file, from the other machine or from this one.
    fn file(&self, picture: &Picture, fetched: Option<Result<Bytes, ClientError>>) -> Result<Bytes, Failure> {
        match fetched {
            Some(Ok(png)) => Ok(png),
            Some(Err(source)) => {
                Err(Failure::Unreached { picture: self.marked(&picture.path.to_string_lossy()), source })
            }
            None => fs::read(&picture.path)
                .map(Bytes::from)
                .map_err(|source| Failure::Read { path: picture.path.clone(), source }),
        }
    }

    /// Copies and shows a picture, where that was asked for.
    fn hand_out(&mut self, picture: &Picture, file: Result<Bytes, Failure>) {
        let target = self.targets.get(picture.index as usize);
        let copied = match (&file, target) {
            (Ok(png), Some(target)) => target.write(png).map_err(|source| {
                let kept = self.marked(&picture.path.to_string_lossy());
                Failure::Copy { to: target.path().display().to_string(), kept, source }
            }),
            _ => Ok(()),
        };
        // The picture is in the library whatever becomes of showing it, so that is no error.
        let shown = match &file {
            Ok(png) if self.display => picture::print(png),
            Err(failure) if self.display => Err(failure.to_string()),
            _ => Ok(()),
        };
        if let Err(reason) = shown {
            text::complain("warning", &format!("the picture cannot be shown here: {reason}"));
        }
        let copied = if target.is_some() { file.and(copied) } else { copied };
        if let Err(failure) = copied {
            self.failure.get_or_insert(failure);
        }
    }

    /// A path of the worker's, with its machine.
    fn marked(&self, path: &str) -> String {
        self.host.as_ref().map_or_else(|| path.to_owned(), |host| format!("{host}:{path}"))
    }

    /// For a person the path with what can be asked for again, for a pipe the path alone.
    fn line(&self, picture: &Picture) -> String {
        let path = match self.targets.get(picture.index as usize) {
            Some(target) => target.path().display().to_string(),
            None => self.marked(&picture.path.to_string_lossy()),
        };
        if !stdout::is_terminal() {
            return path;
        }
        let Recipe { seed, size, steps, times, .. } = &picture.recipe;
        let seconds = times.load + times.encode + times.denoise + times.decode;
        format!("{}  seed {seed} · {size} · {steps} steps · {seconds:.1} s", text::plain(&path))
    }

    /// Prints the JSON, if that was asked for, and gives the first failure there was.
    ///
    /// # Errors
    /// A copy that could not be written; standard output.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        // Several devices may have drawn them in another order.
        self.pictures.sort_by_key(|picture| picture.index);
        if self.json {
            stdout::json(&self.object())?;
        }
        self.failure.map_or(Ok(()), Err)
    }

    fn object(&self) -> Option<Told<'_>> {
        let one = |picture| Told::new(picture, self.targets.get(picture.index as usize).map(Target::path));
        let host = self.host.as_ref().map(HostName::as_str);
        let first = Told { host, ..one(self.pictures.first()?) };
        if self.pictures.len() == 1 {
            return Some(first);
        }
        Some(Told { pictures: self.pictures.iter().map(one).collect(), ..first })
    }
}

fn warnings(count: &TokenCount, prompt: &str) -> Vec<String> {
    let TokenCount { encoder, tokens, limit, unknown, .. } = count;
    let mut warnings = Vec::new();
    let cut = count.cut(prompt);
    if !cut.is_empty() {
        let characters = text::count(cut.chars().count(), "character");
        let cut = text::one_line(cut, 60);
        warnings.push(format!(
            "{encoder} reads {limit} tokens and the prompt has {tokens}; not read: \"{cut}\" ({characters})"
        ));
    }
    if *unknown > 0 {
        warnings.push(format!("{encoder} does not know {unknown} of the prompt's {tokens} tokens"));
    }
    warnings
}

fn unused(lora: &UsedLora) -> Option<String> {
    let Unapplied { count, of, examples } = &lora.unapplied;
    let examples: Vec<_> = examples.iter().map(|name| text::one_line(name, 80)).collect();
    (*count > 0).then(|| {
        let more = if *count > examples.len() { ", …" } else { "" };
        let file = text::one_line(&lora.file, 80);
        format!(
            "{count} of the {of} tensors of the LoRA {file} belong to no layer of this model and were not used: {}{more}",
            examples.join(", ")
        )
    })
}

/// A picture as `--json` tells it.
#[derive(Serialize)]
struct Told<'p> {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'p str>,
    path: Cow<'p, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Cow<'p, str>>,
    seed: u64,
    width: u32,
    height: u32,
    steps: u32,
    guidance: f32,
    model: &'p str,
    precision: &'p str,
    seconds: Times,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cut: Vec<Cut<'p>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    loras: &'p [UsedLora],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pictures: Vec<Told<'p>>,
}

/// What one encoder did not read.
#[derive(Serialize)]
struct Cut<'p> {
    encoder: String,
    tokens: usize,
    limit: usize,
    text: &'p str,
}

impl<'p> Told<'p> {
    fn new(picture: &'p Picture, output: Option<&'p Path>) -> Self {
        let recipe = &picture.recipe;
        let cut = |count: &TokenCount| Cut {
            encoder: count.encoder.to_string(),
            tokens: count.tokens,
            limit: count.limit,
            text: count.cut(recipe.prompt.as_str()),
        };
        Self {
            host: None,
            path: picture.path.to_string_lossy(),
            output: output.map(Path::to_string_lossy),
            seed: recipe.seed,
            width: recipe.size.width(),
            height: recipe.size.height(),
            steps: recipe.steps,
            guidance: recipe.guidance,
            model: recipe.model.as_str(),
            precision: &recipe.precision,
            seconds: recipe.times,
            cut: recipe.cuts.iter().filter(|count| count.cut_at.is_some()).map(cut).collect(),
            loras: &recipe.loras,
            pictures: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Encoder, JobId, PictureId, Prompt, Size};
    use crate::model::ModelName;

    fn drawn(index: u32) -> Picture {
        let cut = TokenCount { encoder: Encoder::T5, tokens: 40, limit: 32, cut_at: Some(2), unknown: 0 };
        let recipe = Recipe {
            template: None,
            prompt: Prompt::new("a cat").expect("text"),
            model: ModelName::new("nano"),
            size: Size::new(128, 64).expect("on the grid"),
            steps: 20,
            guidance: 3.1,
            seed: u64::MAX,
            precision: "fp32".to_owned(),
            cuts: vec![cut],
            times: Times { load: 0.5, encode: 0.25, denoise: 1.0, decode: 0.125 },
            loras: Vec::new(),
        };
        let (id, job) = (PictureId(i64::from(index)), JobId(1));
        Picture::drawn((id, job, index), recipe, "/测试 目录/a.png".into(), 0)
    }

    fn json(pictures: Vec<Picture>) -> serde_json::Value {
        let report = Report { pictures, ..Report::new(true, false, Vec::new()) };
        serde_json::to_value(report.object().expect("there is a picture")).expect("it is JSON")
    }

    #[test]
    fn one_picture_is_one_flat_object() {
        let mut object = json(vec![drawn(0)]);
        let guidance = object.as_object_mut().and_then(|map| map.remove("guidance")).expect("there");
        assert!((guidance.as_f64().expect("a number") - 3.1).abs() < 1e-6);
        let expected = serde_json::json!({
            "path": "/测试 目录/a.png", "seed": u64::MAX, "width": 128, "height": 64, "steps": 20,
            "model": "nano", "precision": "fp32",
            "seconds": { "load": 0.5, "encode": 0.25, "denoise": 1.0, "decode": 0.125 },
            "cut": [{ "encoder": "T5", "tokens": 40, "limit": 32, "text": "cat" }],
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn more_pictures_are_all_in_the_first() {
        let object = json(vec![drawn(0), drawn(1)]);
        let pictures = object["pictures"].as_array().expect("an array");
        assert_eq!(pictures.len(), 2);
        assert_eq!(pictures[0]["path"], object["path"]);
        assert!(pictures[0].get("pictures").is_none());
    }

    #[test]
    fn a_warning_names_the_encoder_the_limit_and_the_text() {
        let recipe = drawn(0).recipe;
        let warnings = warnings(&recipe.cuts[0], recipe.prompt.as_str());
        assert_eq!(warnings, ["T5 reads 32 tokens and the prompt has 40; not read: \"cat\" (3 characters)"]);
    }

    #[test]
    fn tokens_that_are_unknown_are_told_even_when_nothing_is_cut() {
        let count = TokenCount { encoder: Encoder::Clip, tokens: 4, limit: 77, cut_at: None, unknown: 2 };
        assert_eq!(warnings(&count, "猫"), ["CLIP does not know 2 of the prompt's 4 tokens"]);
    }
}
