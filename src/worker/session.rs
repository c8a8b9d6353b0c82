//! One client: its greeting, its requests in the order they come, and one answer to each. Quick
//! requests are answered at once; those that wait for the disk or a tokenizer are answered when
//! they are done, so that a cancel never waits behind a picture being read.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_util::codec::FramedRead;

use super::Shared;
use super::outbox::Outbox;
use super::peer::Peer;
use super::{answer, change, costs, grids, held, lora_list, pictures, wanted};
use crate::wire::frame::{self, FrameError, Frames, REPLY_MAX, REQUEST_MAX};
use crate::wire::library::LibraryRequest;
use crate::wire::loras::LoraRequest;
use crate::wire::message::{
    CountTokens, Hello, PROTOCOL, Refusal, Request, Response, ToClient, ToWorker, WorkerInfo,
};

/// How much may be asked before it has been answered and sent; see [`weight`].
const ROOM: u32 = 16;

/// One client's side of the worker.
pub(super) struct Session {
    number: u64,
    shared: Rc<Shared>,
    outbox: Rc<Outbox>,
    room: Arc<Semaphore>,
    counting: RefCell<Counting>,
    peer: Rc<Peer>,
}

/// The client's texts that are to be counted: one at a time, and of those that wait the newest.
#[derive(Default)]
struct Counting {
    busy: bool,
    waiting: Option<(Pending, CountTokens)>,
}

/// A request that has not been answered.
struct Pending {
    number: u64,
    permit: OwnedSemaphorePermit,
}

/// What becomes of the connection after a request.
#[derive(PartialEq, Eq)]
enum After {
    GoOn,
    Close,
}

/// Serves one connection until it ends.
pub(super) async fn serve(shared: Rc<Shared>, stream: UnixStream) {
    let (number, outbox) = shared.hub.join();
    let peer = Rc::new(Peer::of(&stream));
    let (reader, writer) = stream.into_split();
    let writing = spawn_local(write(writer, Rc::clone(&outbox), Rc::clone(&shared)));
    let room = Arc::new(Semaphore::new(ROOM as usize));
    let session = Session { number, shared, outbox, room, counting: RefCell::default(), peer };
    let session = Rc::new(session);
    session.read(reader).await;
    session.outbox.close();
    // What was answered is still sent; a client that does not read is given up there.
    let _ = writing.await;
    session.shared.hub.leave(number);
}

/// Sends what waits, until nothing more comes or the client takes nothing for long.
async fn write(mut stream: OwnedWriteHalf, outbox: Rc<Outbox>, shared: Rc<Shared>) {
    while let Some(out) = outbox.next().await {
        let mut rest = &out.frame[..];
        while !rest.is_empty() {
            match timeout(shared.settings.stall, stream.write(rest)).await {
                Ok(Ok(sent)) if sent > 0 => rest = &rest[sent..],
                Ok(_) => return outbox.close(),
                Err(_) => {
                    tracing::warn!("a client takes nothing; it is given up");
                    return outbox.close();
                }
            }
        }
    }
}

impl Session {
    async fn read(self: &Rc<Self>, stream: OwnedReadHalf) {
        let mut frames = FramedRead::new(stream, Frames::new(REQUEST_MAX));
        let first = timeout(self.shared.settings.greet_within, frames.next());
        let greeting = tokio::select! {
            first = first => first.ok().flatten(),
            () = self.outbox.closed() => None,
        };
        let Some(greeting) = greeting else { return };
        let mut after = self.receive(greeting, Self::greet).await;
        while after == After::GoOn {
            let frame = tokio::select! {
                frame = frames.next() => frame,
                () = self.outbox.closed() => None,
            };
            let Some(frame) = frame else { return };
            after = self.receive(frame, Self::answer).await;
        }
    }

    /// Reads one message and has it answered once there is room.
    async fn receive(
        self: &Rc<Self>,
        frame: Result<bytes::BytesMut, FrameError>,
        answer: impl FnOnce(&Rc<Self>, Request, Pending) -> After,
    ) -> After {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                tracing::warn!(%error, "a client is dropped");
                return After::Close;
            }
        };
        let message: Result<ToWorker, _> = frame::decode(&frame);
        let weight = message.as_ref().map_or(1, |message| weight(&message.request));
        let permit = tokio::select! {
            permit = Arc::clone(&self.room).acquire_many_owned(weight) => permit.ok(),
            () = self.outbox.closed() => None,
        };
        let Some(permit) = permit else { return After::Close };
        match message {
            Ok(ToWorker { number, request }) => answer(self, request, Pending { number, permit }),
            Err(error) => self.malformed(&frame, &error, permit),
        }
    }

    /// A frame that is no message: answered if it has a number, and otherwise the end.
    fn malformed(&self, frame: &[u8], error: &FrameError, permit: OwnedSemaphorePermit) -> After {
        #[derive(serde::Deserialize)]
        struct Numbered {
            number: u64,
        }
        tracing::warn!(%error, "a client sent something that is no message");
        match frame::decode(frame) {
            Ok(Numbered { number }) => {
                self.reply(Pending { number, permit }, Err(Refusal::Malformed(error.to_string())));
                After::GoOn
            }
            Err(_) => After::Close,
        }
    }

    fn greet(self: &Rc<Self>, request: Request, pending: Pending) -> After {
        if request == Request::Replace {
            self.reply(pending, Ok(self.replace()));
            return After::Close;
        }
        let Request::Hello(Hello { protocol, version }) = request else {
            self.reply(pending, Err(Refusal::NoHello));
            return After::Close;
        };
        let worker = self.shared.hub.info().clone();
        if protocol == PROTOCOL {
            self.reply(pending, Ok(Response::Welcome(worker)));
            return After::GoOn;
        }
        let WorkerInfo { protocol: worker_protocol, version: worker, .. } = worker;
        let refusal =
            Refusal::Version { client: version, client_protocol: protocol, worker, worker_protocol };
        self.reply(pending, Err(refusal));
        After::Close
    }

    /// Somebody of another version asks the worker to make room.
    fn replace(&self) -> Response {
        tracing::info!(by = %self.peer, "to be replaced once what was begun is done");
        Response::Replacing { begun: self.shared.hub.retire() }
    }

    fn answer(self: &Rc<Self>, request: Request, pending: Pending) -> After {
        let shared = &self.shared;
        match request {
            Request::Hello(_) => self.reply(pending, Ok(Response::Welcome(shared.hub.info().clone()))),
            Request::Subscribe => {
                let snapshot = shared.hub.subscribe(self.number);
                self.reply(pending, Ok(Response::Snapshot(Box::new(snapshot))));
            }
            Request::Status => self.reply(pending, Ok(Response::Status(Box::new(shared.hub.status())))),
            Request::Replace => self.reply(pending, Ok(self.replace())),
            Request::Free => {
                tracing::info!(by = %self.peer, "asked to let go of what is loaded");
                shared.hub.free_what_rests();
                self.reply(pending, Ok(Response::Changed));
            }
            Request::Stop => {
                tracing::info!(by = %self.peer, "told to end by a client");
                let queued = shared.hub.stop();
                self.reply(pending, Ok(Response::Stopping { queued }));
            }
            Request::CountTokens(asked) => self.count(asked, pending),
            Request::Submit(job) => self.later(pending, answer::submit(shared, &self.peer, job)),
            Request::Cancel(id) => self.later(pending, answer::cancel(shared, &self.peer, id)),
            Request::Queue(asked) => {
                self.later(pending, change::carry_out(Rc::clone(shared), Rc::clone(&self.peer), asked));
            }
            Request::History(page) => self.later(pending, answer::history(shared, page)),
            Request::Library(asked) => {
                self.later(pending, pictures::carry_out(Rc::clone(shared), Rc::clone(&self.peer), asked));
            }
            Request::Loras(asked) => self.later(pending, lora_list::answer(Rc::clone(shared), asked)),
            Request::Costs(asked) => self.later(pending, costs::answer(Rc::clone(shared), asked)),
            Request::Grids(asked) => {
                self.later(pending, grids::carry_out(Rc::clone(shared), Rc::clone(&self.peer), asked));
            }
            Request::Fetch(id) => self.later(pending, answer::fetch(shared, id)),
            Request::Thumbnail(asked) => self.later(pending, answer::thumbnail(shared, asked)),
            Request::Models => self.later(pending, wanted::models(shared)),
            Request::FetchModel(model) => self.later(pending, wanted::fetch(shared, model)),
            Request::CancelFetch(model) => self.later(pending, wanted::cancel(shared, model)),
            Request::ModelDetails(model) => self.later(pending, held::details(shared, model)),
            Request::VerifyModel(model) => self.later(pending, held::verify(shared, model)),
            Request::CancelCheck(model) => {
                let found = shared.hub.cancel_check(&model);
                let answer = if found { Ok(Response::Cancelled) } else { Err(Refusal::NotChecking(model)) };
                self.reply(pending, answer);
            }
            Request::PlanRemoval(model) => self.later(pending, held::plan_removal(Rc::clone(shared), model)),
            Request::RemoveModel(model) => {
                self.later(pending, held::remove(Rc::clone(shared), Rc::clone(&self.peer), model));
            }
        }
        After::GoOn
    }

    /// Answers when the answer is there, whether or not the client still is: what it asked for is
    /// carried out to the end.
    fn later(
        self: &Rc<Self>,
        pending: Pending,
        answer: impl Future<Output = Result<Response, Refusal>> + 'static,
    ) {
        let session = Rc::clone(self);
        session.shared.hub.request_begun();
        spawn_local(async move {
            let result = answer.await;
            session.reply(pending, result);
            session.shared.hub.request_ended();
        });
    }

    fn count(self: &Rc<Self>, asked: CountTokens, pending: Pending) {
        if let Err(refusal) = answer::known(&self.shared, &asked.model) {
            return self.reply(pending, Err(refusal));
        }
        let mut counting = self.counting.borrow_mut();
        if let Some((stale, _)) = counting.waiting.replace((pending, asked)) {
            self.reply(stale, Err(Refusal::Superseded));
        }
        if !std::mem::replace(&mut counting.busy, true) {
            spawn_local(Rc::clone(self).count_waiting());
        }
    }

    async fn count_waiting(self: Rc<Self>) {
        loop {
            let waiting = {
                let mut counting = self.counting.borrow_mut();
                let waiting = counting.waiting.take();
                counting.busy = waiting.is_some();
                waiting
            };
            let Some((pending, asked)) = waiting else { return };
            let counted = self.shared.counters.count(asked).await;
            self.reply(pending, counted.map(Response::Tokens));
        }
    }

    fn reply(&self, pending: Pending, result: Result<Response, Refusal>) {
        let Pending { number, permit } = pending;
        match frame::encode(&ToClient::Reply { number, result }, REPLY_MAX) {
            Ok(frame) => self.outbox.reply(frame, permit),
            Err(error) => {
                tracing::error!(%error, "an answer could not be sent; the client is dropped");
                self.outbox.close();
            }
        }
    }
}

/// How much of [`ROOM`] a request takes until its answer has been sent: those with large answers
/// half of it, so that a client that asks and does not read holds two of them and no more.
fn weight(request: &Request) -> u32 {
    match request {
        Request::Subscribe | Request::History(_) | Request::Fetch(_) | Request::Models => ROOM / 2,
        Request::Loras(LoraRequest::List(_)) | Request::Grids(_) => ROOM / 2,
        Request::Library(
            LibraryRequest::Search { .. } | LibraryRequest::Prompts { .. } | LibraryRequest::Seeds(_),
        ) => ROOM / 2,
        Request::Library(LibraryRequest::Files { .. } | LibraryRequest::Adopt { .. }) => ROOM / 2,
        _ => 1,
    }
}
