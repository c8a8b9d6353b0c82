//! T5's configuration, and how far apart tokens are told apart. Both engines read it.
//!
//! Reference: transformers `models/t5/configuration_t5.py` and `modeling_t5.py`, whose names are used here.

use serde::Deserialize;

use crate::engine::weights::WeightsError;

/// The fields of `T5Config` that a forward pass needs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// The residual stream.
    pub d_model: usize,
    /// A head.
    pub d_kv: usize,
    /// The MLP.
    pub d_ff: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Heads.
    pub num_heads: usize,
    /// Distances are told apart by so many numbers.
    #[serde(default = "buckets")]
    pub relative_attention_num_buckets: usize,
    /// From here on they are all one.
    #[serde(default = "max_distance")]
    pub relative_attention_max_distance: usize,
    /// The norms'.
    pub layer_norm_epsilon: f32,
    /// `gated-gelu`.
    pub feed_forward_proj: String,
}

fn buckets() -> usize {
    32
}

fn max_distance() -> usize {
    128
}

impl Config {
    /// T5-XXL's (v1.1), FLUX's.
    #[must_use]
    pub fn xxl() -> Self {
        Self {
            vocab_size: 32128,
            d_model: 4096,
            d_kv: 64,
            d_ff: 10240,
            num_layers: 24,
            num_heads: 64,
            relative_attention_num_buckets: buckets(),
            relative_attention_max_distance: max_distance(),
            layer_norm_epsilon: 1e-6,
            feed_forward_proj: "gated-gelu".to_owned(),
        }
    }

    /// That it is of the kind that FLUX reads with.
    ///
    /// # Errors
    /// [`WeightsError::Config`] with what it says instead.
    pub fn check(&self) -> Result<(), WeightsError> {
        if self.feed_forward_proj != "gated-gelu" {
            let activation = &self.feed_forward_proj;
            return Err(WeightsError::Config(format!("T5's MLP is {activation:?}, not gated-gelu")));
        }
        let (half, far) = (self.relative_attention_num_buckets / 2, self.relative_attention_max_distance);
        if half < 2 || far <= half / 2 {
            return Err(WeightsError::Config(format!("{} buckets for distances up to {far}", 2 * half)));
        }
        Ok(())
    }

    /// Columns of all heads together.
    #[must_use]
    pub fn inner(&self) -> usize {
        self.num_heads * self.d_kv
    }

    /// Which bias a key's has, `distance` positions after the query: exact up to a quarter of the buckets, then in
    /// steps of equal ratio. Rounds as transformers does.
    #[must_use]
    pub fn bucket(&self, distance: isize) -> usize {
        let half = self.relative_attention_num_buckets / 2;
        let exact = half / 2;
        let (base, apart) = (if distance > 0 { half } else { 0 }, distance.unsigned_abs());
        if apart < exact {
            return base + apart;
        }
        let whole = (self.relative_attention_max_distance as f64 / exact as f64).ln() as f32;
        let part = (apart as f32 / exact as f32).ln() / whole * (half - exact) as f32;
        base + (exact + part as usize).min(half - 1)
    }

    /// `[heads, 2 · tokens - 1]` biases, by distance from `1 - tokens` on; `weight` is `[buckets, heads]`.
    #[must_use]
    pub fn biases(&self, weight: &[f32], tokens: usize) -> Vec<f32> {
        let tokens = tokens as isize;
        let buckets: Vec<_> = (1 - tokens..tokens).map(|distance| self.bucket(distance)).collect();
        let heads = 0..self.num_heads;
        heads
            .flat_map(|head| buckets.iter().map(move |bucket| weight[bucket * self.num_heads + head]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bucket in whole numbers: the largest k with apart / exact ≥ (far / exact)^(k / steps).
    fn exact_bucket(distance: i32) -> usize {
        let (half, exact, far, steps) = (16, 8u32, 128u128, 8);
        let (base, apart) = (if distance > 0 { half } else { 0 }, distance.unsigned_abs());
        if apart < exact {
            return base + apart as usize;
        }
        let reaches = |k: u32| {
            u128::from(apart).pow(steps) * u128::from(exact).pow(k)
                >= u128::from(exact).pow(steps) * far.pow(k)
        };
        base + exact as usize + (1..steps).take_while(|&k| reaches(k)).count()
    }

    #[test]
    fn buckets_are_those_of_the_formula() {
        let config = Config::xxl();
        for distance in -600..=600 {
            let bucket = config.bucket(distance as isize);
            assert_eq!(bucket, exact_bucket(distance), "at distance {distance}");
        }
        // transformers' own, printed from `T5Attention._relative_position_bucket`.
        let some = [-300, -128, -91, -64, -16, -12, -8, -7, 0, 1, 7, 8, 11, 12, 16, 23, 64, 127, 128]
            .map(|d| config.bucket(d));
        assert_eq!(some, [15, 15, 15, 14, 10, 9, 8, 7, 0, 17, 23, 24, 24, 25, 26, 27, 30, 31, 31]);
    }

    #[test]
    fn biases_are_in_order_of_key_minus_query() {
        let config = Config { num_heads: 2, ..Config::xxl() };
        let weight: Vec<f32> = (0..64).map(|index| index as f32).collect();
        let biases = config.biases(&weight, 3);
        // Distances -2, -1, 0, 1, 2 are buckets 2, 1, 0, 17, 18; a bucket has one value a head.
        assert_eq!(biases, [4., 2., 0., 34., 36., 5., 3., 1., 35., 37.]);
    }
}
