//! Texts as the other programs write them, by their documented formats, and such as nobody writes.

use super::*;
use crate::job::LORAS_MAX;

/// A PNG with these texts and one white pixel for each of the size.
fn png(size: (u32, u32), texts: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, size.0, size.1);
    encoder.set_color(::png::ColorType::Grayscale);
    encoder.set_depth(::png::BitDepth::Eight);
    for (keyword, text) in texts {
        encoder.add_itxt_chunk((*keyword).to_owned(), (*text).to_owned()).expect("it is text");
    }
    let mut writer = encoder.write_header().expect("it is small");
    writer.write_image_data(&vec![255; (size.0 * size.1) as usize]).expect("the pixels fit");
    writer.finish().expect("it is whole");
    bytes
}

fn a1111(text: &str) -> Result<Recipe, Unusable> {
    examine(&png((64, 32), &[("parameters", text)])).map(|(recipe, origin)| {
        assert_eq!(origin, Origin::A1111);
        recipe
    })
}

fn comfy(json: &str) -> Result<Recipe, Unusable> {
    examine(&png((64, 32), &[("prompt", json), ("workflow", "{}")])).map(|(recipe, origin)| {
        assert_eq!(origin, Origin::ComfyUi);
        recipe
    })
}

#[test]
fn parameters_of_forge_are_read() {
    let recipe = a1111(
        "a red fox, <lora:ink:0.8>\nSteps: 3 lines are in the prompt\nNegative prompt: blurry, ugly\nand grey\n\
         Steps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.1, \
         Seed: 18446744073709551615, Size: 896x1152, Model hash: 00c0ffee00, Model: flux1-dev-fp8, \
         Lora hashes: \"ink: aabbccddeeff, soft: 00\", Version: f2.0.1v1.10.1-previous-1",
    )
    .expect("it is whole");
    assert_eq!(recipe.prompt.as_str(), "a red fox, <lora:ink:0.8>\nSteps: 3 lines are in the prompt");
    assert_eq!((recipe.steps, recipe.guidance, recipe.seed), (20, 3.1, u64::MAX));
    assert_eq!(recipe.model.as_str(), "flux1-dev-fp8");
    assert_eq!((recipe.size.width(), recipe.size.height()), (64, 32), "what the picture is");
    assert_eq!(recipe.precision, "not known, by f2.0.1v1.10.1-previous-1");
}

#[test]
fn parameters_may_be_short_and_quoted() {
    let recipe =
        a1111("x\nSteps: 4, Seed: 1, CFG scale: 7, Model: \"a, b: \\\"c\\\"\"").expect("it is enough");
    assert_eq!((recipe.model.as_str(), recipe.guidance), ("a, b: \"c\"", 7.0));
    let recipe =
        a1111("x\nSteps: 4, odd, Seed: 1, CFG scale: 7").expect("a word without a value is passed over");
    assert_eq!((recipe.model.as_str(), recipe.seed), ("unknown", 1));
}

#[test]
fn parameters_that_are_none_say_what_is_wrong() {
    for (text, part) in [
        ("a red fox", "no line that begins with Steps:"),
        ("x\nSteps: 4, Seed: 1", "its guidance"),
        ("x\nSteps: 4, CFG scale: 1", "its seed"),
        ("x\nSteps: 4, CFG scale: 1, Seed: -1", "its seed"),
        ("x\nSteps: 900, CFG scale: 1, Seed: 1", "steps 900"),
        ("x\nSteps: 4, CFG scale: nan, Seed: 1", "guidance NaN"),
        ("Steps: 4, CFG scale: 1, Seed: 1", "the prompt is empty"),
        ("Negative prompt: a\nSteps: 4, CFG scale: 1, Seed: 1", "the prompt is empty"),
        ("<lora:x\nSteps: 4, CFG scale: 1, Seed: 1", "no tag of a LoRA"),
        ("x\nSteps: 4, Seed: \"1", "its guidance"),
    ] {
        let error = a1111(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text:?}: {error}");
    }
    let tags = "<lora:a:1>".repeat(LORAS_MAX + 1);
    assert!(matches!(
        a1111(&format!("x {tags}\nSteps: 4, CFG scale: 1, Seed: 1")),
        Err(Unusable::Job(JobError::Loras(_)))
    ));
}

#[test]
fn a_picture_that_was_enlarged_is_of_the_size_that_it_was_drawn_in() {
    let text = "x\nSteps: 4, CFG scale: 1, Seed: 1, Size: 64x48";
    let (recipe, _) = examine(&png((100, 75), &[("parameters", text)])).expect("it says so");
    assert_eq!(recipe.size, Size::new(64, 48).expect("on the grid"));
    let error = examine(&png((100, 75), &[("parameters", "x\nSteps: 4, CFG scale: 1, Seed: 1")]));
    assert!(
        matches!(error, Err(Unusable::Job(JobError::Size { side: "width", value: 100, .. }))),
        "{error:?}"
    );
}

/// FLUX.1 with its own sampler nodes; the text comes from a node that holds it.
const ADVANCED: &str = r#"{
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["30", 0], "clip": ["11", 0]}, "_meta": {"title": "x"}},
    "30": {"class_type": "PrimitiveString", "inputs": {"value": "a red fox"}, "is_changed": [NaN, -Infinity]},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["13", 0], "vae": ["10", 0]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "NaN \" Infinity", "images": ["8", 0]}},
    "12": {"class_type": "UNETLoader", "inputs": {"unet_name": "FLUX1\\flux1-dev.safetensors", "weight_dtype": "fp8"}},
    "13": {"class_type": "SamplerCustomAdvanced", "inputs": {"noise": ["25", 0], "guider": ["22", 0],
        "sampler": ["16", 0], "sigmas": ["17", 0], "latent_image": ["27", 0]}},
    "16": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
    "17": {"class_type": "BasicScheduler", "inputs": {"scheduler": "simple", "steps": 20, "denoise": 1.0, "model": ["31", 0]}},
    "22": {"class_type": "BasicGuider", "inputs": {"model": ["31", 0], "conditioning": ["26", 0]}},
    "25": {"class_type": "RandomNoise", "inputs": {"noise_seed": 219670278747233}},
    "26": {"class_type": "FluxGuidance", "inputs": {"guidance": 2.5, "conditioning": ["6", 0]}},
    "27": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 1024, "height": 1024, "batch_size": 1}},
    "31": {"class_type": "LoraLoaderModelOnly", "inputs": {"lora_name": "ink.safetensors", "strength_model": 1, "model": ["12", 0]}}
}"#;

#[test]
fn the_graph_of_flux_in_comfyui_is_followed() {
    let recipe = comfy(ADVANCED).expect("it is whole");
    assert_eq!((recipe.prompt.as_str(), recipe.model.as_str()), ("a red fox", "flux1-dev"));
    assert_eq!((recipe.steps, recipe.guidance, recipe.seed), (20, 2.5, 219_670_278_747_233));
    let plain =
        comfy(&ADVANCED.replace("\"guidance\": 2.5, ", "")).expect("ComfyUI has a guidance of its own");
    assert_eq!(plain.guidance, 3.5);
}

#[test]
fn the_positive_prompt_of_a_plain_sampler_is_taken_and_that_of_what_is_saved() {
    let graph = |images: &str| {
        let sampler = |id: u32, seed: u32, text: &str| {
            format!(
                r#""{id}": {{"class_type": "KSampler", "inputs": {{"seed": {seed}, "steps": 8, "cfg": 4.5,
                "negative": ["{id}1", 0], "positive": ["{id}2", 0], "latent_image": ["5", 0], "model": ["4", 0]}}}},
                "{id}1": {{"class_type": "CLIPTextEncode", "inputs": {{"text": "ugly"}}}},
                "{id}2": {{"class_type": "ControlNetApply", "inputs": {{"negative": ["{id}1", 0], "positive": ["{id}3", 0]}}}},
                "{id}3": {{"class_type": "CLIPTextEncode", "inputs": {{"text": "{text}"}}}},"#
            )
        };
        let (one, two) = (sampler(1, 10, "first"), sampler(2, 20, "second"));
        format!(
            r#"{{{one}{two} "4": {{"class_type": "CheckpointLoaderSimple", "inputs": {{"ckpt_name": "a/b.ckpt"}}}},
            "5": {{"class_type": "EmptyLatentImage", "inputs": {{"width": 64, "height": 32}}}},
            "9": {{"class_type": "SaveImage", "inputs": {{"images": {images}}}}}}}"#
        )
    };
    for (images, prompt, seed) in
        [(r#"["2", 0]"#, "second", 20), (r#"["1", 0]"#, "first", 10), ("7", "first", 10)]
    {
        let recipe = comfy(&graph(images)).expect("it is whole");
        assert_eq!((recipe.prompt.as_str(), recipe.seed, recipe.guidance), (prompt, seed, 4.5), "{images}");
        assert_eq!(recipe.model.as_str(), "b");
    }
}

#[test]
fn graphs_that_are_none_or_go_in_circles_end() {
    let circle = r#"{"1": {"class_type": "KSampler", "inputs": {"positive": ["1", 0], "latent_image": ["2", 0]}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "text": ["1", 0]}}}"#;
    for (json, part) in [
        ("", "no JSON object"),
        ("[]", "no JSON object"),
        ("{}", "no node of it draws"),
        (r#"{"1": 5, "2": {"class_type": 7}}"#, "no node of it draws"),
        (circle, "the prompt is empty"),
        (&"[".repeat(100_000), "no JSON object"),
    ] {
        let error = comfy(json).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn what_says_nothing_is_told_from_what_says_it_in_another_way() {
    assert_eq!(examine(&png((16, 16), &[])), Err(Unusable::Silent));
    assert_eq!(examine(&png((16, 16), &[("workflow", "{}")])), Err(Unusable::WorkflowOnly));
    assert!(matches!(examine(b"GIF89a"), Err(Unusable::Png(PngError::NotPng { .. }))));
    let newer = r#"{"version": 999, "program": "flux-tui 99", "recipe": {}}"#;
    let error = examine(&png((16, 16), &[(png::KEYWORD, newer), ("parameters", "x\nSteps: 1")]));
    assert!(matches!(error, Err(Unusable::Recipe(RecipeError::Newer { found: 999 }))), "{error:?}");
}
