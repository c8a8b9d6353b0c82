//! The connection to the worker: finds or starts one, follows it, and begins anew when it is lost.
//!
//! The studio speaks to any [`Connect`]; tests stand a worker of their own in.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use super::effect::Question;
use super::event::{Answer, Event, News};
use crate::client::{Client, ClientError, Events};
use crate::wire::library::LibraryResponse;
use crate::wire::loras::LoraResponse;
use crate::wire::message::{Request, Response};

/// The waits between tries, the last one for ever.
const WAITS: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
    Duration::from_secs(30),
];

/// A connection on which questions can be asked.
pub trait Ask: Clone + Send + Sync + 'static {
    /// Asks and waits for the answer.
    fn ask(&self, request: Request) -> impl Future<Output = Result<Response, ClientError>> + Send;
    /// Why it is no more.
    fn end(&self) -> ClientError {
        ClientError::Lost
    }
}

/// Where connections come from.
pub trait Connect: Send + Sync + 'static {
    /// What can be asked.
    type Connection: Ask;
    /// Finds a worker, or starts one.
    fn connect(&self) -> impl Future<Output = Result<(Self::Connection, Events), ClientError>> + Send;
    /// Asks a worker of another version to finish what it has begun and to end; how many jobs that are.
    fn replace(&self) -> impl Future<Output = Result<usize, ClientError>> + Send {
        async { Err(ClientError::NoWorker) }
    }
}

impl Ask for Client {
    async fn ask(&self, request: Request) -> Result<Response, ClientError> {
        self.call(request).await
    }

    fn end(&self) -> ClientError {
        Client::end(self)
    }
}

/// Asks questions on whichever connection there is.
#[derive(Debug, Clone)]
pub struct Link<A> {
    connection: Arc<Mutex<Option<A>>>,
    hurry: Arc<Notify>,
    replace: Arc<Notify>,
    events: mpsc::Sender<Event>,
}

impl<A: Ask> Link<A> {
    /// Tries again now, if it is being waited for that.
    pub fn hurry(&self) {
        self.hurry.notify_waiters();
    }

    /// Asks a worker that cannot be connected to, because it is of another version, to make room.
    pub fn replace(&self) {
        self.replace.notify_waiters();
    }

    /// Asks; the answer comes as an event.
    pub fn ask(&self, question: Question) {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let events = self.events.clone();
        tokio::spawn(async move {
            let result = match connection {
                Some(connection) => connection.ask(question.request()).await,
                None => Err(ClientError::NoWorker),
            };
            // Nobody is left to hear it when this fails.
            let _ = events.send(Event::Answer(answer(&question, result))).await;
        });
    }
}

/// Starts to connect, and stays connected for as long as the task is not aborted.
pub fn start<C: Connect>(
    source: C,
    events: mpsc::Sender<Event>,
) -> (Link<C::Connection>, tokio::task::JoinHandle<()>) {
    let link = Link { connection: Arc::default(), hurry: Arc::default(), replace: Arc::default(), events };
    let of_task = link.clone();
    (link, tokio::spawn(async move { stay_connected(&source, &of_task).await }))
}

async fn stay_connected<C: Connect>(source: &C, link: &Link<C::Connection>) {
    let mut failures = 0;
    loop {
        if link.events.send(Event::News(News::Connecting)).await.is_err() {
            return;
        }
        let (reached, reason) = follow(source, link).await;
        *link.connection.lock().unwrap_or_else(PoisonError::into_inner) = None;
        failures = if reached { 0 } else { failures + 1 };
        let wait = WAITS[failures.min(WAITS.len() - 1)];
        // Whoever hears that it is down may hurry at once.
        let hurried = link.hurry.notified();
        tokio::pin!(hurried);
        hurried.as_mut().enable();
        let down = News::Down { reason, retry_at: Instant::now() + wait };
        if link.events.send(Event::News(down)).await.is_err() {
            return;
        }
        let waited = async {
            tokio::select! {
                () = &mut hurried => {}
                () = link.replace.notified() => {
                    failures = 0;
                    let result = source.replace().await.map_err(|error| error.to_string());
                    let _ = link.events.send(Event::Answer(Answer::Replaced(result))).await;
                }
            }
        };
        // Only the waiting is cut short.
        let _ = tokio::time::timeout(wait, waited).await;
    }
}

/// Connects and passes events on until the connection ends. Gives back whether there was one, and
/// why there is none any more.
async fn follow<C: Connect>(source: &C, link: &Link<C::Connection>) -> (bool, String) {
    let (connection, mut events) = match source.connect().await {
        Ok(connected) => connected,
        Err(error) => return (false, error.to_string()),
    };
    let snapshot = match connection.ask(Request::Subscribe).await {
        Ok(Response::Snapshot(snapshot)) => snapshot,
        Ok(_) => return (false, ClientError::Unexpected.to_string()),
        Err(error) => return (false, error.to_string()),
    };
    *link.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
    let mut news = News::Connected(snapshot);
    loop {
        if link.events.send(Event::News(news)).await.is_err() {
            return (true, String::new());
        }
        match events.recv().await {
            Some(event) => news = News::Event(event),
            None => return (true, connection.end().to_string()),
        }
    }
}

/// What came of a question, for the state.
fn answer(question: &Question, result: Result<Response, ClientError>) -> Answer {
    let lost = result.as_ref().is_err_and(ClientError::is_lost);
    let result = result.map_err(|error| error.to_string());
    let unexpected = || ClientError::Unexpected.to_string();
    match question {
        Question::Submit(_) => Answer::Submitted(match result {
            Ok(Response::Accepted(status)) => Ok(status),
            Ok(_) => Err(unexpected()),
            Err(reason) if lost => {
                Err(format!("{reason} before it answered; the queue will show whether it has it"))
            }
            Err(reason) => Err(reason),
        }),
        Question::Cancel(job) => Answer::Cancelled {
            job: *job,
            result: result.and_then(|response| match response {
                Response::Cancelled => Ok(()),
                _ => Err(unexpected()),
            }),
        },
        Question::Queue(_) => Answer::QueueChanged(result.and_then(|response| match response {
            Response::Changed | Response::Accepted(_) => Ok(()),
            _ => Err(unexpected()),
        })),
        Question::Free => Answer::Freed(result.and_then(|response| match response {
            Response::Changed => Ok(()),
            _ => Err(unexpected()),
        })),
        Question::Count { version, .. } => Answer::Counted {
            version: *version,
            result: result.and_then(|response| match response {
                Response::Tokens(counts) => Ok(counts),
                _ => Err(unexpected()),
            }),
        },
        Question::Fetch(picture) => Answer::Fetched {
            picture: *picture,
            result: result.and_then(|response| match response {
                Response::Png(png) => Ok(png),
                _ => Err(unexpected()),
            }),
        },
        Question::Thumbnail(asked) => Answer::Thumbnail {
            asked: *asked,
            result: result.and_then(|response| match response {
                Response::Thumbnail(jpeg) => Ok(jpeg),
                _ => Err(unexpected()),
            }),
        },
        Question::Search(query) => Answer::Found {
            query: query.clone(),
            result: result.and_then(|response| match response {
                Response::Library(LibraryResponse::Pictures(pictures)) => Ok(pictures),
                _ => Err(unexpected()),
            }),
        },
        Question::Details(picture) => Answer::Details {
            picture: *picture,
            result: result.and_then(|response| match response {
                Response::Library(LibraryResponse::Details(details)) => Ok(Box::new(details.picture)),
                _ => Err(unexpected()),
            }),
        },
        Question::Mark(_) => Answer::Marked(result.and_then(|response| match response {
            Response::Library(LibraryResponse::Changed(_)) => Ok(()),
            _ => Err(unexpected()),
        })),
        Question::Older(_) => Answer::Older(result.and_then(|response| match response {
            Response::History(pictures) => Ok(pictures),
            _ => Err(unexpected()),
        })),
        Question::Prompts { query, .. } => Answer::Prompts {
            query: query.clone(),
            result: result.and_then(|response| match response {
                Response::Library(LibraryResponse::Prompts(prompts)) => Ok(prompts),
                _ => Err(unexpected()),
            }),
        },
        Question::Seeds(prompt) => Answer::Seeds {
            prompt: prompt.clone(),
            result: result.and_then(|response| match response {
                Response::Library(LibraryResponse::Seeds(seeds)) => Ok(seeds),
                _ => Err(unexpected()),
            }),
        },
        Question::Costs(asked) => Answer::Costs {
            asked: asked.clone(),
            result: result.and_then(|response| match response {
                Response::Costs(costs) => Ok(costs),
                _ => Err(unexpected()),
            }),
        },
        Question::Grids(asked) => Answer::Grids {
            asked: asked.clone(),
            result: result.and_then(|response| match response {
                Response::Grids(response) => Ok(response),
                _ => Err(unexpected()),
            }),
        },
        Question::Models => Answer::Models(result.and_then(|response| match response {
            Response::Models(states) => Ok(states),
            _ => Err(unexpected()),
        })),
        Question::Loras(_) => Answer::Loras(result.and_then(|response| match response {
            Response::Loras(LoraResponse::List(list)) => Ok(Some(list)),
            Response::Loras(LoraResponse::Same) => Ok(None),
            _ => Err(unexpected()),
        })),
        Question::LoraPicture(key) => Answer::LoraPicture {
            key: key.clone(),
            result: result.and_then(|response| match response {
                Response::Loras(LoraResponse::Picture(jpeg)) => Ok(jpeg),
                _ => Err(unexpected()),
            }),
        },
        Question::FetchModel(model) => Answer::FetchingModel {
            model: model.clone(),
            result: result.and_then(|response| match response {
                Response::Fetching(fetch) => Ok(fetch),
                _ => Err(unexpected()),
            }),
        },
        Question::CancelFetch(model) => Answer::FetchCancelled {
            model: model.clone(),
            result: result.and_then(|response| match response {
                Response::Cancelled => Ok(()),
                _ => Err(unexpected()),
            }),
        },
        Question::ModelDetails(model) => Answer::ModelDetails {
            model: model.clone(),
            result: result.and_then(|response| match response {
                Response::Details(details) => Ok(details),
                _ => Err(unexpected()),
            }),
        },
        Question::VerifyModel(model) | Question::CancelCheck(model) => Answer::CheckChanged {
            model: model.clone(),
            result: result.and_then(|response| match response {
                Response::Checking(_) | Response::Cancelled => Ok(()),
                _ => Err(unexpected()),
            }),
        },
        Question::PlanRemoval(model) => Answer::RemovalPlanned {
            model: model.clone(),
            result: result.and_then(|response| match response {
                Response::Removal(plan) => Ok(plan),
                _ => Err(unexpected()),
            }),
        },
        Question::RemoveModel(model) => Answer::ModelRemoved {
            model: model.clone(),
            result: result.and_then(|response| match response {
                Response::Removed { bytes } => Ok(bytes),
                _ => Err(unexpected()),
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Job, Prompt, Seed, Size};
    use crate::model::ModelName;
    use crate::ui::fake::FakeWorker;
    use crate::wire::message::{self, JobState};

    /// The next event that `wanted` takes; others are passed over.
    async fn next<T>(events: &mut mpsc::Receiver<Event>, wanted: impl Fn(Event) -> Option<T>) -> T {
        let waiting = async {
            while let Some(event) = events.recv().await {
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
            panic!("the events ended");
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it comes within ten seconds")
    }

    fn connected(event: &Event) -> Option<()> {
        matches!(event, Event::News(News::Connected(_))).then_some(())
    }

    #[tokio::test]
    async fn a_job_is_drawn_and_a_lost_connection_is_made_again() {
        let worker = FakeWorker::new(Duration::from_millis(1));
        let (sender, mut events) = mpsc::channel(64);
        let (link, task) = start(worker.clone(), sender);
        next(&mut events, |event| connected(&event)).await;

        let prompt = Prompt::new("apple").expect("a prompt");
        let size = Size::new(32, 32).expect("a size");
        let job = Job::new(prompt, ModelName::new("nano"), size, 4, 3.5, Seed::Fixed(5), 1).expect("a job");
        link.ask(Question::Submit(job));
        next(&mut events, |event| match event {
            Event::Answer(Answer::Submitted(result)) => Some(result.expect("it is taken on")),
            _ => None,
        })
        .await;
        let done = |event| match event {
            Event::News(News::Event(message::Event::Job(status))) => {
                (status.state == JobState::Done).then_some(())
            }
            _ => None,
        };
        next(&mut events, done).await;

        worker.hang_up();
        let reason = next(&mut events, |event| match event {
            Event::News(News::Down { reason, .. }) => Some(reason),
            _ => None,
        })
        .await;
        assert!(reason.contains("ended"), "{reason}");
        next(&mut events, |event| connected(&event)).await;
        task.abort();
    }

    #[tokio::test]
    async fn a_question_without_a_worker_is_answered_with_the_reason() {
        let (events, mut answers) = mpsc::channel(4);
        let link: Link<FakeWorker> =
            Link { connection: Arc::default(), hurry: Arc::default(), replace: Arc::default(), events };
        link.ask(Question::Cancel(crate::job::JobId(1)));
        let answer = answers.recv().await.expect("an answer");
        let Event::Answer(Answer::Cancelled { result: Err(reason), .. }) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(reason, "no worker is running");
    }
}
