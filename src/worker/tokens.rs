//! Counting tokens off the session's loop: tokenizers are read once a model and shared.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::{Count, Models};
use crate::engine::EngineError;
use crate::job::{Tagged, TokenCount};
use crate::model::ModelName;
use crate::wire::message::{CountTokens, Refusal};

type Shared = Rc<OnceCell<Arc<dyn Count>>>;

/// The tokenizers that have been read.
pub struct Counters {
    models: Arc<dyn Models>,
    read: RefCell<HashMap<ModelName, Shared>>,
}

impl Counters {
    /// None have been read yet.
    #[must_use]
    pub fn new(models: Arc<dyn Models>) -> Self {
        Self { models, read: RefCell::default() }
    }

    /// How a text fits a model's encoders. The model is one that there is.
    ///
    /// # Errors
    /// [`Refusal::Tokenizer`].
    pub async fn count(&self, asked: CountTokens) -> Result<Vec<TokenCount>, Refusal> {
        let CountTokens { model, text } = asked;
        let cell = Rc::clone(self.read.borrow_mut().entry(model.clone()).or_default());
        let read = || async {
            let models = Arc::clone(&self.models);
            blocking(move || models.counter(&model)).await.map(Arc::from)
        };
        let counter = Arc::clone(cell.get_or_try_init(read).await?);
        blocking(move || {
            // A tag that is being typed is not one yet.
            let Ok(tagged) = Tagged::read(&text) else { return counter.count(&text) };
            let mut counts = counter.count(&tagged.text)?;
            counts.iter_mut().for_each(|count| count.cut_at = count.cut_at.map(|at| tagged.in_prompt(at)));
            Ok(counts)
        })
        .await
    }

    /// Frees them all; they are read again when they are needed.
    pub fn free(&self) {
        self.read.borrow_mut().clear();
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, Refusal> {
    match spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Refusal::Tokenizer(error.to_string())),
        Err(panic) => Err(Refusal::Tokenizer(format!("they broke down: {panic}"))),
    }
}
