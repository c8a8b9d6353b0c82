//! A picture decoded in strips of full width, for cards that have no room for it at once.
//!
//! The layers of low resolution, attention over all pixels among them, run once for the whole picture; they are small.
//! Behind them a strip is decoded with as many rows around it as its layers reach, so that at its edges nothing is
//! missing. What else ties pixels together is the group norms: their sums are taken over the whole picture, each strip
//! adding its own rows. A norm's sums are right once all before it are, so the strips are gone through several times,
//! each strip with the latest sums of all; only the last pass gives pixels.

use half::bf16;

use super::super::error::Result;
use super::super::memory::{Buffer, Matrix};
use super::ops::SUMS;
use super::stage::{Before, Run, Shared, Stage, head, tail};
use super::structure::Structure;
use super::{Decoder, Places, Plan, Widths, plan_for, take_latent};
use crate::engine::budget::Tile;
use crate::engine::weights::Weights;

/// How often all strips are gone through. As many passes as there are norms (19 in FLUX.1) give the bits of the whole
/// picture; 3 gave 31 dB for nano and 46 for FLUX.1's widths, 5 gave 43 and 53, 8 give 57 and 55.
pub const PASSES: usize = 8;
/// Rows of a norm's sums that a strip has.
pub const RUNS: usize = 256;
/// Levels that run for the whole picture.
pub const HEAD: usize = 1;

/// How a picture of so many rows of tokens is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Strips {
    /// Rows of the picture.
    whole: usize,
    /// Rows of a strip, those around it included.
    rows: usize,
    /// Rows around a strip on each side.
    around: usize,
}

impl Strips {
    fn own(self) -> usize {
        self.rows - 2 * self.around
    }

    fn count(self) -> usize {
        self.whole.div_ceil(self.own())
    }

    /// First row of what is decoded; first row, within that, and number of the strip's own.
    fn strip(self, index: usize) -> (usize, (usize, usize)) {
        let own = index * self.own();
        let first = own.saturating_sub(self.around).min(self.whole - self.rows);
        (first, (own - first, self.own().min(self.whole - own)))
    }
}

/// Rows of tokens that the layers behind the head reach to either side.
fn around(structure: &Structure) -> usize {
    // In pixels of the picture, of which a token has 2 · magnification.
    let side = 2 * structure.magnification();
    let (mut scale, mut pixels) = (side, 0);
    for (index, level) in structure.levels.iter().enumerate() {
        // A pixel of this level is so many of the picture's.
        let each = scale / 2;
        if index >= HEAD {
            pixels += 2 * level.blocks.len() * each;
        }
        if level.upsample.is_some() {
            scale /= 2;
            if index >= HEAD {
                pixels += each / 2;
            }
        }
    }
    (pixels + 1).div_ceil(side)
}

/// Norms behind the head.
fn norms(structure: &Structure) -> usize {
    structure.levels.iter().skip(HEAD).map(|level| 2 * level.blocks.len()).sum::<usize>() + 1
}

/// Where the pictures of the head lie, and what it gives.
fn plan_head(structure: &Structure, grid: (usize, usize)) -> (Plan, usize) {
    let mut stage = Stage::new(structure, None);
    let latent = take_latent(&mut stage, grid.0, grid.1);
    let x = head(structure, &mut stage, latent).expect("without a card, nothing is launched");
    (stage.log().plan(0), x.pixels() * x.channels * size_of::<bf16>())
}

/// Where those of a strip lie.
fn plan_tail(structure: &Structure, rows: usize, columns: usize) -> (Plan, Places) {
    let places = Places::new(structure, rows, columns);
    let mut stage = Stage::new(structure, None);
    let (side, channels) = per_token(structure);
    let x = stage.take(side * rows, side * columns, channels);
    tail(structure, &mut stage, x, places.picture).expect("without a card, nothing is launched");
    (stage.log().plan(places.end), places)
}

/// Side of what the head gives for a token, in pixels, and its channels.
fn per_token(structure: &Structure) -> (usize, usize) {
    let levels = structure.levels.iter().take(HEAD);
    let doublings = levels.clone().filter(|level| level.upsample.is_some()).count();
    let channels =
        levels.filter_map(|level| level.blocks.last()).map(|block| block.norm2.channels).next_back();
    (2 << doublings, channels.unwrap_or(structure.conv_in.out))
}

fn sum_bytes(structure: &Structure, strips: Strips) -> usize {
    norms(structure) * strips.count() * RUNS * SUMS * size_of::<f32>()
}

fn tiles(structure: &Structure, grid: (usize, usize), passes: usize) -> Vec<Tile> {
    let around = around(structure);
    let (whole, columns) = grid;
    let bytes = plan_for(structure, whole, columns).bytes as u64;
    let mut tiles = vec![Tile { rows: whole, columns, bytes, work: 1.0 }];
    for own in [32, 16, 8, 4] {
        let strips = Strips { whole, rows: own + 2 * around, around };
        if strips.rows >= whole {
            continue;
        }
        let (of_head, given) = plan_head(structure, grid);
        let (of_tail, _) = plan_tail(structure, strips.rows, columns);
        let bytes = (given + of_head.bytes.max(of_tail.bytes + sum_bytes(structure, strips))) as u64;
        let decoded = strips.count() * strips.rows;
        let work = passes as f64 * decoded as f64 / whole as f64;
        if tiles.iter().all(|tile| bytes < tile.bytes) {
            tiles.push(Tile { rows: strips.rows, columns, bytes, work });
        }
    }
    tiles.push(Tile::ON_HOST);
    tiles
}

impl Decoder {
    /// The ways to decode a picture, the one of the largest tiles first: the whole, then strips, and last the host.
    #[must_use]
    pub fn tiles(&self, grid: (usize, usize)) -> Vec<Tile> {
        tiles(&self.structure, grid, self.passes)
    }

    /// Bytes of the weights and the ways to decode a picture, of a decoder that is not loaded.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn sizes_of(weights: &Weights, grid: (usize, usize)) -> Result<(u64, Vec<Tile>)> {
        Self::sizes(&Widths::read(weights)?, grid)
    }

    /// The same of these widths.
    ///
    /// # Errors
    /// When the kernels cannot have them.
    pub fn sizes(widths: &Widths, grid: (usize, usize)) -> Result<(u64, Vec<Tile>)> {
        let structure = Structure::new(widths)?;
        Ok((structure.bytes as u64, tiles(&structure, grid, PASSES)))
    }

    /// As [`Decoder::picture`], in strips that are decoded from `rows` rows each.
    pub(super) fn in_strips(
        &self,
        tokens: Matrix<'_, f32>,
        grid: (usize, usize),
        rows: usize,
        before: Before<'_>,
    ) -> Result<Option<Vec<u8>>> {
        let structure = &self.structure;
        let strips = Strips { whole: grid.0, rows, around: around(structure) };
        let (side, channels) = per_token(structure);
        let (height, width) = (side * grid.0, side * grid.1);
        let given = self.head(tokens, grid, (height, width, channels), before)?;
        let (plan, places) = plan_tail(structure, rows, grid.1);
        let memory = Buffer::new(&self.gpu, plan.bytes, "the VAE's pictures")?;
        let sums = Buffer::new(&self.gpu, sum_bytes(structure, strips), "the sums of the VAE's norms")?;
        // Runs that a strip does not fill count for nothing.
        sums.fill(0)?;
        let run = self.run(&memory, &plan, before);
        let pixel_row = 2 * structure.magnification() * 2 * structure.magnification() * grid.1;
        let mut rgb = Vec::with_capacity(3 * pixel_row * grid.0);
        for pass in 0..self.passes {
            for index in 0..strips.count() {
                let (first, own) = strips.strip(index);
                let mut stage = Stage::new(structure, Some(run));
                stage.share(Shared {
                    sums: sums.matrix(0, norms(structure) * strips.count() * RUNS, SUMS),
                    strips: strips.count(),
                    strip: index,
                    rows: (rows, own, grid.0),
                    alone: pass == 0,
                });
                let x = stage.take(side * rows, width, channels);
                let from = given.matrix::<bf16>(0, height * width, channels);
                self.gpu.copy(run.of(x), from.slice_rows(side * first * width, x.pixels()))?;
                tail(structure, &mut stage, x, places.picture)?;
                if pass + 1 == self.passes {
                    let (picture, bytes) = (
                        memory.matrix(places.picture, places.pixels, 3),
                        memory.matrix::<u8>(places.rgb, places.pixels, 3),
                    );
                    let not_finite = memory.matrix::<u32>(places.not_finite, 1, 1);
                    self.gpu.fill(memory.matrix::<f32>(places.not_finite, 1, 1), 0.0)?;
                    self.gpu.to_rgb8(picture, bytes, not_finite)?;
                    if self.gpu.download(not_finite)? != [0] {
                        return Ok(None);
                    }
                    let (skipped, kept) = (own.0 * pixel_row, own.1 * pixel_row);
                    rgb.extend(self.gpu.download(bytes.slice_rows(skipped, kept))?);
                }
            }
        }
        Ok(Some(rgb))
    }

    /// What the first levels give for the whole picture, in memory of its own.
    fn head(
        &self,
        tokens: Matrix<'_, f32>,
        grid: (usize, usize),
        (height, width, channels): (usize, usize, usize),
        before: Before<'_>,
    ) -> Result<Buffer> {
        let structure = &self.structure;
        let given = Buffer::of::<bf16>(&self.gpu, height * width, channels, "a picture of the VAE")?;
        let (plan, _) = plan_head(structure, grid);
        let memory = Buffer::new(&self.gpu, plan.bytes, "the VAE's first pictures")?;
        let run = self.run(&memory, &plan, before);
        let mut stage = Stage::new(structure, Some(run));
        let latent = take_latent(&mut stage, grid.0, grid.1);
        let size = (2 * grid.0, 2 * grid.1);
        self.gpu.latent_to_vae(tokens, grid, ((0, 0), size), self.factors(), run.of(latent))?;
        let x = head(structure, &mut stage, latent)?;
        self.gpu.copy(given.matrix(0, height * width, channels), run.of(x))?;
        Ok(given)
    }

    pub(super) fn run<'a>(&'a self, memory: &'a Buffer, plan: &'a Plan, before: Before<'a>) -> Run<'a> {
        Run { gpu: &self.gpu, weights: &self.weights, memory, plan, portable: self.portable, before }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Widths;
    use super::*;

    #[test]
    fn strips_share_out_every_row_once_and_have_their_surroundings() {
        for (whole, rows, around) in [(64, 22, 3), (16, 10, 3), (17, 10, 3), (9, 8, 3), (100, 38, 3)] {
            let strips = Strips { whole, rows, around };
            let mut next = 0;
            for index in 0..strips.count() {
                let (first, (skipped, own)) = strips.strip(index);
                assert_eq!(first + skipped, next, "{strips:?}, {index}");
                assert!(own > 0 && first + rows <= whole && skipped + own <= rows, "{strips:?}, {index}");
                assert!(skipped >= around || first == 0, "{strips:?}, {index}");
                assert!(rows - skipped - own >= around || first + rows == whole, "{strips:?}, {index}");
                next += own;
            }
            assert_eq!(next, whole);
        }
    }

    #[test]
    fn flux_reaches_three_tokens_and_strips_take_a_fraction() -> Result<()> {
        let structure = Structure::new(&Widths::flux())?;
        // 6 convolutions at a quarter of the size, 6 at half, 6 and the last at full size, and those behind the
        // doublings: 6 · 4 + 2 + 6 · 2 + 1 + 6 + 1 = 46 of 48 pixels.
        assert_eq!((around(&structure), norms(&structure), per_token(&structure)), (3, 19, (4, 512)));
        let strips = Strips { whole: 64, rows: 14, around: 3 };
        let (of_head, given) = plan_head(&structure, (64, 64));
        let (of_tail, _) = plan_tail(&structure, 14, 64);
        assert_eq!(given, 256 * 256 * 512 * 2);
        let all = given + of_head.bytes.max(of_tail.bytes + sum_bytes(&structure, strips));
        eprintln!("head {} MB, strip {} MB, all {} MB", of_head.bytes >> 20, of_tail.bytes >> 20, all >> 20);
        assert!(all < 340 << 20, "{all}");
        Ok(())
    }
}
