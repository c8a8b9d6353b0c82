//! Quantised weights: every type is what its own program makes of it, bit for bit, and a transformer of them computes
//! what one of the widened values does. The files in `fixtures/` come from `make_fixtures.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use flux_tui::engine::dit::model::Flux;
use flux_tui::engine::text::t5::T5;
use flux_tui::engine::text::tokenize::Tokens;
use flux_tui::engine::weights::{Dtype, Part, Weights, WeightsError};
use flux_tui::job::{Encoder, TokenCount};
use flux_tui::model::Source;
use safetensors::SafeTensors;

use crate::make::{self, tensors};
use crate::make_gguf;
use crate::{Nobody, TRANSFORMER, assert_is_nano, folder, part};

const TINY: [&str; 5] = [
    "tiny.gguf",
    "tiny-prefixed.gguf",
    "tiny-nf4.safetensors",
    "tiny-nf4-diffusers.safetensors",
    "tiny-e5m2.safetensors",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/forms/fixtures").join(name)
}

/// The fp32 tensors of a fixture.
fn numbers(name: &str) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(fixture(name)).expect("it is there");
    let file = SafeTensors::deserialize(&bytes).expect("it is whole");
    let one = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let values = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        (name, (view.shape().to_vec(), values))
    };
    file.tensors().into_iter().map(one).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn every_type_of_gguf_widens_to_what_its_own_code_makes_of_it() {
    let weights = Weights::open(&Source::File(fixture("blocks.gguf"))).expect("it opens");
    let expected = numbers("blocks.safetensors");
    assert_eq!(weights.names().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert_eq!(expected.len(), 13);
    for (name, (shape, values)) in &expected {
        assert_eq!(weights.dtype(name).expect("it is there").to_string(), *name);
        let whole = weights.widened(name, shape).expect("it is a weight");
        assert_eq!(bits(&whole), bits(values), "{name}");
        let matrix = weights.matrix(name, (shape[0], shape[1])).expect("it is a matrix");
        let mut row = vec![0.0; shape[1]];
        matrix.widen(1, &mut row);
        assert_eq!(bits(&row), bits(&values[shape[1]..2 * shape[1]]), "{name}, row 1");
        // From within a block to within another.
        let stored = weights.stored(name, shape).expect("it is a weight");
        for (first, count) in [(1, 700), (255, 2), (37, 3), (500, 1036)] {
            let mut some = vec![0.0; count];
            stored.pieces[0].widen(stored.dtype, first, &mut some);
            assert_eq!(bits(&some), bits(&values[first..first + count]), "{name} from {first}");
        }
    }
}

/// FNV-1a of values' bytes.
fn fnv(values: &[f32]) -> String {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

#[test]
fn transformers_as_other_programs_quantise_them_have_the_values_that_those_widen() {
    let text = std::fs::read_to_string(fixture("tiny.json")).expect("it is there");
    let hashes: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(&text).expect("JSON");
    assert_eq!(hashes.len(), TINY.len());
    for file in TINY {
        let weights = part(&fixture(file), Part::Transformer);
        let found: BTreeMap<String, String> = weights
            .names()
            .map(|name| {
                let shape = weights.shape(name).expect("it is there");
                (name.to_owned(), fnv(&weights.widened(name, shape).expect("it is a weight")))
            })
            .collect();
        assert_eq!(found, hashes[file], "{file}");
    }
}

/// What a transformer makes of these, with a time of 0.7 and a guidance of 3.
fn velocity(weights: &Weights, inputs: [&(Vec<usize>, Vec<f32>); 3], grid: (usize, usize)) -> Vec<f32> {
    let flux = Flux::load::<WeightsError>(weights, |_| Ok(())).expect("it loads");
    let tensor = |(shape, values): &(Vec<usize>, Vec<f32>)| {
        Tensor::from_vec(values.clone(), shape.as_slice(), &Device::Cpu).expect("as many")
    };
    let [noise, text, pooled] = inputs.map(tensor);
    let conditions = flux.condition(&text, &pooled, grid, &[0.7], 3.0).expect("conditions");
    let velocity = flux.forward(&noise, &conditions, 0, &mut Nobody).expect("a velocity");
    velocity.flatten_all().and_then(|flat| flat.to_vec1()).expect("fp32")
}

/// The largest difference, of the largest value.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().map(|value| value.abs()).fold(0.0, f32::max);
    assert!(largest > 0.01, "nothing but zeros");
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

#[test]
fn their_velocities_are_those_of_diffusers_with_the_widened_values() {
    let all = numbers("velocities.safetensors");
    let inputs = ["noise", "text", "pooled"].map(|name| &all[name]);
    for file in TINY {
        let found = velocity(&part(&fixture(file), Part::Transformer), inputs, (4, 4));
        let off = difference(&found, &all[file].1);
        assert!(off < 1e-4, "{file}: {off}");
    }
    let other = difference(&all[TINY[0]].1, &all[TINY[2]].1);
    assert!(other > 1e-3, "two types with one velocity: this test sees nothing");
}

/// The same values in fp32, in a file.
fn widened(weights: &Weights, path: &Path) -> PathBuf {
    let wide = weights.names().map(|name| {
        let shape = weights.shape(name).expect("it is there").to_vec();
        let values = weights.widened(name, &shape).expect("it is a weight");
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        (name.to_owned(), make::Tensor { dtype: safetensors::Dtype::F32, shape, bytes })
    });
    make::write(path, &wide.collect())
}

#[test]
fn a_quantised_transformer_computes_what_its_widened_values_do() {
    let folder = folder();
    let inputs = [(16, 64), (8, 128), (1, 128)].map(|(rows, columns)| {
        let values = flux_tui::engine::sample::noise::randn(rows as u64, rows * columns);
        (vec![rows, columns], values)
    });
    for dtypes in [
        &[Dtype::Q8_0][..],
        &[Dtype::Q2K],
        &[Dtype::Q3K],
        &[Dtype::Q6K, Dtype::Q5_0],
        &[Dtype::Q4K, Dtype::Q5K, Dtype::Q4_0, Dtype::Q4_1, Dtype::Q5_1],
    ] {
        let path = make_gguf::write(&folder.path().join("nano.gguf"), "flux", &make_gguf::nano_of(dtypes));
        let weights = part(&path, Part::Transformer);
        let wide = widened(&weights, &folder.path().join("wide.safetensors"));
        let of = |weights: &Weights| velocity(weights, inputs.each_ref(), (4, 4));
        let off = difference(&of(&weights), &of(&part(&wide, Part::Transformer)));
        assert!(off < 1e-4, "{dtypes:?}: {off}");
        let quantised = weights.size_where(|dtype, _, bytes| if dtype.is_quantised() { bytes } else { 0 });
        assert!(quantised * 10 > weights.size() * 9, "{dtypes:?}: little of it is quantised");
    }
}

#[test]
fn unquantised_gguf_is_nano_prefixed_or_not_and_so_is_t5_in_the_names_of_llama_cpp() {
    let folder = folder();
    let at = folder.path().join("it.gguf");
    let all = make_gguf::unquantised(&tensors(TRANSFORMER));
    for (architecture, prefix) in [("flux", ""), ("pig", "model.diffusion_model.")] {
        let all: Vec<_> = all.iter().map(|(name, it)| (format!("{prefix}{name}"), it.clone())).collect();
        let path = make_gguf::write(&at, architecture, &all);
        assert_is_nano(&part(&path, Part::Transformer), TRANSFORMER, architecture);
    }
    let t5 = make_gguf::unquantised(&tensors("t5.safetensors"));
    let t5: Vec<_> = t5.into_iter().map(|(name, it)| (make_gguf::t5_name(&name), it)).collect();
    let path = make_gguf::write(&at, "t5encoder", &t5);
    let weights = part(&path, Part::T5);
    assert_eq!(weights.form(), Some("llama.cpp"));
    assert_is_nano(&weights, "t5.safetensors", "llama.cpp");
}

#[test]
fn a_quantised_t5_encodes_as_its_widened_values_do() {
    let folder = folder();
    let mut all = make_gguf::unquantised(&tensors("t5.safetensors"));
    for (at, (name, tensor)) in all.iter_mut().enumerate() {
        let dtype = [Dtype::Q8_0, Dtype::Q5_1, Dtype::Q4_0][at % 3];
        if tensor.shape.len() == 2 && !name.contains("relative_attention_bias") {
            *tensor = make_gguf::random(dtype, &tensor.shape, at as u32);
        }
        *name = make_gguf::t5_name(name);
    }
    let path = make_gguf::write(&folder.path().join("t5.gguf"), "t5", &all);
    let weights = part(&path, Part::T5);
    let wide = widened(&weights, &folder.path().join("wide.safetensors"));
    let (config, ids) = (Source::File(make::nano("t5_config.json")), [5, 100, 2000, 7, 1, 0, 0, 0]);
    let encoded = |weights: &Weights| {
        let count = TokenCount { encoder: Encoder::T5, tokens: 5, limit: 8, cut_at: None, unknown: 0 };
        let tokens = Tokens { ids: ids.to_vec(), end: 4, count };
        let text = T5::load(weights, &config).and_then(|t5| Ok(t5.encode(&tokens)?)).expect("it encodes");
        assert_eq!(text.dims(), [8, 128]);
        text.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).expect("fp32")
    };
    let off = difference(&encoded(&weights), &encoded(&part(&wide, Part::T5)));
    assert!(off < 1e-4, "{off}");
}

#[test]
fn what_is_quantised_in_another_way_or_of_another_model_is_refused_by_name() {
    let folder = folder();
    let refused = |path: &Path| {
        let opened = Weights::open_part(&Source::File(path.to_owned()), Part::Transformer);
        opened.err().unwrap_or_else(|| panic!("{} was opened", path.display())).to_string()
    };
    let fp4 = refused(&fixture("tiny-fp4.safetensors"));
    for part in ["double_blocks.0.img_attn.qkv.weight", "FP4", "NF4, fp8 and GGUF"] {
        assert!(fp4.contains(part), "{fp4}");
    }
    let all = make_gguf::unquantised(&tensors(TRANSFORMER));
    for architecture in ["llama", "sd3"] {
        let path = make_gguf::write(&folder.path().join("it.gguf"), architecture, &all);
        let error = refused(&path);
        assert!(error.contains(&format!("a GGUF file of {architecture}")), "{error}");
    }
}

#[test]
fn a_marker_of_two_elements_asks_for_no_products_in_fp8() {
    let folder = folder();
    for (elements, allowed) in [(1, true), (2, false)] {
        for prefix in ["", "model.diffusion_model."] {
            let mut all = make::prefixed(&tensors(TRANSFORMER), prefix);
            let dtype = safetensors::Dtype::F8_E4M3;
            let marker = make::Tensor { dtype, shape: vec![elements], bytes: vec![0; elements] };
            all.insert(format!("{prefix}scaled_fp8"), marker);
            let path = make::write(&folder.path().join("it.safetensors"), &all);
            let weights = part(&path, Part::Transformer);
            assert_eq!(weights.allows_fp8_products(), allowed, "{elements} elements behind {prefix:?}");
        }
    }
}

#[test]
fn nf4_whose_parts_are_missing_or_do_not_fit_names_the_tensor() {
    let folder = folder();
    let bytes = std::fs::read(fixture("tiny-nf4.safetensors")).expect("it is there");
    let whole = make::read(&bytes);
    let name = "single_blocks.0.linear1.weight";
    let says = |change: &dyn Fn(&mut make::Tensors), parts: &[&str]| {
        let mut all = whole.clone();
        change(&mut all);
        let path = make::write(&folder.path().join("a.safetensors"), &all);
        let error = Weights::open(&Source::File(path)).expect_err("it is not whole").to_string();
        for part in parts.iter().chain(&[name]) {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
    };
    let beside = |what: &str| format!("{name}.{what}");
    for what in ["absmax", "quant_map", "nested_absmax", "nested_quant_map"] {
        says(&|all| drop(all.remove(&beside(what))), &[what, "is missing"]);
    }
    let state = beside("quant_state.bitsandbytes__nf4");
    let stated = |from: &str, to: &str| {
        let text = String::from_utf8(whole[&state].bytes.clone()).expect("JSON");
        assert!(text.contains(from), "{text}");
        let bytes = text.replace(from, to).into_bytes();
        make::Tensor { shape: vec![bytes.len()], bytes, ..whole[&state].clone() }
    };
    for (from, to, reason) in [
        ("\"blocksize\": 64", "\"blocksize\": 128", "blocks are of 128 values"),
        ("\"nested_blocksize\": 256", "\"nested_blocksize\": 64", "64 of its scales"),
        ("{", "[", "state cannot be read"),
        ("[448, 64]", "[448, 63]", "not of the shape"),
        ("[448, 64]", "[18446744073709551615, 64]", "not of the shape"),
    ] {
        says(&|all| drop(all.insert(state.clone(), stated(from, to))), &[reason]);
    }
    let levels = make::Tensor { bytes: vec![0; 64], ..whole[&beside("quant_map")].clone() };
    says(&|all| drop(all.insert(beside("quant_map"), levels.clone())), &["levels are not NF4's"]);
    let few = make::Tensor { shape: vec![3], bytes: vec![0; 3], ..whole[&beside("absmax")].clone() };
    says(&|all| drop(all.insert(beside("absmax"), few.clone())), &["3 of U8"]);
}
