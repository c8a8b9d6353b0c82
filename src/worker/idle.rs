//! When a worker that has nothing to do frees its model, and when it ends. Pure: every moment is
//! passed in.

use std::time::{Duration, Instant};

/// What is to be done about having nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Free the model.
    Free,
    /// End.
    End,
}

/// Follows how long there has been no work, and how long neither work nor clients.
#[derive(Debug)]
pub struct Idle {
    free_after: Option<Duration>,
    end_after: Option<Duration>,
    loaded: bool,
    without_work: Option<Instant>,
    alone: Option<Instant>,
}

impl Idle {
    /// A worker that has just started; a time that is `None` never comes.
    #[must_use]
    pub fn new(free_after: Option<Duration>, end_after: Option<Duration>, now: Instant) -> Self {
        Self { free_after, end_after, loaded: false, without_work: Some(now), alone: Some(now) }
    }

    /// How things are now.
    pub fn observe(&mut self, busy: bool, clients: usize, loaded: bool, now: Instant) {
        self.loaded = loaded;
        self.without_work = if busy { None } else { self.without_work.or(Some(now)) };
        self.alone = if busy || clients > 0 { None } else { self.alone.or(Some(now)) };
    }

    /// What is to be done next, and when.
    #[must_use]
    pub fn next(&self) -> Option<(Due, Instant)> {
        let due = |what, since: Option<Instant>, after: Option<Duration>| Some((what, since? + after?));
        let free = due(Due::Free, self.without_work.filter(|_| self.loaded), self.free_after);
        let end = due(Due::End, self.alone, self.end_after);
        free.into_iter().chain(end).min_by_key(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Option<Duration> = Some(Duration::from_secs(10));
    const END: Option<Duration> = Some(Duration::from_secs(100));

    #[test]
    fn a_model_is_freed_after_work_even_while_a_client_watches() {
        let zero = Instant::now();
        let at = |seconds| zero + Duration::from_secs(seconds);
        let mut idle = Idle::new(FREE, END, zero);
        idle.observe(true, 1, true, at(1));
        assert_eq!(idle.next(), None, "busy");
        idle.observe(false, 1, true, at(5));
        idle.observe(false, 1, true, at(7));
        assert_eq!(idle.next(), Some((Due::Free, at(15))), "from when the work ended");
        idle.observe(false, 1, false, at(15));
        assert_eq!(idle.next(), None, "freed, and a client is there");
    }

    #[test]
    fn it_ends_when_neither_work_nor_clients_have_been_there_for_long() {
        let zero = Instant::now();
        let at = |seconds| zero + Duration::from_secs(seconds);
        let mut idle = Idle::new(FREE, END, zero);
        assert_eq!(idle.next(), Some((Due::End, at(100))));
        idle.observe(false, 1, false, at(50));
        assert_eq!(idle.next(), None);
        idle.observe(false, 0, true, at(60));
        assert_eq!(idle.next(), Some((Due::Free, at(10))), "there was no work since the beginning");
        idle.observe(false, 0, false, at(61));
        assert_eq!(idle.next(), Some((Due::End, at(160))));
    }

    #[test]
    fn what_is_never_to_be_does_not_come() {
        let zero = Instant::now();
        let mut idle = Idle::new(None, END, zero);
        idle.observe(false, 0, true, zero);
        assert_eq!(idle.next(), Some((Due::End, zero + Duration::from_secs(100))));
        let mut idle = Idle::new(None, None, zero);
        idle.observe(false, 0, true, zero);
        assert_eq!(idle.next(), None);
    }
}
