//! How much of a card a LoRA's file will take beside a model, by its header alone: as much as the file for what stays as
//! it is there; more for LoHa, which becomes a pair of larger rank, and for whatever becomes a whole matrix
//! (`cuda::flux::side` says which). Of whole matrices two bytes a value count, which is twice what fp8 takes.

use std::collections::BTreeMap;
use std::path::Path;

use super::LoraError;
use super::names::{self, Of, Role, Target};
use super::read::open;
use crate::engine::weights::Weights;

/// Bytes of a value.
const WIDE: u64 = 2;
/// What LoKr's second factor has to be a multiple of, and the rank of what changes the same rows becomes.
const SIDES: usize = 8;
/// … and that of a whole layer.
const GRAIN: u64 = 16;

/// Bytes of a card's memory that the LoRA in this file takes at most: the file's own, or what is foreseen where that is
/// more. A file that cannot be read counts as its size: whoever reads it says what is wrong.
#[must_use]
pub fn footprint(path: &Path) -> u64 {
    let file = std::fs::metadata(path).map_or(0, |file| file.len());
    foreseen(path).map_or(file, |bytes| bytes.max(file))
}

fn foreseen(path: &Path) -> Result<u64, LoraError> {
    let weights = open(path)?;
    let mut groups: BTreeMap<&str, (Target, BTreeMap<Role, &str>)> = BTreeMap::new();
    for name in weights.names() {
        let known = names::split(name).and_then(|(stem, role)| Some((stem, role, names::target(stem)?)));
        if let Some((stem, role, target)) = known.filter(|(.., target)| target.of == Of::Transformer) {
            groups.entry(stem).or_insert_with(|| (target, BTreeMap::new())).1.insert(role, name);
        }
    }
    let mut layers: BTreeMap<String, Layer> = BTreeMap::new();
    for (target, tensors) in groups.into_values() {
        let layer = layers.entry(target.layer.clone()).or_default();
        Group { weights: &weights, target: &target, tensors }.add_to(layer);
    }
    Ok(layers.values().map(Layer::bytes).sum())
}

/// Values for one layer.
#[derive(Default)]
struct Layer {
    /// Of all B.
    ups: u64,
    /// Rows of A, and how many values each has.
    ranks: u64,
    inner: u64,
    /// Of what is of no low rank.
    others: u64,
    /// Of what takes the bias's place, and DoRA's factors of the rows.
    vectors: u64,
    /// As one matrix, where anything makes that necessary.
    whole: Option<u64>,
}

impl Layer {
    fn bytes(&self) -> u64 {
        let downs = self.ranks.next_multiple_of(GRAIN).saturating_mul(self.inner);
        let apart = self.ups.saturating_add(downs).saturating_add(self.others);
        WIDE.saturating_mul(self.whole.unwrap_or(apart).saturating_add(self.vectors))
    }
}

/// A file's tensors for some rows of a layer.
struct Group<'g> {
    weights: &'g Weights,
    target: &'g Target,
    tensors: BTreeMap<Role, &'g str>,
}

impl Group<'_> {
    fn add_to(&self, layer: &mut Layer) {
        let values = |(_, name): (&Role, &&str)| self.weights.shape(name).map_or(0, count);
        let (shape, ranks) = (self.shape(), self.ranks());
        let kron = self.has(Role::LokrW1) || self.has(Role::LokrW1A);
        let many = self.has(Role::HadaW1A) && ranks.is_none();
        let dense = self.has(Role::Diff) || many || self.is_by_column() || (kron && !self.kron_stays());
        match (shape, ranks) {
            (Some([rows, inner]), Some(ranks)) => {
                let ranks = ranks.next_multiple_of(SIDES);
                layer.ups += count(&[rows, ranks]);
                layer.ranks += ranks as u64;
                layer.inner = inner as u64;
            }
            _ => {
                let own = self.tensors.iter().map(values).sum::<u64>();
                layer.others += own.max(self.kron().unwrap_or_default());
            }
        }
        let out = shape.map_or(0, |shape| self.out(shape));
        for role in [Role::Bias, Role::UpBias, Role::Magnitude].into_iter().filter(|role| self.has(*role)) {
            // Factors are of four bytes, and the bias is beside them.
            layer.vectors += if role == Role::Magnitude { 3 * out } else { out };
        }
        if let Some([_, inner]) = shape.filter(|_| dense) {
            layer.whole = layer.whole.max(Some(out.saturating_mul(inner as u64)));
        }
    }

    /// Rows of the whole layer.
    fn out(&self, [rows, inner]: [usize; 2]) -> u64 {
        let rows = match self.target.parts {
            None => rows,
            // Query, key and value, and the MLP's four times as many.
            Some(_) if self.target.layer.ends_with("linear1") => rows.max(7 * inner),
            Some(_) => rows.max(3 * inner),
        };
        rows as u64
    }

    fn has(&self, role: Role) -> bool {
        self.tensors.contains_key(&role)
    }

    fn side(&self, role: Role, side: usize) -> Option<usize> {
        self.weights.shape(self.tensors.get(&role)?).ok()?.get(side).copied()
    }

    /// Rows and columns of ΔW.
    fn shape(&self) -> Option<[usize; 2]> {
        let of = |up: Role, down: Role| Some([self.side(up, 0)?, self.side(down, 1)?]);
        let [one, other] = [(0, Role::LokrW1A), (1, Role::LokrW1B)].map(|(side, part)| {
            let whole = self.side(Role::LokrW1, side).or_else(|| self.side(part, side))?;
            Some(whole * self.right(side)?)
        });
        of(Role::Up, Role::Down)
            .or_else(|| of(Role::HadaW1A, Role::HadaW1B))
            .or_else(|| of(Role::Diff, Role::Diff))
            .or_else(|| one.zip(other).map(|(rows, inner)| [rows, inner]))
    }

    /// A side of LoKr's second factor.
    fn right(&self, side: usize) -> Option<usize> {
        let part = [Role::LokrW2A, Role::LokrW2B][side];
        self.side(Role::LokrW2, side).or_else(|| self.side(part, side))
    }

    /// Values of a LoKr's factors, the first whole, the second as it is in the file.
    fn kron(&self) -> Option<u64> {
        let left = |side, part| self.side(Role::LokrW1, side).or_else(|| self.side(part, side));
        let left = [left(0, Role::LokrW1A)?.next_multiple_of(SIDES), left(1, Role::LokrW1B)?];
        let right = [self.right(0)?, self.right(1)?];
        let ranks = self.side(Role::LokrW2B, 0).map_or(usize::MAX, |ranks| ranks.next_multiple_of(SIDES));
        Some(count(&left).saturating_add(count(&right).min(count(&[ranks, right[0] + right[1]]))))
    }

    /// Whether a LoKr stays its factors.
    fn kron_stays(&self) -> bool {
        let eights = |side| self.right(side).is_some_and(|side| side.is_multiple_of(SIDES));
        eights(0) && eights(1) && !self.has(Role::Magnitude)
    }

    /// The rank of what is a pair on a card: LoHa is one where that is smaller than the matrix.
    fn ranks(&self) -> Option<usize> {
        let Some(other) = self.side(Role::HadaW2B, 0) else { return self.side(Role::Down, 0) };
        let ranks = self.side(Role::HadaW1B, 0)?.saturating_mul(other);
        let [rows, inner] = self.shape()?;
        (count(&[ranks, rows + inner]) < count(&[rows, inner])).then_some(ranks)
    }

    /// Whether it is a DoRA by columns.
    fn is_by_column(&self) -> bool {
        let shape = self.tensors.get(&Role::Magnitude).and_then(|name| self.weights.shape(name).ok());
        matches!((shape, self.shape()), (Some([1, columns, ..]), Some([rows, inner])) if *columns == inner && rows != 1)
    }
}

fn count(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |all, side| all.saturating_mul(*side as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/lora/fixtures/{name}.safetensors"))
    }

    #[test]
    fn files_count_as_their_size_but_for_what_grows_on_a_card() {
        let file = |name: &str| std::fs::metadata(fixture(name)).expect("it is there").len();
        let lokr = footprint(&fixture("lokr"));
        assert!((file("lokr")..file("lokr") * 21 / 20).contains(&lokr), "{lokr}, {}", file("lokr"));
        // Three layers of two products of rank 4.
        let pairs = [768 + 256, 1792 + 256, 256 + 1024].map(|sides| 16 * sides * 2);
        assert_eq!(footprint(&fixture("loha")), pairs.iter().sum::<u64>());
        // Of DoRA by columns some layers are whole.
        assert!(footprint(&fixture("dora")) > 2 * file("dora"));
        // Ranks are multiples of 16.
        assert!((file("comfy")..5 * file("comfy")).contains(&footprint(&fixture("comfy"))));
        assert_eq!(footprint(Path::new("/nowhere")), 0);
    }
}
