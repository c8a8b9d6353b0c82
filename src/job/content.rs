//! What a file holds, as far as a length and a hash tell it from all others; and what a prompt is looked up by.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::JobError;

/// Length and SHA-256 of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawContent", into = "RawContent")]
pub struct Content {
    /// Its length.
    pub bytes: u64,
    /// Its hash.
    pub sha256: [u8; 32],
}

/// As it is written: the hash in hexadecimal.
#[derive(Serialize, Deserialize)]
struct RawContent {
    bytes: u64,
    sha256: String,
}

impl Content {
    /// Of all bytes of a file.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, sha256: Sha256::digest(bytes).into() }
    }
}

impl From<Content> for RawContent {
    fn from(content: Content) -> Self {
        let sha256 = content.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { bytes: content.bytes, sha256 }
    }
}

impl TryFrom<RawContent> for Content {
    type Error = JobError;
    fn try_from(raw: RawContent) -> Result<Self, JobError> {
        let RawContent { bytes, sha256 } = raw;
        let wrong = || JobError::ContentHash(sha256.chars().take(80).collect());
        if sha256.len() != 64 || !sha256.is_ascii() {
            return Err(wrong());
        }
        let mut digest = [0; 32];
        for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&sha256[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self { bytes, sha256: digest })
    }
}

/// What the seeds of a prompt are found by: SHA-256 of its words with one blank between any two. So line ends, blanks at
/// the ends and runs of blanks make no other prompt (white space is Unicode's); everything else does, the case of letters
/// and tags of LoRAs too.
#[must_use]
pub fn prompt_key(prompt: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (index, word) in prompt.split_whitespace().enumerate() {
        if index > 0 {
            hash.update(b" ");
        }
        hash.update(word);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_written_in_hexadecimal_and_read_back() {
        let content = Content::of(b"a picture");
        let json = serde_json::to_value(content).expect("it can be written");
        assert_eq!(json["bytes"], 9);
        let digits = json["sha256"].as_str().expect("text").to_owned();
        assert_eq!(digits.len(), 64);
        assert_eq!(serde_json::from_value::<Content>(json).expect("it can be read"), content);
        for bad in [&digits[1..], &digits.replace(&digits[..1], "x"), &"é".repeat(32)] {
            let json = serde_json::json!({ "bytes": 9, "sha256": bad });
            assert!(serde_json::from_value::<Content>(json).is_err(), "{bad}");
        }
    }

    #[test]
    fn white_space_makes_no_other_prompt_and_all_else_does() {
        let key = prompt_key("a red fox");
        assert_eq!(prompt_key("  a\tred\r\n\u{3000}fox\n"), key);
        for other in ["a redfox", "a Red fox", "a red fox.", "a red", ""] {
            assert_ne!(prompt_key(other), key, "{other:?}");
        }
        assert_eq!(key, <[u8; 32]>::from(Sha256::digest("a red fox")));
    }
}
