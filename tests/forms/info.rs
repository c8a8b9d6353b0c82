//! `flux-tui models info`: what a file is by its content, in the time that a header takes.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use flux_tui::engine::dit::config::Config;
use flux_tui::engine::weights::{Dtype, Kind, Part, Variant, WeightsError, identify};

use crate::home::Home;
use crate::make::{self, Tensor, nano, tensors};
use crate::make_gguf::{self, Blocks};
use crate::{TRANSFORMER, folder};

fn kind(path: &Path) -> Kind {
    identify(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).kind
}

fn variant(path: &Path) -> Variant {
    match kind(path) {
        Kind::Transformer { variant, .. } => variant,
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn variants_are_told_by_shapes_and_names() {
    let folder = folder();
    let at = folder.path().join("a.safetensors");
    let bfl = tensors(TRANSFORMER);
    let wider = |channels: usize| {
        let mut all = bfl.clone();
        let bytes = vec![0; 256 * channels];
        let img_in = Tensor { shape: vec![256, channels], bytes, ..bfl["img_in.weight"].clone() };
        all.insert("img_in.weight".to_owned(), img_in);
        make::write(&at, &all)
    };
    assert_eq!(variant(&nano(TRANSFORMER)), Variant::Dev);
    assert_eq!(variant(&wider(128)), Variant::DepthCanny);
    assert_eq!(variant(&wider(384)), Variant::Fill);
    assert_eq!(variant(&wider(80)), Variant::Unknown(80));
    let schnell = bfl.clone().into_iter().filter(|(name, _)| !name.starts_with("guidance_in")).collect();
    assert_eq!(variant(&make::write(&at, &make::diffusers_transformer(&schnell))), Variant::Schnell);
    let kontext = make::write_with(&at, &bfl, &[("modelspec.title", "Flux.1-Kontext-dev")]);
    assert_eq!(variant(&kontext), Variant::Kontext);
    assert_eq!(identify(&kontext).expect("whole").missing(), [Part::T5, Part::Clip, Part::Vae]);
}

#[test]
fn whole_models_and_single_parts_are_told() {
    let folder = folder();
    make::pipeline(folder.path());
    let all = make::write(&folder.path().join("all.safetensors"), &make::all_in_one());
    for path in [folder.path(), &all] {
        let identity = identify(path).expect("it is whole");
        assert!(matches!(identity.kind, Kind::Transformer { variant: Variant::Dev, .. }));
        assert_eq!((identity.missing(), identity.drawn()), (vec![], Ok(())));
    }
    for (file, part) in [("t5", Part::T5), ("clip", Part::Clip), ("ae", Part::Vae)] {
        let identity = identify(&nano(&format!("{file}.safetensors"))).expect("it is whole");
        assert_eq!(identity.kind, Kind::Parts);
        assert_eq!(identity.parts.iter().map(|found| found.part).collect::<Vec<_>>(), [part]);
    }
}

#[test]
fn a_transformer_with_something_missing_or_of_another_shape_names_it() {
    let folder = folder();
    let at = folder.path().join("a.safetensors");
    for name in
        ["img_in.bias", "single_blocks.4.linear2.bias", "double_blocks.2.txt_attn.norm.key_norm.scale"]
    {
        let mut all = tensors(TRANSFORMER);
        all.remove(name);
        let Kind::Incomplete(reason) = kind(&make::write(&at, &all)) else { panic!("{name} is missing") };
        assert!(reason.contains(name) && reason.contains("missing"), "{reason}");
    }
    let mut all = tensors(TRANSFORMER);
    let bias = all["single_blocks.4.linear2.bias"].clone();
    all.insert("single_blocks.0.linear1.bias".to_owned(), bias);
    let Kind::Incomplete(reason) = kind(&make::write(&at, &all)) else { panic!("a shape is wrong") };
    assert!(reason.contains("single_blocks.0.linear1.bias") && reason.contains("[1792]"), "{reason}");
}

/// A file of dev's size whose data are a hole, so that it takes no room.
fn of_devs_size(path: &Path) -> u64 {
    let mut header = serde_json::Map::new();
    let mut at = 0;
    for (name, shape) in Config::flux1_dev().tensors() {
        let end = at + 2 * shape.iter().product::<usize>() as u64;
        let info = serde_json::json!({ "dtype": "BF16", "shape": shape, "data_offsets": [at, end] });
        header.insert(name, info);
        at = end;
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = File::create(path).expect("it can be made");
    file.write_all(&(header.len() as u64).to_le_bytes()).expect("it can be written");
    file.write_all(header.as_bytes()).expect("it can be written");
    file.set_len(8 + header.len() as u64 + at).expect("a hole costs nothing");
    at
}

#[test]
fn a_file_of_24_gb_is_told_in_milliseconds() {
    let folder = folder();
    let path = folder.path().join("flux1-dev.safetensors");
    assert_eq!(of_devs_size(&path), 2 * 11_901_408_320);
    // The best of three: this machine has other things to do.
    let took = (0..3).map(|_| {
        let start = Instant::now();
        let Kind::Transformer { variant, config } = kind(&path) else { panic!("it is a transformer") };
        assert_eq!((variant, config), (Variant::Dev, Config::flux1_dev()));
        start.elapsed()
    });
    let best = took.min().expect("three times");
    assert!(best < Duration::from_millis(50), "{best:?}");
}

/// The same as a quantiser leaves it: Q4_K where rows are whole blocks, fp16 where not, vectors in fp32.
fn of_devs_size_in_q4_k(path: &Path) {
    let stored = |(name, shape): (String, Vec<usize>)| {
        let dtype = match shape[..] {
            [_, columns] if columns % 256 == 0 => Dtype::Q4K,
            [_, _] => Dtype::F16,
            _ => Dtype::F32,
        };
        (name, Blocks { dtype, shape, bytes: Vec::new() })
    };
    let all: Vec<_> = Config::flux1_dev().tensors().into_iter().map(stored).collect();
    let (header, data) = make_gguf::header("flux", &all);
    let mut file = File::create(path).expect("it can be made");
    file.write_all(&header).expect("it can be written");
    file.set_len(header.len() as u64 + data).expect("a hole costs nothing");
}

#[test]
fn quantised_files_of_full_size_are_told_in_milliseconds() {
    let folder = folder();
    let path = folder.path().join("flux1-dev-Q4_K_S.gguf");
    of_devs_size_in_q4_k(&path);
    let took = (0..3).map(|_| {
        let start = Instant::now();
        let Kind::Transformer { variant, config } = kind(&path) else { panic!("it is a transformer") };
        assert_eq!((variant, config), (Variant::Dev, Config::flux1_dev()));
        start.elapsed()
    });
    let best = took.min().expect("three times");
    assert!(best < Duration::from_millis(50), "{best:?}");
}

#[test]
fn nf4_and_e5m2_are_told_like_the_rest() {
    let fixture = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/forms/fixtures").join(name);
    for (file, first, form) in [
        ("tiny-nf4.safetensors", "NF4", "BFL"),
        ("tiny-nf4-diffusers.safetensors", "NF4", "diffusers"),
        ("tiny-e5m2.safetensors", "fp8 e5m2", "BFL"),
        ("tiny.gguf", "fp16", "BFL"),
    ] {
        let identity = identify(&fixture(file)).expect("it is whole");
        assert!(matches!(identity.kind, Kind::Transformer { variant: Variant::Dev, .. }), "{file}");
        assert_eq!((identity.drawn(), identity.missing().len()), (Ok(()), 3), "{file}");
        let types: Vec<_> = identity.precision.iter().map(|(name, _)| name.as_str()).collect();
        assert!(types.contains(&first), "{file}: {types:?}");
        let found = &identity.parts[0];
        assert_eq!(found.form, form, "{file}");
        let size = std::fs::metadata(fixture(file)).expect("it is there").len();
        assert!(found.bytes < size && found.bytes * 10 > size * 7, "{file}: {} of {size} bytes", found.bytes);
        if first == "NF4" {
            assert!(found.on_cpu < 2 * found.bytes, "{file}: {} bytes on the CPU", found.on_cpu);
        }
    }
}

#[test]
fn the_program_tells_it_as_a_table_and_as_json() {
    let (home, folder) = (Home::new(), folder());
    let file = folder.path().join("flux1-dev.safetensors");
    of_devs_size(&file);
    let path = file.to_str().expect("text");
    let table = home.run(&["models", "info", path]);
    assert!(table.done().contains("3072 wide, 24 heads, 19 double and 38 single blocks"), "{table:?}");
    let json = home.run(&["models", "info", path, "--json"]).json();
    assert_eq!(json["kind"], "transformer");
    assert_eq!(json["precision"], serde_json::json!([{ "type": "bf16", "bytes": 23_802_816_640_u64 }]));
    assert_eq!(json["missing"], serde_json::json!(["t5", "clip", "vae"]));
    assert_eq!((&json["draws"], &json["memory"]["cpu"]), (&true.into(), &23_802_816_640_u64.into()));

    of_devs_size_in_q4_k(&file);
    let table = home.run(&["models", "info", path]);
    for part in ["FLUX.1 dev", "Q4_K 6.6", "fp16", "19 double and 38 single blocks"] {
        assert!(table.done().contains(part), "{part:?}: {table:?}");
    }
    let json = home.run(&["models", "info", path, "--json"]).json();
    assert_eq!((&json["kind"], &json["draws"]), (&"transformer".into(), &true.into()));
    let cpu = json["memory"]["cpu"].as_u64().expect("a number");
    assert!((6_600_000_000..6_900_000_000).contains(&cpu), "{cpu}");

    std::fs::write(&file, "<!DOCTYPE html>").expect("it can be written");
    home.run(&["models", "info", path]).ended_with(1, &["flux1-dev.safetensors", "web page"]);
    std::fs::write(&file, [&b"GGUF\x03\0\0\0"[..], &[0; 16]].concat()).expect("it can be written");
    let json = home.run(&["models", "info", path, "--json"]).json();
    assert_eq!((&json["kind"], &json["draws"]), (&"unknown".into(), &false.into()));
    assert!(matches!(identify(Path::new("/nowhere")), Err(WeightsError::Read(_))));
}
