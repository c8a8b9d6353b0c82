//! The scale of a branch whose file has no tensor for it: what PEFT's configuration says, which diffusers keeps in the
//! file's header, or 1.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::engine::weights::Weights;

/// Where diffusers keeps it.
const KEY: &str = "lora_adapter_metadata";
/// A part's name is before each of its keys.
const PARTS: [&str; 3] = ["transformer", "text_encoder", "text_encoder_2"];

/// PEFT's `LoraConfig` of each part, as far as it changes a scale.
#[derive(Debug, Default)]
pub(super) struct Alphas {
    parts: BTreeMap<&'static str, Config>,
}

#[derive(Debug, Default)]
struct Config {
    alpha: Option<f32>,
    /// Of layers whose names end so.
    patterns: Vec<(String, f32)>,
    /// Whether alpha is divided by the root of the rank.
    root: bool,
}

impl Alphas {
    pub fn of(weights: &Weights) -> Self {
        let Some(Ok(Value::Object(all))) = weights.metadata(KEY).map(serde_json::from_str) else {
            return Self::default();
        };
        let config = |part: &'static str| {
            let value = |key: &str| all.get(&format!("{part}.{key}"));
            let number = |value: &Value| value.as_f64().map(|number| number as f32);
            let patterns = value("alpha_pattern").and_then(Value::as_object).into_iter().flatten();
            let patterns = patterns.filter_map(|(name, alpha)| Some((name.clone(), number(alpha)?)));
            let (alpha, patterns) = (value("lora_alpha").and_then(number), patterns.collect());
            let root = value("use_rslora").and_then(Value::as_bool).unwrap_or(false);
            (part, Config { alpha, patterns, root })
        };
        Self { parts: PARTS.into_iter().map(config).collect() }
    }

    /// Of the layer that the file calls `stem`, of this rank.
    pub fn scale(&self, stem: &str, rank: usize) -> f32 {
        let (part, layer) = stem.split_once('.').unwrap_or(("", stem));
        let Some(config) = self.parts.get(part) else { return 1.0 };
        let is = |(name, _): &&(String, f32)| layer == name || layer.ends_with(&format!(".{name}"));
        let alpha = config.patterns.iter().find(is).map(|(_, alpha)| *alpha).or(config.alpha);
        let rank = if config.root { (rank as f32).sqrt() } else { rank as f32 };
        alpha.filter(|alpha| alpha.is_finite()).map_or(1.0, |alpha| alpha / rank)
    }
}
