//! The two tasks of a connection: one writes requests, one reads answers and events. A slow taker
//! of events does not keep answers from coming.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio_util::codec::FramedRead;

use super::line::Line;
use super::{ClientError, Events};
use crate::job::JobId;
use crate::wire::frame::{self, FrameError, Frames, REPLY_MAX, REQUEST_MAX};
use crate::wire::message::{Event, FetchState, Refusal, Request, Response, ToClient, ToWorker};

/// Events that wait in the channel; more wait in front of it.
const CHANNEL: usize = 64;

type Answer = Result<Response, Refusal>;

/// Why a connection is no more.
#[derive(Debug, Clone)]
enum End {
    Lost,
    Ended,
    Broken { host: String, reason: String },
    Garbled(String),
}

impl From<End> for ClientError {
    fn from(end: End) -> Self {
        match end {
            End::Lost => Self::Lost,
            End::Ended => Self::Ended,
            End::Broken { host, reason } => Self::Broken { host, reason },
            End::Garbled(reason) => Self::Garbled(reason),
        }
    }
}

/// Requests that have not been answered, or why none will be.
#[derive(Debug)]
enum Asked {
    Open { last: u64, waiting: HashMap<u64, oneshot::Sender<Answer>> },
    Over(End),
}

/// One connection; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Link {
    asked: Arc<Mutex<Asked>>,
    frames: mpsc::UnboundedSender<Bytes>,
}

impl Link {
    /// Starts the tasks of a connection; `line` is the program that carries it to another machine.
    pub(super) fn start(
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
        line: Option<Line>,
    ) -> (Self, Events) {
        let asked = Arc::new(Mutex::new(Asked::Open { last: 0, waiting: HashMap::new() }));
        let (frames, to_write) = mpsc::unbounded_channel();
        let (events, taken) = mpsc::channel(CHANNEL);
        let (closing, closed) = oneshot::channel();
        tokio::spawn(write(writer, to_write, closing));
        let reading = Reading { asked: Arc::clone(&asked), events, waiting: VecDeque::new() };
        tokio::spawn(reading.run(reader, closed, line));
        (Self { asked, frames }, taken)
    }

    /// Asks and waits for the answer.
    pub(super) async fn call(&self, request: Request) -> Result<Response, ClientError> {
        let answer = self.send(request)?;
        match answer.await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(self.end()),
        }
    }

    fn send(&self, request: Request) -> Result<oneshot::Receiver<Answer>, ClientError> {
        let (sender, answer) = oneshot::channel();
        let mut asked = lock(&self.asked);
        let (last, waiting) = match &mut *asked {
            Asked::Open { last, waiting } => (last, waiting),
            Asked::Over(end) => return Err(end.clone().into()),
        };
        *last += 1;
        let frame = frame::encode(&ToWorker { number: *last, request }, REQUEST_MAX)
            .map_err(|error| ClientError::Unsendable(error.to_string()))?;
        waiting.insert(*last, sender);
        // When the writer is gone the reader is about to say why.
        let _ = self.frames.send(frame);
        Ok(answer)
    }

    /// Why a request was not answered.
    pub(super) fn end(&self) -> ClientError {
        match &*lock(&self.asked) {
            Asked::Over(end) => end.clone().into(),
            Asked::Open { .. } => ClientError::Lost,
        }
    }
}

fn lock(asked: &Mutex<Asked>) -> MutexGuard<'_, Asked> {
    // Nothing panics while it is held, and what it guards is whole between any two lines.
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes until the last handle is dropped, and tells the reader so, or until the worker takes no
/// more: then the reader finds the end of the stream, and what the worker said before it.
async fn write(
    mut stream: impl AsyncWrite + Unpin,
    mut frames: mpsc::UnboundedReceiver<Bytes>,
    closing: oneshot::Sender<()>,
) {
    while let Some(frame) = frames.recv().await {
        if stream.write_all(&frame).await.is_err() {
            return;
        }
    }
    let _ = closing.send(());
}

/// The reading side of a connection.
struct Reading {
    asked: Arc<Mutex<Asked>>,
    events: mpsc::Sender<Event>,
    /// Events that the channel has no room for.
    waiting: VecDeque<Event>,
}

impl Reading {
    async fn run(
        mut self,
        stream: impl AsyncRead + Unpin,
        mut closed: oneshot::Receiver<()>,
        mut line: Option<Line>,
    ) {
        let mut frames = FramedRead::new(stream, Frames::new(REPLY_MAX));
        let (mut ending, mut writing, mut leaving) = (false, true, false);
        let end = loop {
            let frame = tokio::select! {
                frame = frames.next() => frame,
                permit = self.events.reserve(), if !self.waiting.is_empty() => {
                    match (permit, self.waiting.pop_front()) {
                        (Ok(permit), Some(event)) => permit.send(event),
                        // Nobody takes events any more.
                        _ => self.waiting.clear(),
                    }
                    continue;
                }
                closed = &mut closed, if writing => {
                    writing = false;
                    match closed {
                        Ok(()) => {
                            leaving = true;
                            break End::Lost;
                        }
                        Err(_) => continue,
                    }
                }
            };
            match self.receive(frame) {
                Ok(event) => ending |= event,
                Err(End::Lost) if ending => break End::Ended,
                Err(end) => break end,
            }
        };
        drop(frames);
        let end = match (end, &mut line) {
            (End::Lost, Some(line)) if !leaving => {
                End::Broken { host: line.host().to_string(), reason: line.last_words().await }
            }
            (end, _) => end,
        };
        *lock(&self.asked) = Asked::Over(end);
        for event in self.waiting {
            if self.events.send(event).await.is_err() {
                break;
            }
        }
        if let Some(line) = line {
            line.end().await;
        }
    }

    /// Takes one frame; says whether it was the news that the worker ends.
    fn receive(&mut self, frame: Option<Result<BytesMut, FrameError>>) -> Result<bool, End> {
        let frame = match frame {
            None | Some(Err(FrameError::Io(_) | FrameError::Cut)) => return Err(End::Lost),
            Some(Err(error)) => return Err(End::Garbled(error.to_string())),
            Some(Ok(frame)) => frame,
        };
        match frame::decode(&frame).map_err(|error| End::Garbled(error.to_string()))? {
            ToClient::Reply { number, result } => {
                let Asked::Open { waiting, .. } = &mut *lock(&self.asked) else { return Ok(false) };
                let Some(sender) = waiting.remove(&number) else {
                    return Err(End::Garbled(format!("an answer to a request {number} that was not made")));
                };
                // Whoever asked may have stopped waiting.
                let _ = sender.send(result);
                Ok(false)
            }
            ToClient::Event(event) => {
                let ending = event == Event::Ending;
                self.keep(event);
                Ok(ending)
            }
        }
    }

    /// Puts an event in line; a newer preview of the same picture or newer readings take the place of
    /// older ones, and the previews of a picture that is over go: so many wait as pictures run.
    fn keep(&mut self, event: Event) {
        match &event {
            Event::Preview(preview) => self.forget_previews(preview.job, preview.index),
            Event::Stopped { job, index } => self.forget_previews(*job, *index),
            Event::Finished(picture) => self.forget_previews(picture.job, picture.index),
            Event::Readings(_) => self.waiting.retain(|it| !matches!(it, Event::Readings(_))),
            Event::Fetch(fetch) => {
                let progress = |it: &Event| match it {
                    Event::Fetch(it) => it.model == fetch.model && matches!(it.state, FetchState::Running(_)),
                    _ => false,
                };
                self.waiting.retain(|it| !progress(it));
            }
            _ => {}
        }
        self.waiting.push_back(event);
    }

    fn forget_previews(&mut self, job: JobId, index: u32) {
        let is_one = |it: &Event| matches!(it, Event::Preview(of) if (of.job, of.index) == (job, index));
        self.waiting.retain(|it| !is_one(it));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::Preview;

    fn preview(job: i64, step: u32) -> Event {
        Event::Preview(Preview::new(JobId(job), 0, step, (0, 0), Bytes::new()).expect("no pixels, no bytes"))
    }

    #[test]
    fn of_each_running_picture_the_latest_preview_waits() {
        let asked = Arc::new(Mutex::new(Asked::Over(End::Lost)));
        let (events, _taken) = mpsc::channel(1);
        let mut reading = Reading { asked, events, waiting: VecDeque::new() };
        for event in [preview(1, 1), preview(2, 1), preview(1, 2)] {
            reading.keep(event);
        }
        assert_eq!(reading.waiting, [preview(2, 1), preview(1, 2)]);
        let stopped = Event::Stopped { job: JobId(2), index: 0 };
        reading.keep(stopped.clone());
        assert_eq!(reading.waiting, [preview(1, 2), stopped]);
    }
}
