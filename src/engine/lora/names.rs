//! From the names of any form of LoRA to a layer and what of its change a tensor is: the table is data, `names.toml` and
//! the models' own `weights/names.toml`, and this applies it.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::engine::weights::renamed_layers;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let names: Names = toml::from_str(include_str!("names.toml"))
        .expect("names.toml is part of the program and a test reads it");
    Table::new(names)
});

/// Which of a model's parts a layer is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// The transformer.
    Transformer,
    /// CLIP.
    Clip,
    /// T5.
    T5,
}

/// What a tensor is of a layer's change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    Down,
    Up,
    UpBias,
    Alpha,
    Magnitude,
    HadaW1A,
    HadaW1B,
    HadaW2A,
    HadaW2B,
    LokrW1,
    LokrW1A,
    LokrW1B,
    LokrW2,
    LokrW2A,
    LokrW2B,
    Diff,
    Bias,
}

/// A layer of the model, or some of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub of: Of,
    /// Under its name here.
    pub layer: String,
    /// Of several layers that are one here, the first and how many.
    pub parts: Option<(usize, usize)>,
    /// Whether the halves of the rows change places.
    pub swap: bool,
    /// Whose name it is.
    pub form: &'static str,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    prefixes: Vec<Prefix>,
    layer: Vec<Further>,
    clip: Vec<String>,
    t5: Vec<String>,
    suffixes: toml::Table,
    foreign: Vec<Foreign>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prefix {
    begins: String,
    of: Of,
    form: String,
    #[serde(default)]
    joined: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Further {
    from: String,
    to: String,
    first: Option<usize>,
    count: Option<usize>,
    form: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Foreign {
    name: String,
    has: Vec<String>,
    columns: Option<usize>,
}

/// One name of one layer.
#[derive(Debug)]
struct Rule {
    of: Of,
    dotted: Pattern,
    joined: Pattern,
    to: String,
    parts: Option<(usize, usize)>,
    swap: bool,
    /// Whose name it is whatever is before it.
    form: Option<String>,
}

/// A name with room for a number.
#[derive(Debug)]
struct Pattern {
    before: String,
    /// What comes behind the number, if there is one.
    behind: Option<String>,
}

struct Table {
    prefixes: Vec<Prefix>,
    rules: Vec<Rule>,
    /// The longest first.
    suffixes: Vec<(String, Role)>,
    foreign: Vec<Foreign>,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let (before, behind) = match text.split_once("{n}") {
            Some((before, behind)) => (before, Some(behind.to_owned())),
            None => (text, None),
        };
        Self { before: before.to_owned(), behind }
    }

    /// The number that stands where the pattern leaves room, 0 where it leaves none.
    fn matches(&self, name: &str) -> Option<usize> {
        let rest = name.strip_prefix(self.before.as_str())?;
        let Some(behind) = &self.behind else { return rest.is_empty().then_some(0) };
        let number = rest.strip_suffix(behind.as_str())?;
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| number.parse().ok()).flatten()
    }
}

impl Rule {
    fn new(of: Of, from: &str, to: &str) -> Self {
        let (dotted, joined) = (Pattern::new(from), Pattern::new(&from.replace('.', "_")));
        Self { of, dotted, joined, to: to.to_owned(), parts: None, swap: false, form: None }
    }
}

impl Table {
    fn new(names: Names) -> Self {
        let mut rules = Vec::new();
        let mut own: Vec<String> = Vec::new();
        for layer in renamed_layers() {
            let parts = (layer.count > 1).then_some((layer.at, 1));
            rules.push(Rule {
                parts,
                swap: layer.swap,
                ..Rule::new(Of::Transformer, &layer.from, &layer.to)
            });
            if !own.contains(&layer.to) {
                own.push(layer.to);
            }
        }
        rules.extend(own.iter().map(|name| Rule::new(Of::Transformer, name, name)));
        for Further { from, to, first, count, form } in &names.layer {
            let (parts, form) = (first.zip(*count), Some(form.clone()));
            rules.push(Rule { parts, form, ..Rule::new(Of::Transformer, from, to) });
        }
        for (of, list) in [(Of::Clip, &names.clip), (Of::T5, &names.t5)] {
            rules.extend(list.iter().map(|name| Rule::new(of, name, name)));
        }
        let mut suffixes = Vec::new();
        for (role, endings) in names.suffixes {
            let role = Role::deserialize(toml::Value::String(role)).expect("a test reads every role");
            let endings: Vec<String> = endings.try_into().expect("a test reads every suffix");
            suffixes.extend(endings.into_iter().map(|ending| (format!(".{ending}"), role)));
        }
        suffixes.sort_by_key(|(ending, _)| std::cmp::Reverse(ending.len()));
        Self { prefixes: names.prefixes, rules, suffixes, foreign: names.foreign }
    }

    fn target(&'static self, stem: &str) -> Option<Target> {
        self.prefixes.iter().find_map(|prefix| {
            let name = stem.strip_prefix(prefix.begins.as_str())?;
            self.rules.iter().filter(|rule| rule.of == prefix.of).find_map(|rule| {
                let pattern = if prefix.joined { &rule.joined } else { &rule.dotted };
                let layer = rule.to.replace("{n}", &pattern.matches(name)?.to_string());
                let form = rule.form.as_deref().unwrap_or(&prefix.form);
                Some(Target { of: rule.of, layer, parts: rule.parts, swap: rule.swap, form })
            })
        })
    }
}

/// The layer's name as the file has it, and what of its change the tensor is. The longest suffix is meant.
pub(super) fn split(name: &str) -> Option<(&str, Role)> {
    TABLE.suffixes.iter().find_map(|(ending, role)| Some((name.strip_suffix(ending.as_str())?, *role)))
}

/// The layer that a file's name of one means.
pub(super) fn target(stem: &str) -> Option<Target> {
    TABLE.target(stem)
}

/// The other model that a LoRA is of, by a tensor's name and its columns.
pub(super) fn foreign(name: &str, columns: Option<usize>) -> Option<&'static str> {
    let is = |foreign: &&Foreign| {
        foreign.has.iter().any(|part| name.contains(part.as_str()))
            && foreign.columns.is_none_or(|wanted| columns == Some(wanted))
    };
    TABLE.foreign.iter().find(is).map(|foreign| foreign.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str) -> (String, Option<(usize, usize)>, bool, Role) {
        let (stem, role) = split(name).unwrap_or_else(|| panic!("{name} has no suffix"));
        let Target { layer, parts, swap, .. } = target(stem).unwrap_or_else(|| panic!("{stem} is no layer"));
        (layer, parts, swap, role)
    }

    #[test]
    fn every_form_of_a_name_means_its_layer() {
        let all = [
            ("lora_unet_double_blocks_11_img_attn_qkv.lora_down.weight", "double_blocks.11.img_attn.qkv"),
            ("diffusion_model.double_blocks.11.img_attn.qkv.lora_up.weight", "double_blocks.11.img_attn.qkv"),
            ("double_blocks.11.processor.qkv_lora1.down.weight", "double_blocks.11.img_attn.qkv"),
            ("double_blocks.3.processor.proj_lora2.up.weight", "double_blocks.3.txt_attn.proj"),
            ("lora_unet_single_blocks_0_modulation_lin.alpha", "single_blocks.0.modulation.lin"),
            ("lora_unet_final_layer_adaLN_modulation_1.alpha", "final_layer.adaLN_modulation.1"),
            ("transformer.x_embedder.lora_A.weight", "img_in"),
            ("base_model.model.x_embedder.lora_A.weight", "img_in"),
            ("transformer_blocks.2.ff.net.0.proj.lora.down.weight", "double_blocks.2.img_mlp.0"),
            (
                "lora_transformer_transformer_blocks_2_ff_context_net_2.dora_scale",
                "double_blocks.2.txt_mlp.2",
            ),
            ("lycoris_transformer_blocks_2_attn_to_out_0.lokr_w1", "double_blocks.2.img_attn.proj"),
            ("diffusion_model.single_blocks.7.linear2.diff_b", "single_blocks.7.linear2"),
        ];
        for (name, layer) in all {
            assert_eq!(found(name), (layer.to_owned(), None, false, found(name).3), "{name}");
        }
    }

    #[test]
    fn parts_of_a_layer_are_told_apart_and_halves_swapped() {
        let name = "transformer.single_transformer_blocks.4.proj_mlp.lora_A.default.weight";
        assert_eq!(found(name), ("single_blocks.4.linear1".to_owned(), Some((3, 1)), false, Role::Down));
        let name = "lora_transformer_transformer_blocks_4_attn_add_k_proj.lora_up.weight";
        assert_eq!(found(name), ("double_blocks.4.txt_attn.qkv".to_owned(), Some((1, 1)), false, Role::Up));
        let name = "single_blocks.4.processor.qkv_lora.down.weight";
        assert_eq!(found(name), ("single_blocks.4.linear1".to_owned(), Some((0, 3)), false, Role::Down));
        let (layer, _, swap, _) = found("transformer.norm_out.linear.lora_B.weight");
        assert_eq!((layer.as_str(), swap), ("final_layer.adaLN_modulation.1", true));
    }

    #[test]
    fn encoders_and_norms_are_known() {
        let of = |name: &str| {
            let target = target(split(name).expect("a suffix").0).expect("a layer");
            (target.of, target.layer)
        };
        let clip = (Of::Clip, "encoder.layers.5.mlp.fc1".to_owned());
        assert_eq!(of("lora_te1_text_model_encoder_layers_5_mlp_fc1.lora_up.weight"), clip);
        assert_eq!(of("text_encoder.text_model.encoder.layers.5.mlp.fc1.lora_A.weight"), clip);
        let t5 = (Of::T5, "encoder.block.9.layer.1.DenseReluDense.wi_0".to_owned());
        assert_eq!(of("lora_te3_encoder_block_9_layer_1_DenseReluDense_wi_0.alpha"), t5);
        let norm = (Of::Transformer, "double_blocks.3.img_attn.norm.key_norm".to_owned());
        assert_eq!(of("diffusion_model.double_blocks.3.img_attn.norm.key_norm.scale.diff"), norm);
        assert_eq!(of("transformer.transformer_blocks.3.attn.norm_k.diff"), norm);
    }

    #[test]
    fn what_is_no_layer_is_none() {
        for name in ["lora_unet_double_blocks_x_img_attn_qkv", "lora_unet_down_blocks_0", "", "transformer."]
        {
            assert_eq!(target(name), None, "{name}");
        }
        assert_eq!(split("logit_scale"), None);
        assert_eq!(
            foreign("lora_unet_x_attn2_to_k.lora_down.weight", Some(768)),
            Some("Stable Diffusion 1.5")
        );
        assert_eq!(foreign("lora_unet_x_attn2_to_k.lora_down.weight", Some(64)), None);
    }
}
