//! Where in a row of the tables each modulation lies.

use crate::engine::dit::config::Config;

/// Where in a row of the table each block's modulations are.
///
/// A kernel that joins a branch and then norms for the next block uses the branch's gate and the next block's shift and
/// scale, with one distance between the two streams' modulations for both. In double blocks that is the image's behind
/// the text's; so the first single block, whose kernel also joins the last double block's MLP, has its modulation
/// twice, at the same distance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    pub hidden: usize,
    pub double: usize,
    pub single: usize,
}

impl Columns {
    pub fn of(config: &Config) -> Self {
        Self { hidden: config.hidden, double: config.double_blocks, single: config.single_blocks }
    }

    /// From the text's modulation to the image's.
    pub fn second(&self) -> usize {
        6 * self.hidden
    }

    pub fn double(&self, block: usize) -> usize {
        12 * self.hidden * block
    }

    pub fn single(&self, block: usize) -> usize {
        // The first has its own 3, a gap of 3, and its own again.
        let first = 12 * self.hidden * self.double;
        if block == 0 { first } else { first + (9 + 3 * (block - 1)) * self.hidden }
    }

    pub fn last(&self) -> usize {
        self.single(self.single.max(1))
    }

    pub fn width(&self) -> usize {
        self.last() + 2 * self.hidden
    }

    /// Name, chunks of `hidden` and columns of every layer.
    pub fn layers(&self) -> Vec<(String, usize, Vec<usize>)> {
        let mut layers = Vec::new();
        for index in 0..self.double {
            let (at, name) = (self.double(index), format!("double_blocks.{index}"));
            layers.push((format!("{name}.txt_mod.lin"), 6, vec![at]));
            layers.push((format!("{name}.img_mod.lin"), 6, vec![at + self.second()]));
        }
        for index in 0..self.single {
            let at = self.single(index);
            let columns = if index == 0 { vec![at, at + self.second()] } else { vec![at] };
            layers.push((format!("single_blocks.{index}.modulation.lin"), 3, columns));
        }
        layers.push(("final_layer.adaLN_modulation.1".to_owned(), 2, vec![self.last()]));
        layers
    }
}
