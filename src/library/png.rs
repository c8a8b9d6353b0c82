//! Pictures as PNG files: the pixels, and in text chunks all that is needed to draw them again.
//!
//! Two chunks are written, both before the pixels. `parameters` is what A1111, Forge and the tools
//! that read their files expect: the prompt, then one line of `Name: value` pairs. `flux-tui` is
//! our own: versioned JSON that holds the whole [`Recipe`]. Text that others wrote is read within
//! limits. Nothing here touches the file system.

use std::io::Cursor;

use png::text_metadata::{ITXtChunk, ZTXtChunk};
use png::{BitDepth, ColorType, Compression, Decoder, DecodingError, Encoder, Filter, Info, Limits};
use serde::{Deserialize, Serialize};

use crate::job::grid::GridRecipe;
use crate::job::{self, Recipe, Times, UsedLora};

/// The keyword of our own chunk.
pub const KEYWORD: &str = "flux-tui";
/// The keyword of a contact sheet's.
pub const GRID: &str = "flux-tui-grid";
/// The version of the JSON in it.
pub const VERSION: u32 = 1;
/// The keyword of the chunk that other tools read.
const PARAMETERS: &str = "parameters";
/// The keywords of ComfyUI's chunks.
const COMFY: &str = "prompt";
const WORKFLOW: &str = "workflow";
/// The largest width or height that is read.
pub const SIDE_MAX: u32 = 16_384;
/// What the text chunks of one file may take while they are read. Our longest prompt is one MiB; it
/// is written twice, JSON writes a control character with six, and the decoder holds it twice.
const TEXT_MAX: usize = 32 << 20;
/// A compressed text may unpack to this much.
const UNPACKED_MAX: usize = 8 << 20;

/// Why a PNG could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PngError {
    /// The pixels do not fit the size.
    #[error("a picture of {width}×{height} came with {bytes} bytes instead of {expected}")]
    Pixels {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// What came.
        bytes: usize,
        /// What fits.
        expected: u64,
    },
    /// The encoder failed.
    #[error("the PNG could not be made: {0}")]
    Encode(String),
    /// No bytes at all.
    #[error("the file is empty; a PNG is needed")]
    Empty,
    /// Another kind of file.
    #[error("the file is {found}, not a PNG; only PNG files can be read")]
    NotPng {
        /// What it is, as far as its first bytes tell.
        found: &'static str,
    },
    /// The file ends too early.
    #[error("the PNG is cut short: it ends after {bytes} bytes; copy it again from where it came")]
    Truncated {
        /// Its length.
        bytes: usize,
    },
    /// Too many pixels.
    #[error("the PNG says that it is {width}×{height}; at most {SIDE_MAX}×{SIDE_MAX} are read")]
    TooLarge {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// Too much text.
    #[error("the PNG holds too much text: reading it takes more than {} MiB", TEXT_MAX >> 20)]
    TooMuchText,
    /// Something in it contradicts the format.
    #[error("the PNG is damaged: {0}; copy it again from where it came")]
    Damaged(String),
}

/// Why the chunk of a picture that this program wrote could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// A later program wrote it.
    #[error("its recipe has version {found} and this program reads up to {VERSION}: update flux-tui")]
    Newer {
        /// The version found.
        found: u32,
    },
    /// It was changed, or it is not ours.
    #[error("its recipe cannot be understood: {0}")]
    Malformed(String),
}

/// What a PNG says about itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Our own chunk; `None` when there is none.
    pub recipe: Option<Result<Recipe, RecipeError>>,
    /// Of a contact sheet of ours; `None` when it is none.
    pub grid: Option<Result<GridRecipe, RecipeError>>,
    /// The text that A1111-style tools write, ours included.
    pub parameters: Option<String>,
    /// The graph that ComfyUI ran: JSON.
    pub comfy: Option<String>,
    /// Whether there is a workflow of ComfyUI.
    pub has_workflow: bool,
}

/// What our chunk holds.
#[derive(Serialize, Deserialize)]
struct Chunk {
    version: u32,
    program: String,
    recipe: Recipe,
}

/// Only the version, which must be readable whatever else a later program writes.
#[derive(Deserialize)]
struct ChunkVersion {
    version: u32,
}

/// Makes a PNG of `rgb`: `3 · width · height` bytes, 8-bit, rows from the top. Times are kept to
/// the microsecond.
///
/// # Errors
/// [`PngError::Pixels`] when `rgb` does not fit the recipe's size.
pub fn encode(rgb: &[u8], recipe: &Recipe) -> Result<Vec<u8>, PngError> {
    let (width, height) = (recipe.size.width(), recipe.size.height());
    let expected = u64::from(width) * u64::from(height) * 3;
    if rgb.len() as u64 != expected {
        return Err(PngError::Pixels { width, height, bytes: rgb.len(), expected });
    }
    write(rgb, recipe).map_err(|error| PngError::Encode(error.to_string()))
}

fn write(rgb: &[u8], recipe: &Recipe) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::with_capacity(rgb.len() / 2 + 4096);
    let mut encoder = encoder(&mut bytes, (recipe.size.width(), recipe.size.height()));
    let parameters = parameters(recipe);
    if is_latin1_text(&parameters) {
        encoder.add_text_chunk(PARAMETERS.to_owned(), parameters)?;
    } else {
        encoder.add_itxt_chunk(PARAMETERS.to_owned(), parameters)?;
    }
    encoder.add_itxt_chunk(KEYWORD.to_owned(), chunk_json(recipe))?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(bytes)
}

/// What a contact sheet's chunk holds.
#[derive(Serialize, Deserialize)]
struct GridChunk {
    version: u32,
    program: String,
    grid: GridRecipe,
}

/// Makes the PNG of a contact sheet: `3 · width · height` bytes, as of [`encode`].
///
/// # Errors
/// [`PngError::Encode`].
pub fn encode_sheet(rgb: &[u8], size: (u32, u32), grid: &GridRecipe) -> Result<Vec<u8>, PngError> {
    let chunk = GridChunk { version: VERSION, program: program(), grid: grid.clone() };
    let failed = |error: &dyn std::fmt::Display| PngError::Encode(error.to_string());
    let text = serde_json::to_string(&chunk).map_err(|error| failed(&error))?;
    let mut bytes = Vec::with_capacity(rgb.len() / 2 + text.len());
    let mut encoder = encoder(&mut bytes, size);
    let written = encoder.add_itxt_chunk(GRID.to_owned(), text).and_then(|()| {
        let mut writer = encoder.write_header()?;
        writer.write_image_data(rgb)?;
        writer.finish()
    });
    written.map_err(|error| failed(&error))?;
    Ok(bytes)
}

fn encoder(bytes: &mut Vec<u8>, (width, height): (u32, u32)) -> Encoder<'_, &mut Vec<u8>> {
    let mut encoder = Encoder::new(bytes, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    // For 1024×1024, 14 ms and 586 KB; the default takes 272 ms for as many bytes, and its own
    // choice of filters with Fast 39 ms.
    encoder.set_compression(Compression::Fast);
    encoder.set_filter(Filter::Paeth);
    encoder
}

fn chunk_json(recipe: &Recipe) -> String {
    let recipe = Recipe { times: to_microseconds(recipe.times), ..recipe.clone() };
    let chunk = Chunk { version: VERSION, program: program(), recipe };
    serde_json::to_string(&chunk)
        .expect("a recipe has no map whose keys are not strings, the only thing that JSON refuses")
}

/// Rounded to what a chunk holds: JSON carries six decimals exactly and all sixteen only nearly.
pub(super) fn to_microseconds(times: Times) -> Times {
    let round = |seconds: f64| (seconds * 1e6).round() / 1e6;
    Times {
        load: round(times.load),
        encode: round(times.encode),
        denoise: round(times.denoise),
        decode: round(times.decode),
    }
}

fn program() -> String {
    format!("flux-tui {}", env!("CARGO_PKG_VERSION"))
}

/// The text that A1111-style tools read, as Forge writes it for FLUX.1: `CFG scale` is that of
/// classifier-free guidance, which is not used, and `Distilled CFG Scale` the embedded guidance.
#[must_use]
pub fn parameters(recipe: &Recipe) -> String {
    // PNG forbids NUL in text.
    let prompt = recipe.prompt.as_str().replace('\0', "\u{fffd}") + &tags(recipe);
    format!(
        "{prompt}\nSteps: {}, Sampler: Euler, Schedule type: Simple, CFG scale: 1, \
         Distilled CFG Scale: {}, Seed: {}, Size: {}x{}, Model: {}{}{}, Version: {}",
        recipe.steps,
        recipe.guidance,
        recipe.seed,
        recipe.size.width(),
        recipe.size.height(),
        quoted(recipe.model.as_str()),
        hashes(&recipe.loras),
        template(recipe),
        program(),
    )
}

/// The LoRAs that the prompt has no tags of, as tags: those tools know no other way.
fn tags(recipe: &Recipe) -> String {
    let missing = recipe.loras.iter().filter(|lora| !lora.tagged);
    missing.map(|lora| format!(" <lora:{}:{}>", lora.name().replace('\0', ""), lora.strength)).collect()
}

/// The prompt as it was written, where that has choices.
fn template(recipe: &Recipe) -> String {
    let written = recipe.template.as_ref().map(|it| it.as_str().replace('\0', "\u{fffd}"));
    written.map_or_else(String::new, |it| format!(", Template: {}", serde_json::Value::from(it)))
}

fn hashes(loras: &[UsedLora]) -> String {
    let one = |lora: &UsedLora| format!("{}: {}", lora.name().replace(['\0', ','], ""), lora.hash.short());
    let all: Vec<_> = loras.iter().map(one).collect();
    if all.is_empty() { String::new() } else { format!(", Lora hashes: {}", quoted(&all.join(", "))) }
}

/// A value as those tools expect it: a JSON string when it holds what separates values.
fn quoted(value: &str) -> String {
    if value.contains([',', ':', '\n', '"', '\0']) {
        serde_json::Value::from(value).to_string()
    } else {
        value.to_owned()
    }
}

/// Whether a `tEXt` chunk can hold it: Latin-1, and of the control characters only the line feed.
fn is_latin1_text(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{ff}'))
}

/// Reads what a PNG says about itself, without unpacking its pixels.
///
/// # Errors
/// What is wrong with the file, and what would work. Text chunks that are damaged are skipped, as
/// viewers do.
pub fn read(bytes: &[u8]) -> Result<Metadata, PngError> {
    check_signature(bytes)?;
    let fail = |error| decoding_error(error, bytes.len());
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: TEXT_MAX });
    decoder.set_ignore_iccp_chunk(true);
    let (width, height) = decoder.read_header_info().map_err(fail)?.size();
    if width > SIDE_MAX || height > SIDE_MAX {
        return Err(PngError::TooLarge { width, height });
    }
    let mut reader = decoder.read_info().map_err(fail)?;
    // Some tools write their text after the pixels.
    reader.finish().map_err(fail)?;
    let text = |keyword| find_text(reader.info(), keyword);
    let recipe = text(KEYWORD).map(|text| parse_recipe(&text));
    let (parameters, comfy) = (text(PARAMETERS), text(COMFY));
    let grid = text(GRID).map(|text| parse_grid(&text));
    Ok(Metadata { width, height, recipe, grid, parameters, comfy, has_workflow: text(WORKFLOW).is_some() })
}

/// The recipe of a picture of ours, of the beginning of its file: we write it before the pixels. `None` where it is not
/// there, whatever else may be.
#[must_use]
pub fn recipe_of_beginning(bytes: &[u8]) -> Option<Recipe> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: TEXT_MAX });
    decoder.set_ignore_iccp_chunk(true);
    let reader = decoder.read_info().ok()?;
    find_text(reader.info(), KEYWORD).and_then(|text| parse_recipe(&text).ok())
}

fn parse_grid(text: &str) -> Result<GridRecipe, RecipeError> {
    let malformed = |error: serde_json::Error| RecipeError::Malformed(error.to_string());
    let ChunkVersion { version } = serde_json::from_str(text).map_err(malformed)?;
    if version > VERSION {
        return Err(RecipeError::Newer { found: version });
    }
    Ok(serde_json::from_str::<GridChunk>(text).map_err(malformed)?.grid)
}

fn parse_recipe(text: &str) -> Result<Recipe, RecipeError> {
    let malformed = |error: serde_json::Error| RecipeError::Malformed(error.to_string());
    let ChunkVersion { version } = serde_json::from_str(text).map_err(malformed)?;
    if version > VERSION {
        return Err(RecipeError::Newer { found: version });
    }
    let recipe = serde_json::from_str::<Chunk>(text).map_err(malformed)?.recipe;
    // The other fields check themselves.
    let unusable = |error: job::JobError| RecipeError::Malformed(error.to_string());
    job::check_steps(recipe.steps).map_err(unusable)?;
    job::check_guidance(recipe.guidance).map_err(unusable)?;
    Ok(recipe)
}

/// The first text with that keyword, whichever of the three kinds its chunk is. Text that is
/// damaged, or unpacks to more than [`UNPACKED_MAX`], is as good as none.
fn find_text(info: &Info<'_>, keyword: &str) -> Option<String> {
    let plain = info.uncompressed_latin1_text.iter().find(|chunk| chunk.keyword == keyword);
    let utf8 = info.utf8_text.iter().find(|chunk| chunk.keyword == keyword);
    let packed = info.compressed_latin1_text.iter().find(|chunk| chunk.keyword == keyword);
    plain
        .map(|chunk| chunk.text.clone())
        .or_else(|| utf8.and_then(unpack_itxt))
        .or_else(|| packed.and_then(unpack_ztxt))
}

fn unpack_itxt(chunk: &ITXtChunk) -> Option<String> {
    let mut chunk = chunk.clone();
    chunk.decompress_text_with_limit(UNPACKED_MAX).and_then(|()| chunk.get_text()).ok()
}

fn unpack_ztxt(chunk: &ZTXtChunk) -> Option<String> {
    let mut chunk = chunk.clone();
    chunk.decompress_text_with_limit(UNPACKED_MAX).and_then(|()| chunk.get_text()).ok()
}

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];

fn check_signature(bytes: &[u8]) -> Result<(), PngError> {
    if bytes.is_empty() {
        return Err(PngError::Empty);
    }
    if bytes.starts_with(&SIGNATURE) {
        return Ok(());
    }
    if SIGNATURE.starts_with(bytes) {
        return Err(PngError::Truncated { bytes: bytes.len() });
    }
    Err(PngError::NotPng { found: kind(bytes) })
}

/// What else people hand to a picture viewer.
fn kind(bytes: &[u8]) -> &'static str {
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    match bytes {
        _ if at(0, &[0xff, 0xd8, 0xff]) => "a JPEG picture",
        _ if at(0, b"RIFF") && at(8, b"WEBP") => "a WebP picture",
        _ if at(0, b"GIF8") => "a GIF picture",
        _ if at(4, b"ftypavif") => "an AVIF picture",
        _ if at(0, b"BM") => "a BMP picture",
        _ if at(0, b"PK\x03\x04") => "a ZIP archive (or a PyTorch file)",
        _ if at(0, b"GGUF") => "a GGUF model",
        _ if at(8, b"{\"") => "a safetensors model",
        _ if at(0, b"<") || at(0, b"\xef\xbb\xbf<") => "a web page or XML",
        _ if std::str::from_utf8(&bytes[..bytes.len().min(64)]).is_ok() => "text",
        _ => "of an unknown kind",
    }
}

fn decoding_error(error: DecodingError, bytes: usize) -> PngError {
    match error {
        DecodingError::IoError(_) => PngError::Truncated { bytes },
        DecodingError::LimitsExceeded => PngError::TooMuchText,
        DecodingError::Format(error) => PngError::Damaged(error.to_string()),
        DecodingError::Parameter(error) => PngError::Damaged(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
