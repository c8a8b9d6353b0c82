//! Streamed pieces take turns in a few slots of device memory.
//!
//! A slot is given to the next piece as soon as the computation that used it is asked for; the copy waits for that
//! computation, and a computation for the copy of its piece. So copies run ahead by all slots but the one in use, past
//! the end of a step into the next where pieces go around.

/// A piece is to be copied into a slot, after what has been asked of the card so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bring {
    /// Which piece, in the order of use.
    pub piece: usize,
    /// Into which slot.
    pub slot: usize,
}

/// Which piece is in which slot, or on its way there.
#[derive(Debug, Clone)]
pub struct Turns {
    pieces: usize,
    around: bool,
    held: Vec<Option<usize>>,
    next: Option<usize>,
}

impl Turns {
    /// `pieces` pieces are used one after another; with `around`, the first follows the last.
    ///
    /// # Panics
    /// When there is no slot.
    #[must_use]
    pub fn new(pieces: usize, slots: usize, around: bool) -> Self {
        assert!(slots > 0, "pieces take turns in at least one slot");
        Self { pieces, around, held: vec![None; slots], next: None }
    }

    /// The slot of a piece that is to be used now, and what must be brought first: nothing when it was expected.
    /// Otherwise, at the very begin or after a step was broken off, all slots begin anew from this piece on.
    ///
    /// # Panics
    /// When there is no such piece.
    pub fn begin(&mut self, piece: usize) -> (usize, Vec<Bring>) {
        assert!(piece < self.pieces, "piece {piece} of {}", self.pieces);
        if let Some(slot) = self.slot(piece) {
            return (slot, Vec::new());
        }
        self.forget();
        self.next = Some(piece);
        let bring = (0..self.held.len()).filter_map(|slot| self.bring(slot)).collect();
        (0, bring)
    }

    /// The use of a piece has been asked for: what its slot is for next.
    pub fn end(&mut self, piece: usize) -> Option<Bring> {
        self.bring(self.slot(piece)?)
    }

    /// Nothing that is in the slots can be relied on.
    pub fn forget(&mut self) {
        self.held.fill(None);
        self.next = None;
    }

    fn slot(&self, piece: usize) -> Option<usize> {
        self.held.iter().position(|held| *held == Some(piece))
    }

    /// Gives the slot to the next piece, unless there is none or it is in a slot already.
    fn bring(&mut self, slot: usize) -> Option<Bring> {
        let piece = self.next.filter(|&next| self.slot(next).is_none())?;
        self.held[slot] = Some(piece);
        let following = piece + 1;
        self.next = if following < self.pieces { Some(following) } else { self.around.then_some(0) };
        Some(Bring { piece, slot })
    }
}

/// What one step does, for [`simulate`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Use {
    /// Seconds that it computes.
    pub compute: f64,
    /// Seconds that its copy takes, where it is streamed.
    pub copy: Option<f64>,
}

/// When something was done, in simulated seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The step.
    pub step: usize,
    /// The streamed piece.
    pub piece: usize,
    /// Its slot.
    pub slot: usize,
    /// Whether it was a copy; else it was computed with.
    pub copied: bool,
    /// The begin.
    pub from: f64,
    /// The end.
    pub to: f64,
}

/// Runs `steps` steps through [`Turns`] as the engine does: computations in one queue, copies in another. Tells `each`
/// what touches a slot; gives the end of each step.
pub fn simulate(uses: &[Use], slots: usize, steps: usize, mut each: impl FnMut(Span)) -> Vec<f64> {
    let copies: Vec<f64> = uses.iter().filter_map(|one| one.copy).collect();
    let mut turns = Turns::new(copies.len(), slots, true);
    let mut arrived = vec![0.0f64; slots];
    let (mut now, mut copied_until) = (0.0f64, 0.0f64);
    let mut ends = Vec::with_capacity(steps);
    for step in 0..steps {
        let mut piece = 0;
        for one in uses {
            if one.copy.is_none() {
                now += one.compute;
                continue;
            }
            let mut bring = |now: f64, Bring { piece, slot }: Bring, arrived: &mut [f64]| {
                let from = copied_until.max(now);
                copied_until = from + copies[piece];
                arrived[slot] = copied_until;
                each(Span { step, piece, slot, copied: true, from, to: copied_until });
            };
            let (slot, first) = turns.begin(piece);
            first.into_iter().for_each(|one| bring(now, one, &mut arrived));
            let from = now.max(arrived[slot]);
            now = from + one.compute;
            if let Some(next) = turns.end(piece) {
                bring(now, next, &mut arrived);
            }
            each(Span { step, piece, slot, copied: false, from, to: now });
            piece += 1;
        }
        ends.push(now);
    }
    ends
}

/// Seconds of a step once the copies of the first are behind.
#[must_use]
pub fn steady(uses: &[Use], slots: usize) -> f64 {
    const BEFORE: usize = 2;
    const COUNTED: usize = 4;
    let ends = simulate(uses, slots, BEFORE + COUNTED, |_| ());
    (ends[BEFORE + COUNTED - 1] - ends[BEFORE - 1]) / COUNTED as f64
}
