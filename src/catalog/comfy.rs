//! ComfyUI's `extra_model_paths.yaml`: which folders it looks for models in beside its own.
//!
//! Read by hand, and only what ComfyUI's own example has: sections at the left edge, in each `key: value`, where a value
//! is a path, a path in quotes, or after `|` a path a line. No crate is used: serde_yaml is not kept any more, and a whole
//! YAML reader, with anchors that unfold into each other, is much for a file of three forms. What is not understood is
//! passed over; nothing is allocated that is longer than the text.

use std::path::{Path, PathBuf};

/// The keys whose folders may have parts of FLUX.1: the others are of LoRAs, upscalers, nodes.
pub const KEYS: [&str; 6] = ["checkpoints", "clip", "diffusion_models", "text_encoders", "unet", "vae"];
/// More folders are not taken.
const FOLDERS_MAX: usize = 256;

/// One `key: value` of a section; of a block every line of it.
struct Setting<'t> {
    key: &'t str,
    values: Vec<&'t str>,
}

/// The folders that the file's text names under these keys: whole paths. `beside` is the folder that the
/// file is in, `lookup` gives variables of the environment.
#[must_use]
pub fn folders(
    text: &str,
    keys: &[&str],
    beside: &Path,
    lookup: impl Fn(&str) -> Option<PathBuf>,
) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for section in sections(text) {
        let base = section.iter().find(|setting| setting.key == "base_path");
        let base = base.and_then(|setting| setting.values.first()).map(|path| expanded(path, &lookup));
        let base = base.map_or_else(|| beside.to_owned(), |base| beside.join(base));
        let wanted = section.iter().filter(|setting| keys.contains(&setting.key));
        found.extend(wanted.flat_map(|setting| &setting.values).map(|path| base.join(path)));
    }
    found.retain(|folder| folder.is_absolute());
    found.truncate(FOLDERS_MAX);
    found
}

/// The settings of each section.
fn sections(text: &str) -> Vec<Vec<Setting<'_>>> {
    let mut sections: Vec<Vec<Setting<'_>>> = Vec::new();
    // How far in the keys of the section are, and the key of the block that is being read.
    let (mut keys_at, mut block_at) = (None, None);
    for line in text.trim_start_matches('\u{feff}').lines() {
        let content = line.trim();
        let indent = line.len() - line.trim_start_matches(' ').len();
        if content.is_empty() {
            continue;
        }
        if block_at.is_some_and(|at| indent > at) {
            let setting = sections.last_mut().and_then(|section| section.last_mut());
            setting.into_iter().for_each(|setting| setting.values.push(content));
            continue;
        }
        block_at = None;
        let Some((key, value)) = key_and_value(content) else { continue };
        if indent == 0 {
            sections.push(Vec::new());
            keys_at = None;
            continue;
        }
        let Some(section) = sections.last_mut().filter(|_| *keys_at.get_or_insert(indent) == indent) else {
            continue;
        };
        let is_block = matches!(value, "|" | "|-" | "|+");
        block_at = is_block.then_some(indent);
        let values = if is_block || value.is_empty() { Vec::new() } else { vec![value] };
        section.push(Setting { key, values });
    }
    sections
}

/// `key: value`, without quotes and comments; `None` for anything else.
fn key_and_value(content: &str) -> Option<(&str, &str)> {
    if content.starts_with(['#', '-']) {
        return None;
    }
    let (key, value) = content.split_once(": ").or_else(|| Some((content.strip_suffix(':')?, "")))?;
    let value = value.trim();
    let quoted = |quote: char| value.strip_prefix(quote)?.split_once(quote).map(|(inside, _)| inside);
    let plain = || match value.starts_with('#') {
        true => "",
        false => value.split(" #").next().unwrap_or_default().trim_end(),
    };
    Some((key.trim_matches(['"', '\'']), quoted('"').or_else(|| quoted('\'')).unwrap_or_else(plain)))
}

/// A path with `~` and a variable at its beginning put in place.
fn expanded(path: &str, lookup: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let name = match first.strip_prefix('$') {
        _ if first == "~" => "HOME",
        Some(name) => name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name),
        None => return PathBuf::from(path),
    };
    lookup(name).map_or_else(|| PathBuf::from(path), |value| value.join(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<PathBuf> {
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/me"));
        folders(text, &KEYS, Path::new("/comfy"), home)
    }

    #[test]
    fn what_comfyui_writes_is_read() {
        let text = "#Rename this to extra_model_paths.yaml\n\n#config for a1111 ui\na111:\n    base_path: /a/web ui/\n\n    \
                    checkpoints: models/Stable-diffusion\n    configs: models/Stable-diffusion\n    vae: models/VAE # all\n    \
                    loras: |\n         models/Lora\n         models/LyCORIS\n\ncomfyui:\n     base_path: ~/data\n     \
                    is_default: true\n     text_encoders: |\n          models/text_encoders/\n          models/clip/  # legacy\n     \
                    unet: \"模 型\"\n";
        let expected = [
            "/a/web ui/models/Stable-diffusion",
            "/a/web ui/models/VAE",
            "/home/me/data/models/text_encoders/",
            "/home/me/data/models/clip/  # legacy",
            "/home/me/data/模 型",
        ];
        assert_eq!(read(text), expected.map(PathBuf::from));
    }

    #[test]
    fn paths_are_relative_to_the_file_or_whole_as_they_are() {
        assert_eq!(read("a:\n  unet: m\n  vae: '/v'\n"), ["/comfy/m", "/v"].map(PathBuf::from));
        assert_eq!(read("a:\n  base_path: ${HOME}/x\n  clip: c\n"), [PathBuf::from("/home/me/x/c")]);
        assert_eq!(
            read("a:\n  base_path: sub\n  clip: c\nb:\n  clip: d\n"),
            ["/comfy/sub/c", "/comfy/d"].map(PathBuf::from)
        );
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        for text in [
            "",
            "a",
            "a:",
            "a: b",
            "  unet: /x",
            "a:\n  unet:\n",
            "a:\n  - unet: /x\n",
            "a: {unet: /x}\n",
            "\t:\n",
        ] {
            assert_eq!(read(text), [] as [PathBuf; 0], "{text:?}");
        }
        assert_eq!(read("a:\n  unet: /x\n      vae: /deeper\n  clip: /y\n"), ["/x", "/y"].map(PathBuf::from));
        let bomb = "a: &a\n  unet: [*a, *a, *a]\n".repeat(1000);
        assert!(read(&bomb).len() <= FOLDERS_MAX);
        let many = format!("a:\n  unet: |\n{}", "    /x\n".repeat(10_000));
        assert_eq!(read(&many).len(), FOLDERS_MAX);
    }
}
