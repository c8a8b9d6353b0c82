//! What is written is read back exactly; what others cut, changed or made up never panics and
//! never takes more memory than the limits allow.

use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::job::{PROMPT_BYTES, Prompt, Size, TokenCount};
use crate::model::ModelName;
use png::text_metadata::TEXtChunk;

fn recipe(prompt: &str) -> Recipe {
    Recipe {
        template: None,
        prompt: Prompt::new(prompt).expect("text"),
        model: ModelName::new("nano"),
        size: Size::new(32, 16).expect("on the grid"),
        steps: 20,
        guidance: 3.0,
        seed: 1_839_202_211,
        precision: "fp32 from fp8 e4m3 weights, CPU".to_owned(),
        cuts: vec![TokenCount {
            encoder: job::Encoder::T5,
            tokens: 40,
            limit: 32,
            cut_at: Some(3),
            unknown: 1,
        }],
        times: Times { load: 0.5, encode: 0.25, denoise: 1.0, decode: 0.125 },
        loras: Vec::new(),
    }
}

fn pixels(recipe: &Recipe) -> Vec<u8> {
    let bytes = recipe.size.width() * recipe.size.height() * 3;
    (0..bytes).map(|index| u8::try_from(index % 251).expect("under 251")).collect()
}

fn png_of(recipe: &Recipe) -> Vec<u8> {
    encode(&pixels(recipe), recipe).expect("the pixels fit")
}

/// A PNG of one white pixel with the chunks of `write` before it.
fn foreign(write: impl FnOnce(&mut png::Writer<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Encoder::new(&mut bytes, 1, 1).write_header().expect("a vector takes all");
    write(&mut writer);
    writer.write_image_data(&[255]).expect("one pixel");
    writer.finish().expect("a vector takes all");
    bytes
}

#[test]
fn the_parameters_are_what_forge_writes_for_flux() {
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "a red apple\nSteps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, \
         Distilled CFG Scale: 3, Seed: 1839202211, Size: 32x16, Model: nano, Version: flux-tui {version}"
    );
    assert_eq!(parameters(&recipe("a red apple")), expected);
    let odd = Recipe { model: ModelName::new("a, \"b\": c"), guidance: 3.5, ..recipe("x") };
    let text = parameters(&odd);
    assert!(text.contains(r#"Model: "a, \"b\": c", Version"#) && text.contains("Scale: 3.5,"), "{text}");
}

#[test]
fn a_prompt_with_choices_is_there_as_it_was_written_and_as_it_was_drawn() {
    let written = Prompt::new("a {red|blue} \"fox\",\n雪").expect("text");
    let recipe = Recipe { template: Some(written.clone()), ..recipe("a red \"fox\",\n雪") };
    let metadata = read(&png_of(&recipe)).expect("ours");
    let read = metadata.recipe.expect("there is one").expect("ours");
    assert_eq!((read.prompt, read.template), (recipe.prompt.clone(), Some(written)));
    let text = metadata.parameters.expect("other tools read it");
    assert!(text.starts_with("a red \"fox\",\n雪\n"), "{text}");
    assert!(text.contains(r#", Template: "a {red|blue} \"fox\",\n雪", Version"#), "{text}");
}

#[test]
fn text_is_latin_1_where_it_can_be_and_utf_8_where_not() {
    for (prompt, kind) in
        [("una niña", b"tEXtparameters\0"), ("测试 🚲", b"iTXtparameters\0"), ("a\tb", b"iTXtparameters\0")]
    {
        let png = png_of(&recipe(prompt));
        assert!(png.windows(kind.len()).any(|window| window == kind), "{prompt} is in another kind of chunk");
    }
}

#[test]
fn the_pixels_are_what_was_given() {
    let recipe = recipe("x");
    let png = png_of(&recipe);
    let decoded = image::load_from_memory_with_format(&png, image::ImageFormat::Png).expect("a PNG");
    assert_eq!(decoded.to_rgb8().into_raw(), pixels(&recipe));
}

#[test]
fn pixels_that_do_not_fit_are_refused() {
    let expected = PngError::Pixels { width: 32, height: 16, bytes: 3, expected: 1536 };
    assert_eq!(encode(&[0; 3], &recipe("x")), Err(expected));
}

#[test]
fn a_nul_in_the_prompt_is_kept_in_the_recipe_and_replaced_in_the_parameters() {
    let metadata = read(&png_of(&recipe("a\0b"))).expect("ours");
    assert_eq!(metadata.recipe.expect("there").expect("readable").prompt.as_str(), "a\0b");
    assert!(metadata.parameters.expect("there").starts_with("a\u{fffd}b\n"));
}

#[test]
fn the_longest_prompt_goes_through() {
    // Six bytes each in JSON, three each in the parameters.
    let prompt = "\0".repeat(PROMPT_BYTES);
    let metadata = read(&png_of(&recipe(&prompt))).expect("ours");
    assert_eq!(metadata.recipe.expect("there").expect("readable").prompt.as_str(), prompt);
}

#[test]
fn files_of_other_kinds_are_named() {
    let kinds: [(&[u8], &str); 7] = [
        (b"\xff\xd8\xff\xe0 JFIF", "JPEG"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
        (b"GIF89a", "GIF"),
        (b"<html>", "web page"),
        (b"\x20\0\0\0\0\0\0\0{\"a\":1}", "safetensors"),
        (b"hello", "text"),
        (b"\xfe\xed\xfa\xce", "unknown"),
    ];
    for (bytes, kind) in kinds {
        let message = read(bytes).expect_err("not a PNG").to_string();
        assert!(message.contains(kind) && message.contains("only PNG"), "{kind}: {message}");
    }
    assert_eq!(read(b""), Err(PngError::Empty));
    assert_eq!(read(b"\x89PNG"), Err(PngError::Truncated { bytes: 4 }));
}

#[test]
fn a_picture_of_others_has_no_recipe() {
    let plain = read(&foreign(|_| {})).expect("a PNG");
    assert_eq!(plain, Metadata { width: 1, height: 1, ..Metadata::default() });
    let forge = read(&foreign(|writer| {
        let chunk = ZTXtChunk::new(PARAMETERS, "a cat\nSteps: 20");
        writer.write_text_chunk(&chunk).expect("a vector takes all");
    }));
    assert_eq!(forge.expect("a PNG").parameters.as_deref(), Some("a cat\nSteps: 20"));
}

#[test]
fn a_recipe_that_cannot_be_used_says_why_and_leaves_the_rest() {
    let with = |json: &str| {
        let chunk = ITXtChunk::new(KEYWORD, json);
        let png = foreign(|writer| writer.write_text_chunk(&chunk).expect("a vector takes all"));
        read(&png).expect("a PNG").recipe.expect("a chunk of ours")
    };
    assert_eq!(with(r#"{"version": 2, "recipe": []}"#), Err(RecipeError::Newer { found: 2 }));
    assert!(matches!(with("{"), Err(RecipeError::Malformed(_))));
    assert!(matches!(with(r#"{"version": 1}"#), Err(RecipeError::Malformed(_))));
    let steps = chunk_json(&Recipe { steps: u32::MAX, ..recipe("x") });
    assert!(with(&steps).expect_err("too many").to_string().contains("steps"));
    let size = chunk_json(&recipe("x")).replace("[32,16]", "[33,16]");
    assert!(with(&size).expect_err("off the grid").to_string().contains("width 33"));
}

#[test]
fn a_compressed_bomb_is_left_out() {
    let bomb = "x".repeat(UNPACKED_MAX + 1);
    let metadata = read(&foreign(|writer| {
        let mut chunk = ITXtChunk::new(KEYWORD, bomb.clone());
        chunk.compressed = true;
        writer.write_text_chunk(&chunk).expect("a vector takes all");
        writer.write_text_chunk(&ZTXtChunk::new(PARAMETERS, bomb)).expect("a vector takes all");
    }));
    let metadata = metadata.expect("a PNG");
    assert_eq!((metadata.recipe, metadata.parameters), (None, None));
}

#[test]
fn more_text_than_the_limit_is_an_error() {
    let png = foreign(|writer| {
        writer
            .write_text_chunk(&TEXtChunk::new("Comment", "x".repeat(TEXT_MAX + 1)))
            .expect("a vector takes all");
    });
    assert_eq!(read(&png), Err(PngError::TooMuchText));
}

#[test]
fn a_size_that_no_picture_has_is_an_error_before_anything_is_allocated() {
    let mut png = foreign(|_| {});
    png[16..20].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    assert_eq!(read(&png), Err(PngError::TooLarge { width: 0x7fff_ffff, height: 1 }));
}

#[test]
fn a_chunk_that_claims_four_gigabytes_is_cut_short() {
    let mut png = png_of(&recipe("x"));
    png[33..37].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    let error = read(&png).expect_err("no such length");
    assert!(matches!(error, PngError::Truncated { .. } | PngError::TooMuchText), "{error}");
}

/// The checksum of a chunk: its type and contents.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

fn any_recipe() -> impl Strategy<Value = Recipe> {
    let seconds = || (0..10_000_000_000_u64).prop_map(|micros| micros as f64 / 1e6);
    let prompt = prop_oneof![any::<String>(), "[一-龥]{1,40}", "[ -~]{1,80}", "\\p{Emoji}{1,20}"];
    let prompt = prompt.prop_filter_map("only white space", |text| Prompt::new(text).ok());
    let side = || (1..=4_u32).prop_map(|blocks| blocks * 16);
    (
        prompt,
        side(),
        side(),
        1..=200_u32,
        0.0..=100.0_f32,
        any::<u64>(),
        [seconds(), seconds(), seconds(), seconds()],
    )
        .prop_map(|(prompt, width, height, steps, guidance, seed, [load, encode, denoise, decode])| {
            Recipe {
                template: None,
                prompt,
                size: Size::new(width, height).expect("on the grid"),
                steps,
                guidance,
                seed,
                times: Times { load, encode, denoise, decode },
                loras: Vec::new(),
                ..recipe("x")
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_recipe_comes_back_exactly(recipe in any_recipe()) {
        let metadata = read(&png_of(&recipe)).expect("ours");
        prop_assert_eq!((metadata.width, metadata.height), (recipe.size.width(), recipe.size.height()));
        prop_assert_eq!(metadata.parameters, Some(parameters(&recipe)));
        prop_assert_eq!(metadata.recipe, Some(Ok(recipe)));
    }

    #[test]
    fn a_file_that_ends_early_is_an_error(recipe in any_recipe(), part in 0.0..1.0_f64) {
        let png = png_of(&recipe);
        let end = (png.len() as f64 * part) as usize;
        let error = read(&png[..end]).expect_err("it ends early");
        prop_assert!(matches!(error, PngError::Truncated { .. } | PngError::Empty), "{error}");
    }

    #[test]
    fn changed_bytes_never_panic(recipe in any_recipe(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut png = png_of(&recipe);
        for (at, byte) in changes {
            let at = at.index(png.len());
            png[at] = byte;
        }
        let _ = read(&png);
    }

    #[test]
    fn made_up_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut png = SIGNATURE.to_vec();
        png.write_all(&bytes).expect("a vector takes all");
        let _ = (read(&png), read(&bytes));
    }
}
