//! The text `prompt` of ComfyUI: the graph that was run, JSON. Each node has a class and inputs, and an input is a value
//! or a link, `[node, output]`. Nodes are known by what they are given, not by their names: there are too many of them.
//!
//! ```text
//! SaveImage ── images ──> VAEDecode ── samples ──> the sampler: seed, steps, cfg
//!                                                    │ positive, guider ──> guidance, text
//!                                                    │ noise ──> noise_seed      │ sigmas ──> steps
//!                                                    └ model ──> unet_name, ckpt_name
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Said, Unusable};

pub(super) const WHAT: &str = "prompt of ComfyUI";
/// Graphs of more nodes are not read; large ones have a few hundred.
const NODES_MAX: usize = 10_000;

/// What ComfyUI embeds of guidance where no node says it; 1 is no classifier-free guidance.
const EMBEDDED: f32 = 3.5;

#[derive(Deserialize)]
struct Node {
    class_type: String,
    #[serde(default)]
    inputs: Map<String, Value>,
}

/// The nodes by their numbers, which are text.
struct Graph(BTreeMap<String, Node>);

/// # Errors
/// [`Unusable::Text`] when it is no graph, or nothing in it draws.
pub(super) fn read(json: &str) -> Result<Said, Unusable> {
    let wrong = |why| Unusable::Text { what: WHAT, why };
    let nodes: BTreeMap<String, Value> =
        serde_json::from_str(&finite(json)).map_err(|_| wrong("it is no JSON object"))?;
    if nodes.len() > NODES_MAX {
        return Err(wrong("it has more than 10000 nodes"));
    }
    // A part that is no node is no reason to refuse the others.
    let node = |(id, value)| Some((id, serde_json::from_value(value).ok()?));
    let graph = Graph(nodes.into_iter().filter_map(node).collect());
    let sampler = graph.sampler().ok_or(wrong("no node of it draws"))?;
    let conditioning = ["positive", "guider", "conditioning"];
    Ok(Said {
        prompt: graph.value(sampler, &conditioning, &["text", "t5xxl", "clip_l"], text).unwrap_or_default(),
        model: graph.value(sampler, &["model", "guider"], &["unet_name", "ckpt_name", "model_name"], text),
        steps: graph
            .value(sampler, &["sigmas"], &["steps"], number)
            .and_then(|steps| u32::try_from(steps).ok()),
        guidance: graph
            .value(sampler, &conditioning, &["guidance"], real)
            .or_else(|| graph.value(sampler, &["guider"], &["cfg"], real).filter(|cfg| *cfg != 1.0))
            .or(Some(EMBEDDED)),
        seed: graph.value(sampler, &["noise"], &["seed", "noise_seed"], number),
        size: graph
            .value(sampler, &["latent_image"], &["width"], number)
            .zip(graph.value(sampler, &["latent_image"], &["height"], number))
            .and_then(|(width, height)| Some((u32::try_from(width).ok()?, u32::try_from(height).ok()?))),
        by: Some("ComfyUI".to_owned()),
    })
}

/// Python writes NaN and Infinity where JSON has no word for them; outside of strings they become null.
fn finite(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    let mut rest = json;
    while let Some(next) = rest.chars().next() {
        let word = ["NaN", "-Infinity", "Infinity"].into_iter().find(|word| rest.starts_with(word));
        if let Some(word) = word.filter(|_| !quoted) {
            out.push_str("null");
            rest = &rest[word.len()..];
            continue;
        }
        quoted ^= next == '"' && !escaped;
        escaped = quoted && next == '\\' && !escaped;
        out.push(next);
        rest = &rest[next.len_utf8()..];
    }
    out
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64()
}

#[expect(clippy::cast_possible_truncation, reason = "what it is for is an f32")]
fn real(value: &Value) -> Option<f32> {
    value.as_f64().map(|value| value as f32)
}

/// The node that an input leads to.
fn link(value: &Value) -> Option<&str> {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::String(id), Value::Number(_)]) => Some(id),
        _ => None,
    }
}

impl Graph {
    fn node(&self, id: &str) -> Option<&Node> {
        self.0.get(id)
    }

    /// All nodes that lead to these, themselves first, the nearest first. The way of the negative prompt is not gone.
    fn behind<'g>(&'g self, from: impl Iterator<Item = &'g str>) -> impl Iterator<Item = &'g Node> {
        let mut waiting: VecDeque<&str> = from.collect();
        let mut seen: BTreeSet<&str> = waiting.iter().copied().collect();
        std::iter::from_fn(move || {
            loop {
                let node = self.node(waiting.pop_front()?);
                let Some(node) = node else { continue };
                let inputs = node.inputs.iter().filter(|(name, _)| *name != "negative");
                waiting.extend(inputs.filter_map(|(_, value)| link(value)).filter(|id| seen.insert(id)));
                return Some(node);
            }
        })
    }

    /// What draws: the nearest to what is saved, or else the first there is.
    fn sampler(&self) -> Option<&Node> {
        let draws = |node: &&Node| {
            let has = |name| node.inputs.contains_key(name);
            has("latent_image") && (has("positive") || has("guider") || has("conditioning"))
        };
        let saved = self.0.iter().filter(|(_, node)| node.class_type.starts_with("SaveImage"));
        let saved = self.behind(saved.map(|(id, _)| id.as_str())).find(draws);
        saved.or_else(|| self.0.values().find(draws))
    }

    /// The first of these values that is found in the sampler itself, and then behind these of its inputs.
    fn value<T>(
        &self,
        sampler: &Node,
        inputs: &[&str],
        names: &[&str],
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let of = |node: &Node| names.iter().find_map(|name| self.resolved(node.inputs.get(*name)?, &read));
        let begin = inputs.iter().filter_map(|name| link(sampler.inputs.get(*name)?));
        of(sampler).or_else(|| self.behind(begin).find_map(of))
    }

    /// A value, or what a node that only holds one has in it.
    fn resolved<T>(&self, value: &Value, read: &impl Fn(&Value) -> Option<T>) -> Option<T> {
        let Some(id) = link(value) else { return read(value) };
        let held = |node: &Node| {
            let holds = ["value", "text", "string", "seed", "int", "float", "number"];
            holds.iter().find_map(|name| read(node.inputs.get(*name)?))
        };
        self.behind(std::iter::once(id)).find_map(held)
    }
}
