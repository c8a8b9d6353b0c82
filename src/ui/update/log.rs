//! What goes into the log: every notice, and what happens to jobs, the worker and the connection.

use crate::ui::event::{Event, News};
use crate::ui::language::Language;
use crate::ui::notice::Level;
use crate::ui::state::{Link, State};
use crate::wire::message::{self, JobState, JobStatus};

/// Notes what an event tells by itself, before it is taken.
pub(super) fn note(state: &mut State, event: &Event) {
    let Event::News(news) = event else { return };
    let language = state.language;
    let said = match news {
        News::Connecting => None,
        News::Connected(snapshot) => {
            let worker = &snapshot.worker;
            Some((None, language.log_connected(worker.pid, &worker.version)))
        }
        // Every try says the same.
        News::Down { reason, .. } => match &state.worker.link {
            Link::Down { reason: known, .. } if known == reason => None,
            _ => Some((Some(Level::Error), reason.clone())),
        },
        News::Event(message::Event::Job(status)) => of_job(status, language).map(|text| (None, text)),
        News::Event(message::Event::Paused(true)) => Some((None, language.log_paused().to_owned())),
        News::Event(message::Event::Paused(false)) => Some((None, language.log_goes_on().to_owned())),
        News::Event(message::Event::Ending) => Some((None, language.log_worker_ends().to_owned())),
        News::Event(_) => None,
    };
    if let Some((level, text)) = said {
        let now = state.now;
        state.log.note(now, level, text);
    }
}

/// A failure is a notice, and comes into the log as one.
fn of_job(status: &JobStatus, language: Language) -> Option<String> {
    match status.state {
        JobState::Done => Some(language.log_done(status.id, status.done)),
        JobState::Cancelled => Some(language.log_cancelled(status.id, status.done)),
        _ => None,
    }
}

/// Takes over what was told since.
pub(super) fn follow(state: &mut State) {
    let now = state.now;
    for notice in state.notices.told() {
        state.log.note(now, Some(notice.level), notice.text);
    }
}
