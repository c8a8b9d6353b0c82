//! What is told of lines and terminals whose times come from a generator of chance with a fixed seed.

use super::*;

/// Uniform numbers of 0 to 1 (xorshift).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A line of so many bytes a second, to a terminal that answers up to so much later by chance.
struct World {
    carries: f64,
    late: Duration,
    chance: Chance,
}

impl World {
    fn new(carries: f64, late: u64, seed: u64) -> Self {
        Self { carries, late: Duration::from_millis(late), chance: Chance(seed * 2 + 0x9E37_79B9) }
    }

    fn took(&mut self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.carries) + self.late.mul_f64(self.chance.next())
    }

    /// Frames and previews as they come while nothing is known, or short and long pieces of a slow line in turns; how many of
    /// them were sent while the line was taken for a slow one.
    fn drawn(&mut self, rate: &mut Rate, count: usize) -> usize {
        let mut slow = 0;
        for turn in 0..count {
            let bytes = match rate.pieces() {
                Some(pieces) => pieces[turn % 2],
                None if turn % 3 == 0 => 2000 + (6000.0 * self.chance.next()) as usize,
                None => 32 + (800.0 * self.chance.next()) as usize,
            };
            slow += usize::from(rate.slow().is_some());
            rate.learn(bytes, self.took(bytes));
        }
        slow
    }
}

/// Whatever the order of chance.
const SEEDS: std::ops::Range<u64> = 1..40;

#[test]
fn a_slow_line_is_known_after_some_answers_and_stays_known() {
    for seed in SEEDS {
        let (mut rate, mut world) = (Rate::new(true), World::new(125e3, 3, seed));
        world.drawn(&mut rate, 16);
        assert!(rate.slow().is_some(), "seed {seed}: {rate:?}");
        assert_eq!(world.drawn(&mut rate, 400), 400, "seed {seed}");
        let known = rate.slow().expect("it stays");
        assert!((80e3..200e3).contains(&known), "seed {seed}: {known}");
    }
}

#[test]
fn a_terminal_that_is_slow_to_draw_is_not_taken_for_a_slow_line_for_long() {
    for (far, late) in [(true, 16), (true, 40), (false, 40), (false, 90)] {
        let mut slow = 0;
        for seed in SEEDS {
            let (mut rate, mut world) = (Rate::new(far), World::new(50e6, late, seed));
            slow += world.drawn(&mut rate, 400);
        }
        let share = slow as f64 / (400 * SEEDS.count()) as f64;
        let most = if far { 0.03 } else { 0.0 };
        assert!(share <= most, "{late} ms: {share} of all");
    }
}

#[test]
fn a_slow_line_to_a_terminal_that_is_slow_to_draw_is_a_slow_line() {
    let mut slow = 0;
    for seed in SEEDS {
        let (mut rate, mut world) = (Rate::new(true), World::new(125e3, 16, seed));
        world.drawn(&mut rate, 24);
        slow += world.drawn(&mut rate, 400);
    }
    let share = slow as f64 / (400 * SEEDS.count()) as f64;
    assert!(share > 0.9, "{share}");
}

#[test]
fn late_answers_do_not_make_pieces_smaller_and_smaller() {
    for (carries, late) in [(125e3, 40), (125e3, 100), (50e6, 100)] {
        let mut known = Vec::new();
        for seed in SEEDS {
            let (mut rate, mut world) = (Rate::new(true), World::new(carries, late, seed));
            world.drawn(&mut rate, 200);
            known.push(rate.slow().unwrap_or(FAST));
        }
        known.sort_by(f64::total_cmp);
        let middle = known[known.len() / 2];
        assert!(middle >= 100e3, "{carries} with {late} ms: {middle}");
    }
}

#[test]
fn a_line_that_becomes_another_is_known_again() {
    for seed in SEEDS {
        let mut rate = Rate::new(true);
        World::new(125e3, 3, seed).drawn(&mut rate, 60);
        assert!(rate.slow().is_some());
        World::new(50e6, 3, seed).drawn(&mut rate, 120);
        assert_eq!(rate.slow(), None, "seed {seed}: faster");
        World::new(60e3, 3, seed).drawn(&mut rate, 60);
        let known = rate.slow().expect("slower");
        assert!((30e3..120e3).contains(&known), "seed {seed}: {known}");
    }
}

#[test]
fn one_large_picture_on_a_line_of_10_mbit_is_enough() {
    let mut rate = Rate::new(true);
    rate.learn(400_000, Duration::from_millis(320));
    assert_eq!(rate.slow(), Some(1_250_000.0));
    // On this machine it may be the terminal.
    let mut near = Rate::new(false);
    near.learn(400_000, Duration::from_millis(320));
    assert_eq!(near.slow(), None);
}
