//! What of a model can be changed beside its weights, shown one by one under the names that it has in the files.

use super::linear::Linear;
use super::norms::Norms;

/// Whoever goes through a model's layers.
pub trait Layers {
    /// A linear layer, under its name without `.weight`.
    fn linear(&mut self, name: &str, layer: &mut Linear);
    /// The norms of query and key of a block, under the begin of their names.
    fn norms(&mut self, _name: &str, _norms: &mut Norms) {}
}
