//! What both engines do before a model is in memory: open its files, and tell how far reading them is.

use std::thread::{self, JoinHandle};

use super::text::tokenize::{Counter, TokenizeError};
use super::weights::{Part, Weights, fit};
use super::{EngineError, Observer, Report};
use crate::model::{ModelName, Parts, Source, TextLimits};

/// A model's files, opened, their headers checked and found to belong together; nothing of their weights is read yet.
pub(super) struct Files {
    pub tokenizers: Tokenizers,
    pub t5: Weights,
    pub clip: Weights,
    pub vae: Weights,
    pub transformer: Weights,
}

impl Files {
    /// Opens them, and begins to read ahead those that are on a network.
    ///
    /// # Errors
    /// [`EngineError::Load`] names the part, the file and what is wrong.
    pub fn open(name: &ModelName, parts: &Parts, limits: TextLimits) -> Result<Self, EngineError> {
        let open =
            |what, source, part| Weights::open_part(source, part).map_err(Self::failed(name, what, source));
        let files = Self {
            tokenizers: Tokenizers::begin(name, parts, limits),
            t5: open("the T5 encoder", &parts.t5, Part::T5)?,
            clip: open("the CLIP encoder", &parts.clip, Part::Clip)?,
            vae: open("the VAE", &parts.vae, Part::Vae)?,
            transformer: Weights::open_transformer(&parts.transformer, parts.complete_from.as_ref())
                .map_err(Self::failed(name, "the transformer", &parts.transformer))?,
        };
        fit(&files.transformer, &files.t5, &files.clip, &files.vae).map_err(Self::failed(
            name,
            "the transformer",
            &parts.transformer,
        ))?;
        [&files.t5, &files.clip, &files.vae, &files.transformer].into_iter().for_each(Weights::read_ahead);
        Ok(files)
    }

    /// Says of an error which part of which model it concerns.
    pub fn failed<E: std::fmt::Display>(
        name: &ModelName,
        part: &'static str,
        from: &Source,
    ) -> impl Fn(E) -> EngineError + use<E> {
        let (model, from) = (name.clone(), from.to_string());
        move |reason| EngineError::Load {
            model: model.clone(),
            part,
            from: from.clone(),
            reason: reason.to_string(),
        }
    }
}

/// The tokenizers, being read on a thread of their own: where no model had them before, that takes a tenth of a second.
pub(super) struct Tokenizers {
    reading: JoinHandle<Result<Counter, TokenizeError>>,
    model: ModelName,
    from: Source,
}

impl Tokenizers {
    fn begin(name: &ModelName, parts: &Parts, limits: TextLimits) -> Self {
        let (t5, clip) = (parts.t5_tokenizer.clone(), parts.clip_tokenizer.clone());
        let reading = thread::spawn(move || Counter::load(&t5, &clip, limits));
        Self { reading, model: name.clone(), from: parts.t5_tokenizer.clone() }
    }

    /// Waits until they are read.
    ///
    /// # Errors
    /// [`EngineError::Load`] names the file and what is wrong.
    pub fn read(self) -> Result<Counter, EngineError> {
        let failed = |reason: String| Files::failed(&self.model, "a tokenizer", &self.from)(reason);
        match self.reading.join() {
            Ok(read) => read.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed("reading it broke down".to_owned())),
        }
    }
}

/// How far a load is, in bytes of weight files.
pub(super) struct Progress<'o> {
    observer: &'o mut dyn Observer,
    done: u64,
    /// Of a file that is read beside the others.
    beside: u64,
    total: u64,
}

impl<'o> Progress<'o> {
    /// # Errors
    /// [`EngineError::Stopped`], here and below.
    pub fn begin(observer: &'o mut dyn Observer, files: [&Weights; 4]) -> Result<Self, EngineError> {
        let total = files.iter().map(|weights| weights.size()).sum();
        let progress = Self { observer, done: 0, beside: 0, total };
        progress.begun()
    }

    fn begun(mut self) -> Result<Self, EngineError> {
        self.report(0)?;
        Ok(self)
    }

    /// A whole file is read.
    pub fn finish(&mut self, weights: &Weights) -> Result<(), EngineError> {
        self.finish_bytes(weights.size())
    }

    /// A whole file of so many bytes is read, or known to be there for when it is needed.
    pub fn finish_bytes(&mut self, bytes: u64) -> Result<(), EngineError> {
        self.done += bytes;
        self.report(self.done)
    }

    /// A share of the next file is read.
    pub fn part_of(&mut self, weights: &Weights, share: f64) -> Result<(), EngineError> {
        self.report(self.done + (share * weights.size() as f64) as u64)
    }

    /// Bytes are read of a file that is read beside the others.
    #[cfg(feature = "cuda")]
    pub fn beside(&mut self, bytes: u64) {
        self.beside = bytes;
    }

    fn report(&mut self, done: u64) -> Result<(), EngineError> {
        let done = done + self.beside;
        if self.observer.wants_stop() {
            return Err(EngineError::Stopped);
        }
        self.observer.report(Report::Loading { done, total: self.total });
        Ok(())
    }
}
