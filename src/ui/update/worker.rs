//! What the worker says: news of the connection, events over it, answers to questions.

use super::{loras, models};
use crate::job::{Unapplied, UsedLora};
use crate::ui::draft::Draft;
use crate::ui::effect::{Effect, Question};
use crate::ui::event::{Answer, News};
use crate::ui::language::Language;
use crate::ui::pane::gallery::Small;
use crate::ui::state::{Link, State};
use crate::wire::message::{Event, JobState, JobStatus, Snapshot};

pub(super) fn take_news(state: &mut State, news: News) -> Vec<Effect> {
    match news {
        News::Connecting => state.worker.link = Link::Connecting,
        News::Connected(snapshot) => return connected(state, *snapshot),
        News::Down { reason, retry_at } => {
            lose(state);
            state.notices.connection(Some(reason.clone()));
            state.worker.link = Link::Down { reason, retry_at };
        }
        News::Event(event) => take_event(state, event),
    }
    Vec::new()
}

/// Everything anew, by the worker's word; then what was asked for in the meantime.
fn connected(state: &mut State, snapshot: Snapshot) -> Vec<Effect> {
    lose(state);
    state.preview.forget();
    state.worker.link = Link::Up;
    state.notices.connection(None);
    state.worker.engines = snapshot.engines;
    state.parameters.offer(snapshot.models);
    state.models.replace(snapshot.fetches, snapshot.checks);
    let (running, previews): (Vec<_>, Vec<_>) =
        snapshot.running.into_iter().map(|running| (running.progress, running.preview)).unzip();
    state.queue.replace(snapshot.jobs, running);
    state.queue.paused = snapshot.paused;
    state.history.replace(snapshot.history, snapshot.history_total);
    super::gallery::anew(state);
    if let Some(rebuilt) = snapshot.rebuilt {
        state.notices.warn(rebuilt.to_string());
    }
    if state.parameters.last_seed.is_none() {
        state.parameters.last_seed = state.history.pictures().first().map(|picture| picture.recipe.seed);
    }
    state.preview.rest_on(state.history.chosen_picture().map(|picture| picture.id));
    previews.into_iter().flatten().for_each(|preview| state.preview.live(preview));
    snapshot.readings.into_iter().for_each(|readings| state.memory.read(readings));
    let drafts = std::mem::take(&mut state.worker.unsent);
    let jobs =
        drafts.into_iter().map(|draft: Draft| draft.with_models(&state.parameters).job(state.language));
    let mut effects = Vec::new();
    for job in jobs.collect::<Vec<_>>() {
        match job {
            Ok(job) => effects.push(Effect::Ask(Question::Submit(job))),
            Err(wrong) => state.notices.error(wrong.message),
        }
    }
    effects
}

/// Questions that were on their way will not be answered.
fn lose(state: &mut State) {
    state.prompt.counts.forget();
    state.preview.unanswered();
    state.gallery.unanswered();
    state.history.older(None);
    state.loras.forget();
    state.overlay.unanswered();
}

fn take_event(state: &mut State, event: Event) {
    match event {
        Event::Job(status) => job_changed(state, status),
        Event::Moved { job, before } => state.queue.moved(job, before),
        Event::Paused(paused) => state.queue.paused = paused,
        Event::Progress(progress) => {
            let seed = progress.seed;
            // Several may run: the last seed is that of the picture that was begun last.
            if state.queue.progressed(progress) {
                state.parameters.last_seed = Some(seed);
            }
        }
        Event::Stopped { job, index } => {
            state.preview.stopped(job, index);
            state.queue.stopped(job, index);
        }
        Event::Preview(preview) => state.preview.live(preview),
        Event::Finished(picture) => {
            state.parameters.last_seed = Some(picture.recipe.seed);
            // Of several pictures of a job the first says it for all.
            if picture.index == 0 {
                let language = state.language;
                let unused = picture.recipe.loras.iter().filter_map(|lora| unused(lora, language));
                unused.for_each(|what| state.notices.warn(what));
            }
            state.queue.stopped(picture.job, picture.index);
            state.preview.finished(picture.job, picture.index, picture.id);
            state.gallery.changed(&picture);
            state.history.finished(*picture);
        }
        Event::Picture { picture, was_trashed } => {
            state.gallery.changed(&picture);
            state.history.changed(*picture, was_trashed);
        }
        Event::History { pictures, total } => {
            state.history.replace(pictures, total);
            super::gallery::anew(state);
        }
        Event::Engine(engine) => {
            let engines = state.worker.engines.iter_mut();
            engines.filter(|known| known.device == engine.device).for_each(|known| *known = engine.clone());
        }
        Event::Readings(readings) => state.memory.read(readings),
        Event::Fetch(fetch) => models::fetched(state, fetch),
        Event::Check(check) => models::checked(state, check),
        Event::Models(models) => {
            state.parameters.offer(models);
            state.models.changed();
        }
        Event::Loras => state.loras.changed(),
        // The connection ends next, and that says it.
        Event::Ending => {}
        Event::Grid(grid) => super::grid::written(state, grid),
    }
}

fn job_changed(state: &mut State, status: JobStatus) {
    super::grid::job_changed(state, &status);
    if status.state.is_over() {
        state.preview.job_over(status.id);
    }
    if let JobState::Failed { reason } = &status.state {
        state.notices.error(state.language.job_failed(status.id, reason));
    }
    state.queue.update(status);
}

pub(super) fn take_answer(state: &mut State, answer: Answer) {
    match answer {
        Answer::Submitted(Ok(status)) => {
            state.parameters.last_seed = Some(status.first_seed);
            state.queue.accepted(*status);
        }
        Answer::Submitted(Err(reason)) => state.notices.error(state.language.job_not_taken(reason)),
        Answer::Cancelled { result: Ok(()), .. } => {}
        Answer::Cancelled { job, result: Err(reason) } => {
            state.notices.error(state.language.job_not_cancelled(job, reason));
        }
        Answer::Freed(Ok(())) => {}
        Answer::Replaced(Ok(0)) => {
            state.notices.warn(state.language.worker_ends());
        }
        Answer::Replaced(Ok(begun)) => state.notices.warn(state.language.worker_finishes(begun)),
        Answer::Replaced(Err(reason)) => {
            state.notices.error(state.language.worker_stays(reason));
        }
        Answer::Freed(Err(reason)) => {
            state.notices.error(state.language.not_freed(reason));
        }
        Answer::QueueChanged(Ok(())) => super::editing::answered(state, true),
        Answer::QueueChanged(Err(reason)) => {
            super::editing::answered(state, false);
            state.notices.error(state.language.queue_unchanged(reason));
        }
        Answer::Counted { version, result } => {
            let counts = result.map_err(|reason| state.notices.warn(state.language.not_counted(reason)));
            state.prompt.counted(version, counts.ok());
        }
        Answer::Fetched { picture, result } => {
            if let Some(open) = state.gallery.open_mut() {
                open.files.fetched(picture, &result);
            }
            state.preview.fetched(picture, result);
        }
        Answer::Thumbnail { asked, result } => {
            if let Some(open) = state.gallery.open_mut() {
                open.thumbs.fetched(Small::Picture(asked.picture), asked.side, result);
            }
        }
        Answer::Found { query, result } => {
            if let Some(open) = state.gallery.open_mut() {
                open.each_found().for_each(|found| found.answered(&query, result.clone()));
            }
        }
        Answer::Details { picture, result } => super::gallery::told(state, picture, result),
        Answer::Marked(Ok(())) => {}
        Answer::Marked(Err(reason)) => {
            state.notices.error(state.language.picture_unchanged(reason));
        }
        Answer::Older(page) => {
            let page = page.map_err(|reason| state.notices.warn(state.language.no_older_pictures(reason)));
            state.history.older(page.ok());
        }
        Answer::Prompts { query, result } => super::overlay::prompts_answered(state, &query, result),
        Answer::Seeds { prompt, result } => super::overlay::seeds_answered(state, &prompt, result),
        Answer::Costs { asked, result } => super::sizes::answered(state, &asked, result),
        Answer::Grids { asked, result } => super::grid::answered(state, &asked, result),
        Answer::Models(result) => models::listed(state, result),
        Answer::Loras(result) => loras::listed(state, result),
        // What cannot be shown is not: the list says what the LoRA is.
        Answer::LoraPicture { key, result } => state.loras.pictures.fetched(key, result.ok().flatten()),
        // The worker has told all of it.
        Answer::FetchingModel { result: Ok(_), .. } | Answer::FetchCancelled { result: Ok(()), .. } => {}
        Answer::FetchingModel { model, result: Err(reason) } => {
            state.notices.error(state.language.models_is_not_fetched(model, reason));
        }
        Answer::ModelDetails { model, result } => state.models.described(&model, result),
        Answer::CheckChanged { result: Ok(()), .. } => {}
        Answer::CheckChanged { model, result: Err(reason) } => {
            state.notices.error(state.language.models_is_not_checked(model, reason));
        }
        Answer::RemovalPlanned { result: Ok(plan), .. } => state.models.ask_removal(plan),
        Answer::RemovalPlanned { result: Err(reason), .. }
        | Answer::ModelRemoved { result: Err(reason), .. } => {
            state.notices.error(reason);
        }
        Answer::ModelRemoved { model, result: Ok(bytes) } => models::removed(state, &model, bytes),
        Answer::FetchCancelled { model, result: Err(reason) } => {
            state.notices.error(state.language.models_not_cancelled(model, reason));
        }
    }
}

/// What of a LoRA was not used, if anything was not.
fn unused(lora: &UsedLora, language: Language) -> Option<String> {
    let Unapplied { count, of, examples } = &lora.unapplied;
    let plain = |text: &str| text.replace(char::is_control, "\u{fffd}");
    let name = plain(lora.name());
    (*count > 0).then(|| match examples.first() {
        Some(example) => language.lora_unused_like(count, of, name, plain(example)),
        None => language.lora_unused(count, of, name),
    })
}
