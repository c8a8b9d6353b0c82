//! One evaluation of the transformer. Side by side with `src/flux/model.py` of black-forest-labs/flux: what differs is
//! where a block ends. A branch joins the residual stream in the kernel that norms for the next branch, so each block
//! leaves its last branch unjoined, with its gate, to the next.

use half::bf16;

use super::bring::Part;
use super::linear::{Input, Linear, Scratch};
use super::modulation::Row;
use super::side::Beside;
use super::workspace::Workspace;
use super::{Conditions, Flux, run};
use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::cuda::memory::{Buffer, Matrix};
use crate::engine::cuda::ops::{Branch, Out};

/// Who may end a step between two blocks.
pub trait Watch {
    /// Called before each block.
    ///
    /// # Errors
    /// Whatever should end the step.
    fn before_block(&mut self) -> Result<()>;

    /// Called while weights are waited for that are still on their way, with the share of them that is here.
    ///
    /// # Errors
    /// Whatever should end the step.
    fn arriving(&mut self, _share: f64) -> Result<()> {
        Ok(())
    }
}

/// Nobody.
impl Watch for () {
    fn before_block(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Flux {
    /// Evaluates the velocity of the workspace's input at `step` of the schedule; it is in [`Workspace::velocity`] when
    /// the stream gets there.
    ///
    /// # Errors
    /// When the workspace is for another size, when `watch` ends the step, or when weights do not arrive.
    pub fn evaluate(
        &self,
        workspace: &Workspace,
        conditions: &Conditions,
        step: usize,
        watch: &mut dyn Watch,
    ) -> Result<()> {
        if !workspace.fits(conditions.text, conditions.image) {
            let (text, image) = (conditions.text, conditions.image);
            return Err(CudaError::Shape(format!(
                "the workspace is not laid out for {text} + {image} tokens"
            )));
        }
        self.pin_from_the_second_step_on();
        let pass = Pass { flux: self, at: workspace, conditions, step };
        pass.begin()?;
        let doubles = self.config.double_blocks;
        for index in 0..doubles {
            watch.before_block()?;
            self.arrive(Part::Block(index), watch)?;
            self.store.with(index, |memory| pass.double_block(index, memory))?;
        }
        for index in 0..self.config.single_blocks {
            watch.before_block()?;
            self.arrive(Part::Block(doubles + index), watch)?;
            self.store.with(doubles + index, |memory| pass.single_block(index, memory))?;
        }
        pass.end()
    }
}

/// One evaluation under way.
struct Pass<'a> {
    flux: &'a Flux,
    at: &'a Workspace,
    conditions: &'a Conditions,
    step: usize,
}

impl<'a> Pass<'a> {
    fn scratch(&self) -> Scratch<'a> {
        Scratch(&self.flux.scratch)
    }

    /// A layer, with what LoRAs add beside it.
    fn run(
        &self,
        beside: Option<Beside<'_>>,
        layer: &Linear,
        memory: &Buffer,
        x: Input<'_>,
        out: Matrix<'_, bf16>,
    ) -> Result<()> {
        run(&self.flux.gpu, beside, (layer, memory), x, out, &self.scratch())
    }

    fn end_side(&self, layer: usize) -> Option<Beside<'a>> {
        self.flux.sides.as_ref().and_then(|sides| sides.end(layer))
    }

    /// A block's norms where LoRAs have changed them.
    fn norms(&self, block: usize) -> Option<Matrix<'a, bf16>> {
        let halves = if block < self.flux.config.double_blocks { 4 } else { 2 };
        let width = halves * self.flux.config.head_dim();
        self.flux.sides.as_ref().and_then(|sides| sides.norms(block, width))
    }

    /// The rows that mean something.
    fn tokens(&self, matrix: Matrix<'a, bf16>) -> Matrix<'a, bf16> {
        matrix.slice_rows(0, self.at.tokens())
    }

    /// Embeds both streams, and norms for the first block.
    fn begin(&self) -> Result<()> {
        let (flux, text) = (self.flux, self.at.text());
        flux.gpu.copy(self.at.x().slice_rows(0, text), self.conditions.txt())?;
        let input = self.at.input();
        let image = self.at.x().slice_rows(text, input.rows());
        self.run(self.end_side(0), &flux.ends.img_in, &flux.ends.memory, Input::Bf16(input), image)?;
        self.norm(None, self.conditions.tables.double(self.step, 0, 0), text)
    }

    /// Joins what the last branch left, then norms into the narrow input. Rows from `split` on are the second stream's.
    fn norm(&self, joining: Option<Matrix<'a, bf16>>, next: Row<'a>, split: usize) -> Result<()> {
        let branch = joining.map(|gate| Branch { gate, y: self.tokens(self.at.branch()) });
        let modulation = self.conditions.tables.modulation(next, split);
        self.flux.gpu.norm_modulate(self.tokens(self.at.x()), branch, modulation, self.at.narrow_out())
    }

    fn double_block(&self, index: usize, memory: &Buffer) -> Result<()> {
        let (flux, at, step) = (self.flux, self.at, self.step);
        let (gpu, tables) = (&flux.gpu, &self.conditions.tables);
        let (hidden, mlp, split) = (flux.config.hidden, flux.config.mlp, at.text());
        let streams = || at.streams().into_iter().zip(&flux.double[index].streams);
        let side = |which: usize, layer: usize| {
            flux.sides.as_ref().and_then(|sides| sides.double(index, (which, layer)))
        };

        let qkv = at.fused(3 * hidden);
        for (which, ((first, count), stream)) in streams().enumerate() {
            let out = qkv.slice_rows(first, count);
            self.run(side(which, 0), &stream.qkv, memory, at.narrow_in(first, count), out)?;
        }
        let norms = flux.double[index].norms(memory);
        self.rotate(qkv, self.norms(index).unwrap_or(norms), split)?;
        let attended = self.tokens(at.attended());
        flux.attention.run(gpu, self.tokens(qkv), attended)?;
        if let Out::Fp8(out, scales) = at.narrow_out() {
            gpu.quantize_rows(attended, out, scales)?;
        }
        for (which, ((first, count), stream)) in streams().enumerate() {
            let x = match at.narrow_in(first, count) {
                Input::Bf16(_) => Input::Bf16(at.attended().slice_rows(first, count)),
                quantised @ Input::Fp8(..) => quantised,
            };
            let out = at.branch().slice_rows(first, count);
            self.run(side(which, 1), &stream.proj, memory, x, out)?;
        }
        self.norm(Some(tables.double(step, index, 0).gate), tables.double(step, index, 1), split)?;

        let inner = at.fused(mlp);
        for (which, ((first, count), stream)) in streams().enumerate() {
            let out = inner.slice_rows(first, count);
            self.run(side(which, 2), &stream.mlp_in, memory, at.narrow_in(first, count), out)?;
        }
        gpu.gelu(None, self.tokens(inner), at.wide_out(mlp))?;
        for (which, ((first, count), stream)) in streams().enumerate() {
            let out = at.branch().slice_rows(first, count);
            self.run(side(which, 3), &stream.mlp_out, memory, at.wide_in(mlp, first, count), out)?;
        }
        let next = if index + 1 < flux.config.double_blocks {
            tables.double(step, index + 1, 0)
        } else {
            tables.single(step, 0)
        };
        self.norm(Some(tables.double(step, index, 1).gate), next, split)
    }

    fn single_block(&self, index: usize, memory: &Buffer) -> Result<()> {
        let (flux, at, step) = (self.flux, self.at, self.step);
        let (gpu, tables) = (&flux.gpu, &self.conditions.tables);
        let (hidden, mlp, rows, tokens) = (flux.config.hidden, flux.config.mlp, at.together(), at.tokens());

        let both = at.fused(3 * hidden + mlp);
        let (x, out) = (at.narrow_in(0, rows), both.slice_rows(0, rows));
        let side = |layer: usize| flux.sides.as_ref().and_then(|sides| sides.single(index, layer));
        self.run(side(0), &flux.single[index].linear1, memory, x, out)?;
        let norms = flux.single[index].norms(memory);
        self.rotate(both, self.norms(flux.config.double_blocks + index).unwrap_or(norms), tokens)?;
        let (qkv, inner) = (
            self.tokens(both).slice_columns(0, 3 * hidden),
            self.tokens(both).slice_columns(3 * hidden, mlp),
        );
        match at.wide_out(hidden + mlp) {
            Out::Bf16(wide) => {
                flux.attention.run(gpu, qkv, wide.slice_columns(0, hidden))?;
                gpu.gelu(None, inner, Out::Bf16(wide.slice_columns(hidden, mlp)))?;
            }
            quantised @ Out::Fp8(..) => {
                let attended = self.tokens(at.attended());
                flux.attention.run(gpu, qkv, attended)?;
                gpu.gelu(Some(attended), inner, quantised)?;
            }
        }
        let (x, out) = (at.wide_in(hidden + mlp, 0, rows), at.branch().slice_rows(0, rows));
        self.run(side(1), &flux.single[index].linear2, memory, x, out)?;
        if index + 1 < flux.config.single_blocks {
            self.norm(Some(tables.single(step, index).gate), tables.single(step, index + 1), tokens)?;
        }
        Ok(())
    }

    /// Joins the last branch on the image's rows alone, norms, and projects to the velocity.
    fn end(&self) -> Result<()> {
        let (flux, at, tables) = (self.flux, self.at, &self.conditions.tables);
        let (text, image) = (at.text(), self.conditions.image);
        let gate = tables.single(self.step, flux.config.single_blocks - 1).gate;
        let branch = Branch { gate, y: at.branch().slice_rows(text, image) };
        let velocity = at.velocity(flux.config.out_channels);
        // What attention gave is used up.
        let normed = at.attended().slice_rows(0, velocity.rows());
        let modulation = tables.modulation(tables.last(self.step), image);
        let out = Out::Bf16(normed.slice_rows(0, image));
        flux.gpu.norm_modulate(at.x().slice_rows(text, image), Some(branch), modulation, out)?;
        self.run(self.end_side(2), &flux.ends.last, &flux.ends.memory, Input::Bf16(normed), velocity)
    }

    fn rotate(&self, qkv: Matrix<'a, bf16>, norms: Matrix<'_, bf16>, split: usize) -> Result<()> {
        let shape = (self.flux.config.heads, self.flux.config.head_dim());
        self.flux.gpu.qk_norm_rope(self.tokens(qkv), norms, split, self.conditions.rotations(), shape)
    }
}
