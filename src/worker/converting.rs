//! Converting in the background: what a wide model became in fp8 is kept on disk after its first picture, on threads that
//! leave the processor to whoever else wants it, and no longer than the worker lives.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::Models;
use super::models::NoModel;
use crate::engine::converted::{ConvertError, Kept};
use crate::engine::{Observer, Report};
use crate::model::ModelName;

/// Why a model is not kept in its converted form.
#[derive(Debug, thiserror::Error)]
pub enum Unkept {
    /// It is not there any more.
    #[error(transparent)]
    Model(#[from] NoModel),
    /// Its transformer could not be converted.
    #[error(transparent)]
    Convert(#[from] ConvertError),
}

/// What one engine's models become in fp8, one at a time.
#[derive(Debug, Default)]
pub(super) struct Background(Mutex<Option<Converting>>);

impl Background {
    /// Begins to keep a model, unless that was begun or another is being kept. The next load of it is the faster.
    pub fn keep(&self, models: &Arc<dyn Models>, model: &ModelName) {
        let mut converting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if converting.as_ref().is_some_and(|converting| converting.stands_for(model)) {
            return;
        }
        match Converting::begin(Arc::clone(models), model) {
            Ok(begun) => *converting = Some(begun),
            Err(error) => tracing::warn!(%model, %error, "converting could not be begun"),
        }
    }
}

/// One conversion; dropping it stops it and waits for its end.
#[derive(Debug)]
struct Converting {
    model: ModelName,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Converting {
    /// Begins it.
    ///
    /// # Errors
    /// When the system has no thread left.
    fn begin(models: Arc<dyn Models>, model: &ModelName) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut until = Until(Arc::clone(&stop));
        let name = model.clone();
        let thread = thread::Builder::new().name("converting".to_owned()).spawn(move || {
            match within_few(|| models.keep_converted(&name, &mut until)) {
                Ok(Ok(Some(Kept { file, bytes, present: false, .. }))) => {
                    tracing::info!(model = %name, path = %file.display(), bytes, "the transformer is kept in fp8");
                }
                Ok(Ok(_)) => {}
                Ok(Err(Unkept::Convert(ConvertError::Stopped))) => {
                    tracing::info!(model = %name, "converting was stopped");
                }
                Ok(Err(error)) => tracing::warn!(model = %name, %error, "the transformer is not kept in fp8"),
                Err(error) => tracing::warn!(model = %name, %error, "there are no threads to convert with"),
            }
        })?;
        Ok(Self { model: model.clone(), stop, thread: Some(thread) })
    }

    /// Whether another is not to be begun for this model: it was begun, or one of another is going on.
    fn stands_for(&self, model: &ModelName) -> bool {
        self.model == *model || self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Converting {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A panic is in the log already.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Does something on half of the processor's threads, with the lowest priority: an engine's own are not kept waiting.
fn within_few<T: Send>(act: impl FnOnce() -> T + Send) -> Result<T, rayon::ThreadPoolBuildError> {
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get().div_ceil(2));
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|number| format!("converting {number}"))
        .start_handler(|_| give_way());
    Ok(pool.build()?.install(act))
}

/// Linux has a priority for each thread; elsewhere it would be the worker's.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, LOWEST) {
        tracing::debug!(%error, "the priority of a thread stays");
    }
}

/// The least that there is.
#[cfg(target_os = "linux")]
const LOWEST: i32 = 19;

/// Follows nothing and stops when it is told to.
struct Until(Arc<AtomicBool>);

impl Observer for Until {
    fn report(&mut self, _: Report<'_>) {}

    fn wants_stop(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    use crate::device::Device;
    use crate::engine::{Draw, EngineError, Placement};
    use crate::model::ModelInfo;
    use crate::worker::Count;

    /// Tells when it has begun, and goes on until it is stopped.
    struct Endless(mpsc::Sender<bool>);

    impl Models for Endless {
        fn infos(&self) -> Vec<ModelInfo> {
            Vec::new()
        }

        fn devices(&self) -> Vec<Device> {
            vec![Device::Cpu]
        }

        fn load(
            &self,
            _: &ModelName,
            _: &Placement,
            _: &mut dyn Observer,
        ) -> Result<Box<dyn Draw>, EngineError> {
            Err(EngineError::Stopped)
        }

        fn counter(&self, _: &ModelName) -> Result<Box<dyn Count>, EngineError> {
            Err(EngineError::Stopped)
        }

        fn describe(&self, _: Device) -> String {
            String::new()
        }

        fn keep_converted(&self, _: &ModelName, observer: &mut dyn Observer) -> Result<Option<Kept>, Unkept> {
            let told = |stopped| self.0.send(stopped).expect("the test listens");
            told(observer.wants_stop());
            while !observer.wants_stop() {
                thread::yield_now();
            }
            told(true);
            Err(ConvertError::Stopped.into())
        }
    }

    #[test]
    fn it_goes_on_until_it_is_dropped_and_is_over_then() {
        let (sender, told) = mpsc::channel();
        let (one, other) = (ModelName::new("one"), ModelName::new("other"));
        let converting = Converting::begin(Arc::new(Endless(sender)), &one).expect("there is a thread");
        assert_eq!(told.recv(), Ok(false), "it was stopped before it began");
        assert!(converting.stands_for(&one) && converting.stands_for(&other), "two at a time");
        assert!(told.try_recv().is_err(), "it does not go on");
        drop(converting);
        // Not later: the thread was waited for.
        assert_eq!((told.try_recv(), told.recv().is_err()), (Ok(true), true));
    }
}
