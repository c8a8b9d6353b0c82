//! What a side branch promises: it is the merge, it can be left out and taken away without a trace, and the order of
//! several does not matter.

use flux_tui::engine::dit::layers::Layers;
use flux_tui::engine::dit::linear::Linear;
use flux_tui::engine::lora::{Side, read};
use flux_tui::engine::sample::noise::randn;

use candle_core::{Device, Tensor};

use crate::forms::names;
use crate::model::{Nano, Numbers, STRENGTH, bits, difference, fixture, flat, lora, shapes, transformer};

#[test]
fn strength_zero_is_none_and_what_is_taken_away_leaves_nothing_bit_for_bit() {
    let (mut nano, numbers) = (Nano::new(), Numbers::read());
    let own = bits(&nano.velocity(&numbers));
    for name in names().iter().map(String::as_str).chain(["text-kohya"]) {
        let with = |strength| [lora(&fixture(name), strength)];
        let zero = nano.velocity_with(&with(0.0), &numbers);
        assert!(bits(&zero) == own, "{name} at strength 0");
        let first = nano.velocity_with(&with(1.0), &numbers);
        assert!(name == "text-kohya" || bits(&first) != own, "{name} changes nothing");
        let taken = nano.velocity_with(&[], &numbers);
        assert!(bits(&taken) == own, "{name} taken away");
        let again = nano.velocity_with(&with(1.0), &numbers);
        assert!(bits(&again) == bits(&first), "{name} once more");
    }
}

#[test]
fn the_order_of_several_does_not_matter_and_their_changes_are_summed() {
    let (mut nano, numbers) = (Nano::new(), Numbers::read());
    for (one, other) in [("kohya", "peft"), ("dora", "lokr"), ("full", "loha"), ("peft-dora", "dora")] {
        let [one, other] = [one, other].map(|name| lora(&fixture(name), STRENGTH));
        let both = nano.velocity_with(&[one.clone(), other.clone()], &numbers);
        let turned = nano.velocity_with(&[other.clone(), one.clone()], &numbers);
        let apart = difference(&both, &turned);
        assert!(apart < 1e-5, "{} and {}: {apart:.1e}", one.name, other.name);
        let alone = nano.velocity_with(&[one], &numbers);
        assert!(difference(&both, &alone) > 0.02, "{} is not there", other.name);
    }
    let half = lora(&fixture("kohya"), STRENGTH / 2.0);
    let twice = nano.velocity_with(&[half.clone(), half], &numbers);
    let apart = difference(&twice, &numbers.values("kohya"));
    assert!(apart < 1e-4, "two halves are not one: {apart:.1e}");
}

/// A layer's own weight and bias, `[out, in]` and `[out]`.
fn own(name: &str, [out, inner]: [usize; 2]) -> (Vec<f32>, Vec<f32>) {
    let weights = transformer();
    let read =
        |kind: &str, shape: &[usize]| weights.widened(&format!("{name}.{kind}"), shape).expect("it is there");
    (read("weight", &[out, inner]), read("bias", &[out]))
}

/// Keeps the layer of one name.
struct Find<'f> {
    name: &'f str,
    found: Option<Linear>,
}

impl Layers for Find<'_> {
    fn linear(&mut self, name: &str, layer: &mut Linear) {
        if name == self.name {
            self.found = Some(layer.clone());
        }
    }
}

#[test]
fn every_branch_is_the_merge_within_a_hundred_thousandth() {
    let (mut nano, shapes) = (Nano::new(), shapes());
    let mut compared = 0;
    for file in names() {
        let read = read(&fixture(&file), &shapes).unwrap_or_else(|error| panic!("{file}: {error}"));
        for (name, layer) in &read.transformer {
            let shape @ [out, inner] = shapes.transformer[name];
            let (weight, mut bias) = own(name, shape);
            let rows = |first: usize, into: &mut [f32]| {
                into.copy_from_slice(&weight[first * inner..][..into.len()]);
            };
            let mut merged = weight.clone();
            layer.branches.iter().for_each(|branch| branch.merge(STRENGTH, &rows, &mut merged));
            for added in &layer.biases {
                let own = bias[added.first..].iter_mut();
                own.zip(&added.values).for_each(|(own, value)| *own += STRENGTH * value);
            }
            let x = randn(5, 70 * inner);
            let expected: Vec<f32> = (0..70 * out)
                .map(|at| {
                    let (row, column) = (at / out, at % out);
                    let (x, w) = (&x[row * inner..][..inner], &merged[column * inner..][..inner]);
                    let sum: f64 = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                    (sum + f64::from(bias[column])) as f32
                })
                .collect();
            let mut find = Find { name, found: None };
            nano.flux.layers(&mut find);
            let mut linear = find.found.unwrap_or_else(|| panic!("{name} is shown by nobody"));
            linear.set_side(Side::new(shape, &[(layer, STRENGTH)], &rows).map(Into::into));
            let x = Tensor::from_vec(x, (70, inner), &Device::Cpu).expect("as many");
            let apart = difference(&flat(&linear.forward(&x).expect("it fits")), &expected);
            assert!(apart < 1e-5, "{file}, {name}: {apart:.1e}");
            compared += 1;
        }
    }
    assert!(compared > 60, "only {compared} layers were compared");
}
