//! One job from `Submit` to its last picture, over a connection to the worker.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::progress::Bar;
use super::report::Report;
use crate::cli::failure::Failure;
use crate::cli::text;
use crate::client::{Asking, Client, ClientError, Endpoint, Events};
use crate::job::{Job, JobId, Picture, PictureId, TokenCount};
use crate::wire::message::{
    CountTokens, Event, HistoryPage, JobState, JobStatus, Progress, Refusal, Request, Response, Snapshot,
};

/// Has the worker draw what `asked` makes of all that it shows, and hands each picture to the report, which is given
/// back.
///
/// # Errors
/// What kept the job from being finished; the pictures that are done have been reported by then.
pub(super) async fn draw(
    at: &Endpoint,
    asked: impl FnOnce(&Snapshot) -> Result<(Job, Report), Failure>,
) -> Result<Report, Failure> {
    // Held from here on, so that Ctrl-C is never lost and never kills in the middle.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    let mut bar = Bar::new();
    if at.host().is_none() {
        // On the way to another machine a password may be asked for here.
        bar.say("looking for the worker");
    }
    let (client, events) = tokio::select! {
        connection = at.connect_or_start(Asking::HereUninterrupted) => connection?,
        Some(()) = interrupt.recv() => return Err(Failure::Interrupted),
    };
    let mut line = Line::new(client, events);
    let Response::Snapshot(snapshot) = line.call(Request::Subscribe).await? else {
        return Err(ClientError::Unexpected.into());
    };
    if let Some(rebuilt) = &snapshot.rebuilt {
        bar.suspend(|| text::complain("warning", &rebuilt.to_string()));
    }
    let before = snapshot.jobs.iter().filter(|status| !status.state.is_over()).count();
    let (job, mut report) = asked(&snapshot)?;
    bar.expect(job.count());
    let Response::Accepted(status) = line.call(Request::Submit(job.clone())).await? else {
        return Err(ClientError::Unexpected.into());
    };
    bar.say(&waiting(&status, before));
    if snapshot.paused {
        let there = at.host().map_or_else(String::new, |host| format!(" --host {host}"));
        let note = format!("the queue is paused: `flux-tui queue resume{there}` goes on");
        bar.suspend(|| text::complain("note", &note));
    }
    // Told now and not with the picture, which may take minutes.
    if let Some(counts) = line.count(&job).await? {
        bar.suspend(|| report.warn(&counts, job.prompt.as_str()));
    }
    let (running, reported) = (BTreeMap::new(), BTreeSet::new());
    let far = at.host().is_some();
    Follow { line, far, bar, interrupt, status: *status, running, reported, cancelling: false }
        .finish(&mut report)
        .await?;
    Ok(report)
}

fn waiting(status: &JobStatus, before: usize) -> String {
    match before {
        0 => format!("job {} is accepted", status.id),
        _ => format!("job {} waits for {} before it", status.id, text::count(before, "job")),
    }
}

/// A connection whose events are kept while a reply is awaited.
pub(in crate::cli) struct Line {
    client: Client,
    events: Events,
    /// Events that came before the reply they were awaited with.
    heard: VecDeque<Event>,
}

impl Line {
    pub fn new(client: Client, events: Events) -> Self {
        Self { client, events, heard: VecDeque::new() }
    }

    /// Asks and waits for the answer. Events go on being taken, or the reply could not get through.
    pub async fn call(&mut self, request: Request) -> Result<Response, ClientError> {
        let reply = self.client.call(request);
        tokio::pin!(reply);
        loop {
            tokio::select! {
                biased;
                result = &mut reply => return result,
                Some(event) = self.events.recv() => {
                    if !matches!(event, Event::Preview(_) | Event::Readings(_)) {
                        self.heard.push_back(event);
                    }
                }
            }
        }
    }

    /// How the prompt fits the encoders; `None` when it cannot be counted, which stops nothing: not even that the
    /// worker ends, which is told with the job that it leaves (the end of the events says it again).
    async fn count(&mut self, job: &Job) -> Result<Option<Vec<TokenCount>>, ClientError> {
        let asked = CountTokens { model: job.model.clone(), text: job.prompt.as_str().to_owned() };
        match self.call(Request::CountTokens(asked)).await {
            Ok(Response::Tokens(counts)) => Ok(Some(counts)),
            Ok(_) => Err(ClientError::Unexpected),
            Err(ClientError::Refused(_) | ClientError::Ended) => Ok(None),
            Err(error) if error.is_lost() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A picture's file, from the worker.
    async fn png(&mut self, picture: PictureId) -> Result<Bytes, ClientError> {
        match self.call(Request::Fetch(picture)).await? {
            Response::Png(png) => Ok(png),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// The next event; `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<Event> {
        match self.heard.pop_front() {
            Some(event) => Some(event),
            None => self.events.recv().await,
        }
    }
}

struct Follow {
    line: Line,
    /// The pictures are on another machine.
    far: bool,
    bar: Bar,
    interrupt: Signal,
    status: JobStatus,
    /// The pictures that are being drawn: several devices may draw for the job. The bar follows the first.
    running: BTreeMap<u32, Progress>,
    /// The pictures that were reported, in whichever order they came.
    reported: BTreeSet<u32>,
    cancelling: bool,
}

impl Follow {
    async fn finish(mut self, report: &mut Report) -> Result<(), Failure> {
        while !self.status.state.is_over() {
            tokio::select! {
                event = self.line.next() => match event {
                    Some(Event::Ending) | None => return Err(self.worker_ended()),
                    Some(event) => self.take(event, report).await?,
                },
                Some(()) = self.interrupt.recv() => self.cancel().await?,
            }
        }
        self.catch_up(report).await?;
        match &self.status.state {
            JobState::Failed { reason } => {
                Err(Failure::Drawing { id: self.status.id, reason: reason.clone() })
            }
            JobState::Cancelled => Err(self.cancelled()),
            JobState::Done | JobState::Queued | JobState::Running => Ok(()),
        }
    }

    async fn take(&mut self, event: Event, report: &mut Report) -> Result<(), Failure> {
        match event {
            Event::Job(status) if status.id == self.status.id => self.status = status,
            Event::Progress(progress) if progress.job == self.status.id => {
                self.running.insert(progress.index, progress);
                if let Some((_, first)) = self.running.first_key_value().filter(|_| !self.cancelling) {
                    self.bar.update(first);
                }
            }
            Event::Stopped { job, index } if job == self.status.id => drop(self.running.remove(&index)),
            Event::Finished(picture) if picture.job == self.status.id => {
                self.report(&picture, report).await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn report(&mut self, picture: &Picture, report: &mut Report) -> Result<(), Failure> {
        self.running.remove(&picture.index);
        self.reported.insert(picture.index);
        let fetched = match self.far && report.wants_file(picture) {
            true => Some(self.line.png(picture.id).await),
            false => None,
        };
        self.bar.suspend(|| report.picture(picture, fetched))
    }

    /// The first time the worker is asked to cancel; the second time nobody waits for it.
    async fn cancel(&mut self) -> Result<(), Failure> {
        if self.cancelling {
            return Err(self.cancelled());
        }
        self.cancelling = true;
        self.bar.say("cancelling");
        match self.line.call(Request::Cancel(self.status.id)).await {
            Ok(Response::Cancelled) | Err(ClientError::Refused(Refusal::UnknownJob(_))) => Ok(()),
            Ok(_) => Err(ClientError::Unexpected.into()),
            // With its worker gone the job was not cancelled.
            Err(error) if error.is_lost() || matches!(error, ClientError::Ended) => Err(self.worker_ended()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reports the pictures of which no event has come.
    async fn catch_up(&mut self, report: &mut Report) -> Result<(), Failure> {
        while let Some(event) = self.line.heard.pop_front() {
            self.take(event, report).await?;
        }
        if self.reported.len() >= self.status.done as usize {
            return Ok(());
        }
        let page = HistoryPage { before: None, limit: 500 };
        let Response::History(pictures) = self.line.call(Request::History(page)).await? else {
            return Err(ClientError::Unexpected.into());
        };
        for picture in missing(pictures, self.status.id, &self.reported) {
            self.report(&picture, report).await?;
        }
        Ok(())
    }

    fn worker_ended(&self) -> Failure {
        let (id, done, count) = (self.status.id, self.reported.len(), self.status.job.count());
        match self.line.client.end() {
            ClientError::Broken { ref host, .. } if self.far => {
                let (host, why) = (host.clone(), self.line.client.end().to_string());
                Failure::LineBroke { id, done, count, host, why }
            }
            _ => Failure::WorkerEnded { id, done, count },
        }
    }

    fn cancelled(&self) -> Failure {
        Failure::Cancelled { id: self.status.id, done: self.reported.len(), count: self.status.job.count() }
    }
}

/// The job's pictures in their order, without those that are known.
fn missing(history: Vec<Picture>, job: JobId, known: &BTreeSet<u32>) -> Vec<Picture> {
    let is_missing = |picture: &Picture| picture.job == job && !known.contains(&picture.index);
    let mut pictures: Vec<_> = history.into_iter().filter(is_missing).collect();
    pictures.sort_by_key(|picture| picture.index);
    pictures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{PictureId, Prompt, Recipe, Seed, Size, Times};
    use crate::model::ModelName;

    fn picture(job: i64, index: u32) -> Picture {
        let recipe = Recipe {
            template: None,
            prompt: Prompt::new("x").expect("text"),
            model: ModelName::new("nano"),
            size: Size::new(16, 16).expect("on the grid"),
            steps: 1,
            guidance: 3.0,
            seed: 7,
            precision: String::new(),
            cuts: Vec::new(),
            times: Times::default(),
            loras: Vec::new(),
        };
        let (id, job) = (PictureId(i64::from(index)), JobId(job));
        Picture::drawn((id, job, index), recipe, "/p".into(), 0)
    }

    #[test]
    fn only_this_jobs_unknown_pictures_are_missing_and_in_order() {
        let history = vec![picture(2, 3), picture(1, 9), picture(2, 1), picture(2, 2), picture(2, 0)];
        let known = BTreeSet::from([0, 2]);
        let indices: Vec<_> =
            missing(history, JobId(2), &known).iter().map(|picture| picture.index).collect();
        assert_eq!(indices, [1, 3]);
    }

    #[test]
    fn waiting_says_for_how_many() {
        let job = Job::new(
            Prompt::new("x").expect("text"),
            ModelName::new("nano"),
            Size::new(16, 16).expect("on the grid"),
            1,
            3.0,
            Seed::Random,
            1,
        );
        let job = job.expect("drawable");
        let state = JobState::Queued;
        let status = JobStatus { id: JobId(5), job, first_seed: 1, state, done: 0, accepted_at: 0 };
        assert_eq!(waiting(&status, 0), "job 5 is accepted");
        assert_eq!(waiting(&status, 2), "job 5 waits for 2 jobs before it");
    }
}
