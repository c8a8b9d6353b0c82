//! The clipboard of the terminal, also of one at the other end of ssh: OSC 52.
//!
//! <https://invisible-island.net/xterm/ctlseqs/ctlseqs.html>, "Manipulate Selection Data"

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::tmux;

/// The most bytes that are copied. Terminals drop longer sequences, the strictest beyond 74,994 characters of base64.
pub const COPY_MAX: usize = 74_994 / 4 * 3;
/// GNU screen takes no longer string at once.
const SCREEN_PIECE: usize = 700;

/// What stands between the studio and the terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Between {
    /// Nothing that would have to be passed through.
    #[default]
    Nothing,
    /// tmux: it passes on what is wrapped (`allow-passthrough`), or takes it itself (`set-clipboard on`).
    Tmux,
    /// GNU screen.
    Screen,
    /// zellij: it takes the clipboard's sequence itself.
    Zellij,
}

impl Between {
    /// Of this process, by its environment.
    #[must_use]
    pub fn read() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if set("TMUX") {
            Self::Tmux
        } else if set("STY") {
            Self::Screen
        } else if set("ZELLIJ") {
            Self::Zellij
        } else {
            Self::Nothing
        }
    }
}

/// Why a text was not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes are too many for a terminal's clipboard, which takes {COPY_MAX}")]
pub struct TooLong {
    /// How many it has.
    pub bytes: usize,
}

/// Whether a text can be copied.
///
/// # Errors
/// [`TooLong`].
pub fn check(text: &str) -> Result<(), TooLong> {
    if text.len() > COPY_MAX { Err(TooLong { bytes: text.len() }) } else { Ok(()) }
}

/// The bytes that put a text on the clipboard; [`check`] it before.
#[must_use]
pub fn copy(text: &str, between: Between) -> String {
    let plain = format!("\x1b]52;c;{}\x07", BASE64_STANDARD.encode(text));
    match between {
        Between::Nothing | Between::Zellij => plain,
        // Both ways: which of them tmux is set to take, nobody can ask it.
        Between::Tmux => plain.clone() + &tmux::wrapped(&plain),
        Between::Screen => {
            let mut wrapped = String::with_capacity(plain.len() + plain.len() / SCREEN_PIECE * 4 + 8);
            // The sequence is ASCII: it can be cut anywhere.
            for piece in plain.as_bytes().chunks(SCREEN_PIECE) {
                wrapped.push_str("\x1bP");
                wrapped.push_str(&String::from_utf8_lossy(piece));
                wrapped.push_str("\x1b\\");
            }
            wrapped
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_script_in_base64() {
        assert_eq!(copy("a red fox", Between::Nothing), "\x1b]52;c;YSByZWQgZm94\x07");
        assert_eq!(copy("狐狸", Between::Nothing), "\x1b]52;c;54uQ54u4\x07");
    }

    #[test]
    fn tmux_and_screen_pass_it_on() {
        assert_eq!(
            copy("fox", Between::Tmux),
            "\x1b]52;c;Zm94\x07\x1bPtmux;\x1b\x1b]52;c;Zm94\x07\x1b\\",
            "each escape inside is doubled"
        );
        let long = copy(&"fox ".repeat(600), Between::Screen);
        let pieces: Vec<_> = long.split_inclusive("\x1b\\").collect();
        assert!(pieces.len() > 3 && pieces.iter().all(|piece| piece.len() <= SCREEN_PIECE + 4));
        let whole = long.replace("\x1b\\", "").replace("\x1bP", "");
        assert_eq!(whole, copy(&"fox ".repeat(600), Between::Nothing));
    }

    #[test]
    fn what_terminals_would_drop_is_refused_before() {
        assert_eq!(check(&"a".repeat(COPY_MAX)), Ok(()));
        let refused = check(&"a".repeat(COPY_MAX + 1)).expect_err("too long").to_string();
        assert!(refused.contains("56245 bytes are too many") && refused.contains("56244"), "{refused}");
        assert!(copy(&"a".repeat(COPY_MAX), Between::Nothing).len() < 75_010);
    }
}
