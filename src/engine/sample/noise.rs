//! The noise that torch's CPU generator gives for a seed, so that a seed found elsewhere draws the
//! same picture here.
//!
//! The generator is MT19937 (Matsumoto and Nishimura 1998), seeded with the low 32 bits of the
//! seed. `randn` in fp32 has two algorithms: under 16 elements, pairs from 53-bit uniforms; from 16
//! up, 24-bit uniforms and Box-Muller over groups of 16. torch's vector mathematics differ from the
//! exact functions in the last place, so values agree within 3e-7, not bit for bit.

const STATE: usize = 624;
const PERIOD: usize = 397;

/// MT19937.
#[derive(Debug, Clone)]
pub struct Mt19937 {
    state: [u32; STATE],
    next: usize,
}

impl Mt19937 {
    /// Seeded as torch does it: with the low 32 bits.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut state = [0u32; STATE];
        state[0] = seed as u32;
        for i in 1..STATE {
            let previous = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(previous ^ (previous >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: STATE }
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.next == STATE {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// 64 bits: the first draw is the high word.
    fn next_u64(&mut self) -> u64 {
        let high = u64::from(self.next_u32());
        (high << 32) | u64::from(self.next_u32())
    }

    fn twist(&mut self) {
        for i in 0..STATE {
            let mixed = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % STATE] & 0x7fff_ffff);
            let odd = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + PERIOD) % STATE] ^ (mixed >> 1) ^ odd;
        }
        self.next = 0;
    }

    /// Uniform in [0, 1) with 24 bits.
    fn uniform(&mut self) -> f32 {
        (self.next_u32() & 0x00ff_ffff) as f32 / (1 << 24) as f32
    }

    /// Uniform in [0, 1) with 53 bits.
    fn uniform_wide(&mut self) -> f64 {
        (self.next_u64() & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
    }
}

/// `torch.randn(count, generator=torch.Generator().manual_seed(seed))` in fp32.
#[must_use]
pub fn randn(seed: u64, count: usize) -> Vec<f32> {
    let mut generator = Mt19937::new(seed);
    if count < GROUP { few(&mut generator, count) } else { many(&mut generator, count) }
}

const GROUP: usize = 16;

/// Under 16 elements: one pair of 53-bit uniforms gives two normals.
fn few(generator: &mut Mt19937, count: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(count + 1);
    while out.len() < count {
        let (u1, u2) = (generator.uniform_wide(), generator.uniform_wide());
        let radius = (-2.0 * (-u2).ln_1p()).sqrt();
        let angle = 2.0 * std::f64::consts::PI * u1;
        out.push((radius * angle.cos()) as f32);
        out.push((radius * angle.sin()) as f32);
    }
    out.truncate(count);
    out
}

/// From 16 elements up: whole groups in place; an incomplete last group is drawn again over the last
/// 16 elements.
fn many(generator: &mut Mt19937, count: usize) -> Vec<f32> {
    let mut out: Vec<f32> = (0..count).map(|_| generator.uniform()).collect();
    out.chunks_exact_mut(GROUP).for_each(box_muller);
    if !count.is_multiple_of(GROUP) {
        let last = &mut out[count - GROUP..];
        last.fill_with(|| generator.uniform());
        box_muller(last);
    }
    out
}

/// Eight radii from the first half, eight angles from the second; cosines first, then sines. Single
/// precision where torch rounds to it.
fn box_muller(group: &mut [f32]) {
    let (first, second) = group.split_at_mut(GROUP / 2);
    for (a, b) in first.iter_mut().zip(second) {
        let log = f64::from(1.0 - *a).ln() as f32;
        let radius = (-2.0 * log).sqrt();
        let angle = f64::from(2.0 * std::f32::consts::PI * *b);
        *a = radius * angle.cos() as f32;
        *b = radius * angle.sin() as f32;
    }
}
