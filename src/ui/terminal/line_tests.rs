//! The line, told by a clock of its own: what is learned of it, and when what goes out.

use super::*;

const TRIP: Duration = Duration::from_millis(40);

/// A line that carries so many bytes a second, and answers.
struct Wire {
    line: Line,
    rate: f64,
    now: Instant,
    /// When it has carried all that was sent.
    carried: Instant,
    answers: VecDeque<Instant>,
}

impl Wire {
    /// A line whose trip is known.
    fn new(rate: f64) -> Self {
        let now = Instant::now();
        let mut wire = Self { line: Line::new(true), rate, now, carried: now, answers: VecDeque::new() };
        wire.send(4, false);
        wire.until(now + TRIP * 2);
        wire
    }

    fn send(&mut self, bytes: usize, behind: bool) {
        let asks = self.line.asks_about(bytes, self.now) || !self.line.has_answers();
        self.carried = self.carried.max(self.now) + Duration::from_secs_f64(bytes as f64 / self.rate);
        if asks {
            self.answers.push_back(self.carried + TRIP);
        }
        self.line.sent(Sent { bytes, asks, behind }, self.now);
    }

    /// Lets time pass, and answers come.
    fn until(&mut self, then: Instant) {
        while self.answers.front().is_some_and(|at| *at <= then) {
            let at = self.answers.pop_front().expect("there is one");
            self.line.answered(at);
        }
        self.now = then;
    }

    fn pass(&mut self, milliseconds: u64) {
        self.until(self.now + Duration::from_millis(milliseconds));
    }

    /// How long what is sent now waits for what was sent before.
    fn queue(&self) -> Duration {
        self.carried.saturating_duration_since(self.now)
    }

    /// Lets the line be known for what it is.
    fn known(mut self) -> Self {
        for turn in 0..16 {
            self.send(if turn % 2 == 0 { 4000 } else { 400 }, false);
            self.pass(200);
        }
        self
    }

    /// The next two pieces, a short one and a long one in either order.
    fn pieces(&mut self) -> [usize; 2] {
        let mut pieces = [0; 2];
        for piece in &mut pieces {
            *piece = self.line.piece().expect("it is slow");
            self.send(*piece, true);
            self.pass(50);
        }
        pieces.sort_unstable();
        pieces
    }
}

#[test]
fn the_rate_is_learned_within_a_fifth_whatever_else_waits_for_its_turn() {
    let mut wire = Wire::new(125e3).known();
    let [short, long] = wire.pieces();
    assert!((350..=400).contains(&short) && (950..=1050).contains(&long), "{short}, {long}: 375 and 1000");
    // Pieces one behind the other say the same as those that have the line for themselves.
    for _ in 0..100 {
        let piece = wire.line.piece().expect("it is slow");
        wire.send(piece, true);
        wire.pass(6);
    }
    let [short, long] = wire.pieces();
    assert!((300..=450).contains(&short) && (800..=1200).contains(&long), "{short}, {long}");
}

#[test]
fn a_fast_line_has_no_pieces_and_its_pictures_any_size() {
    let wire = Wire::new(100e6).known();
    assert_eq!((wire.line.piece(), wire.line.budget(true), wire.line.budget(false)), (None, None, None));
    assert!(wire.line.is_ready(wire.now) && !wire.line.is_slow());
}

#[test]
fn pieces_take_half_of_the_line_and_a_key_is_behind_one_of_them_at_most() {
    let mut wire = Wire::new(125e3).known();
    let (begun, mut sent, mut longest) = (wire.now, 0, Duration::ZERO);
    while wire.now < begun + Duration::from_secs(4) {
        longest = longest.max(wire.queue());
        if wire.line.is_ready(wire.now) {
            let piece = wire.line.piece().expect("it is slow");
            wire.send(piece, true);
            sent += piece;
        }
        wire.pass(1);
    }
    assert!(longest < Duration::from_millis(11), "{longest:?}");
    let share = sent as f64 / 4.0 / 125e3;
    assert!((0.40..=0.60).contains(&share), "{share}");
}

#[test]
fn what_a_key_changes_makes_pieces_wait() {
    let mut wire = Wire::new(125e3).known();
    wire.send(600, true);
    let free = wire.line.ready_at(wire.now).expect("it rests");
    wire.send(300, true);
    let later = wire.line.ready_at(wire.now).expect("it rests");
    let more = later - free;
    assert!((Duration::from_millis(4)..Duration::from_millis(6)).contains(&more), "{more:?}");
}

#[test]
fn no_more_is_on_its_way_than_a_trip_holds() {
    let mut wire = Wire::new(125e3).known();
    // The line stands still: no answer comes.
    let stands = wire.now;
    let mut sent = 0;
    while wire.now < stands + Duration::from_secs(2) {
        if wire.line.is_ready(wire.now) {
            let piece = wire.line.piece().expect("it is slow");
            wire.line.sent(Sent { bytes: piece, asks: true, behind: true }, wire.now);
            sent += piece;
        }
        wire.now += Duration::from_millis(1);
    }
    assert!(sent < 8000, "{sent}: 48 ms are 6000");
    assert!(wire.line.is_ready(wire.now + LOST), "an answer that never comes is not waited for for ever");
}

#[test]
fn a_preview_is_ordered_when_the_one_before_is_out() {
    let mut wire = Wire::new(125e3).known();
    wire.send(600, true);
    assert_eq!(wire.line.preview_at(wire.now), None);
    wire.send(600, false);
    assert!(wire.line.preview_at(wire.now).is_some_and(|at| at <= wire.now));
    let (divided, whole) = (wire.line.budget(true), wire.line.budget(false));
    assert!(divided.is_some_and(|bytes| (30_000..36_000).contains(&bytes)), "{divided:?}");
    assert!(whole.is_some_and(|bytes| (LEAST..1700).contains(&bytes)), "{whole:?}");
}

#[test]
fn on_a_line_that_is_not_known_one_question_is_due_at_a_time() {
    let mut wire = Wire::new(100e6);
    wire.send(60_000, false);
    assert!(!wire.line.asks_about(60_000, wire.now));
    assert!(wire.line.preview_at(wire.now).is_some_and(|at| at > wire.now));
    wire.pass(60);
    assert!(wire.line.asks_about(60_000, wire.now) && !wire.line.asks_about(SMALL - 1, wire.now));
    // A large one behind a small one.
    wire.send(SMALL, false);
    assert!(wire.line.asks_about(60_000, wire.now) && !wire.line.asks_about(LARGE - 1, wire.now));
    // On this machine small ones say nothing.
    let mut near = Line::new(false);
    near.sent(Sent { bytes: 4, asks: true, behind: false }, wire.now);
    near.answered(wire.now);
    assert!(near.asks_about(LARGE, wire.now) && !near.asks_about(LARGE - 1, wire.now));
    assert_eq!(wire.line.preview_at(wire.now), Some(wire.now));
}

#[test]
fn without_answers_the_time_that_writing_takes_counts() {
    let (mut line, now) = (Line::new(true), Instant::now());
    line.written(50_000, Duration::from_millis(1), now);
    assert_eq!((line.budget(false), line.preview_at(now)), (None, Some(now)));
    line.written(50_000, Duration::from_millis(400), now);
    assert_eq!((line.budget(true), line.piece()), (Some(LEAST), None), "without answers nothing is divided");
    assert_eq!(line.preview_at(now), Some(now + Duration::from_millis(4800)));
}
