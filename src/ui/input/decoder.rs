//! The state machine from bytes to [`Input`]s.
//!
//! Fed with any split of the same bytes it gives the same inputs; only silence ([`Decoder::quiet`])
//! decides whether an escape was the key. Its memory is bounded: sequences that are too long are
//! dropped whole, pastes are cut at [`PROMPT_BYTES`].

use crossterm::event::{KeyCode, KeyModifiers};

use super::{Input, csi, key, strings};
use crate::job::PROMPT_BYTES;

/// The longest control sequence that is kept; the longest that terminals send is a tenth of it.
const SEQUENCE_BYTES: usize = 256;
/// The longest string (OSC, DCS, APC) that is kept.
const STRING_BYTES: usize = 4096;
const ESC: u8 = 0x1b;
const PASTE_END: &[u8] = b"\x1b[201~";

/// Bytes in, inputs out.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// What has been collected of a sequence, string or character.
    held: Vec<u8>,
    paste: Paste,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    /// Inside a UTF-8 character of this many bytes.
    Utf8 { length: usize, alt: bool },
    /// After ESC.
    Escape,
    /// After ESC O.
    Ss3,
    /// After ESC [.
    Csi,
    /// A control sequence that became too long: skipped to its final byte.
    CsiTooLong,
    /// After ESC [ M, the oldest form of mouse report: three bytes follow.
    X10Mouse,
    /// After ESC [ [, the Linux console's F1 to F5.
    LinuxFunction,
    /// Inside OSC, DCS, APC, PM or SOS; the byte that opened it.
    Text { opened: u8, escaped: bool, too_long: bool },
    /// Inside a bracketed paste.
    Paste,
}

#[derive(Debug, Default)]
struct Paste {
    bytes: Vec<u8>,
    dropped: usize,
    /// How many bytes of [`PASTE_END`] have been seen.
    matched: usize,
}

impl Decoder {
    /// Decodes `bytes`, appending to `out`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<Input>) {
        for &byte in bytes {
            self.byte(byte, out);
        }
    }

    /// Whether something is held that silence would settle.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.state != State::Ground
    }

    /// Whether what is held may be a lone Escape key, or Alt with `[`, `O`, `]`, `P` or `_`: the
    /// short wait is meant for it. Anything longer is a sequence whose rest is late.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        match self.state {
            State::Escape | State::Ss3 => true,
            State::Csi => self.held.is_empty(),
            State::Text { escaped, .. } => self.held.is_empty() && !escaped,
            _ => false,
        }
    }

    /// Whether a paste has begun and not ended.
    #[must_use]
    pub fn is_pasting(&self) -> bool {
        self.state == State::Paste
    }

    /// Nothing came for a while: what is held is taken for what it is.
    pub fn quiet(&mut self, out: &mut Vec<Input>) {
        let alt = |character: char| key(KeyCode::Char(character), KeyModifiers::ALT);
        match self.state {
            State::Escape => out.push(key(KeyCode::Esc, KeyModifiers::NONE)),
            State::Ss3 => out.push(alt('O')),
            State::Csi if self.held.is_empty() => out.push(alt('[')),
            State::Text { opened, escaped: false, too_long: false } if self.held.is_empty() => {
                out.push(alt(opened as char));
            }
            State::Paste => self.finish_paste(out),
            _ => {}
        }
        self.reset();
    }

    fn reset(&mut self) {
        self.state = State::Ground;
        self.held.clear();
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<Input>) {
        match self.state {
            State::Ground => self.ground(byte, false, out),
            State::Utf8 { length, alt } => self.utf8(byte, length, alt, out),
            State::Escape => self.escape(byte, out),
            State::Ss3 => self.ss3(byte, out),
            State::Csi | State::CsiTooLong => self.csi(byte, out),
            State::X10Mouse => self.x10_mouse(byte, out),
            State::LinuxFunction => self.linux_function(byte, out),
            State::Text { opened, escaped, too_long } => self.text(byte, opened, escaped, too_long, out),
            State::Paste => self.paste_byte(byte, out),
        }
    }

    fn ground(&mut self, byte: u8, alt: bool, out: &mut Vec<Input>) {
        let extra = if alt { KeyModifiers::ALT } else { KeyModifiers::NONE };
        self.reset();
        match byte {
            ESC => self.state = State::Escape,
            0x20..=0x7e => out.push(character(byte as char, extra)),
            0x00..=0x1f | 0x7f => out.push(control(byte, extra)),
            0xc2..=0xf4 => {
                let length = 2 + usize::from(byte >= 0xe0) + usize::from(byte >= 0xf0);
                self.state = State::Utf8 { length, alt };
                self.held.push(byte);
            }
            // A continuation without a beginning, or a byte that UTF-8 never has.
            0x80..=0xc1 | 0xf5..=0xff => {}
        }
    }

    fn utf8(&mut self, byte: u8, length: usize, alt: bool, out: &mut Vec<Input>) {
        if !(0x80..=0xbf).contains(&byte) {
            // The character was cut off: it is lost, this byte is not.
            self.ground(byte, false, out);
            return;
        }
        self.held.push(byte);
        if self.held.len() == length {
            let extra = if alt { KeyModifiers::ALT } else { KeyModifiers::NONE };
            let decoded = std::str::from_utf8(&self.held).ok().and_then(|text| text.chars().next());
            out.extend(decoded.map(|found| character(found, extra)));
            self.reset();
        }
    }

    fn escape(&mut self, byte: u8, out: &mut Vec<Input>) {
        match byte {
            b'[' => self.state = State::Csi,
            b'O' => self.state = State::Ss3,
            b']' | b'P' | b'_' | b'^' | b'X' => {
                self.state = State::Text { opened: byte, escaped: false, too_long: false };
            }
            // Escape twice: the first was the key, the second may begin something.
            ESC => out.push(key(KeyCode::Esc, KeyModifiers::NONE)),
            // The end of a string that was given up before.
            b'\\' => self.reset(),
            _ => self.ground(byte, true, out),
        }
    }

    fn ss3(&mut self, byte: u8, out: &mut Vec<Input>) {
        self.reset();
        match byte {
            ESC => self.state = State::Escape,
            _ => out.extend(csi::ss3(byte)),
        }
    }

    fn csi(&mut self, byte: u8, out: &mut Vec<Input>) {
        let too_long = self.state == State::CsiTooLong;
        match byte {
            b'[' if self.held.is_empty() && !too_long => self.state = State::LinuxFunction,
            b'M' if self.held.is_empty() && !too_long => self.state = State::X10Mouse,
            0x20..=0x3f if self.held.len() < SEQUENCE_BYTES => self.held.push(byte),
            0x20..=0x3f => self.state = State::CsiTooLong,
            0x40..=0x7e => {
                let sequence = std::mem::take(&mut self.held);
                self.state = State::Ground;
                if too_long {
                } else if sequence == b"200" && byte == b'~' {
                    self.state = State::Paste;
                } else {
                    out.extend(csi::decode(&sequence, byte));
                }
            }
            // A control character or another sequence breaks this one off.
            _ => self.ground(byte, false, out),
        }
    }

    fn x10_mouse(&mut self, byte: u8, out: &mut Vec<Input>) {
        self.held.push(byte);
        if let [button, column, row] = self.held[..] {
            out.extend(csi::x10_mouse(button, column, row));
            self.reset();
        }
    }

    fn linux_function(&mut self, byte: u8, out: &mut Vec<Input>) {
        match byte {
            b'A'..=b'E' => {
                out.push(key(KeyCode::F(byte - b'A' + 1), KeyModifiers::NONE));
                self.reset();
            }
            _ => self.ground(byte, false, out),
        }
    }

    fn text(&mut self, byte: u8, opened: u8, escaped: bool, too_long: bool, out: &mut Vec<Input>) {
        let keep = State::Text { opened, escaped: false, too_long };
        match byte {
            b'\\' if escaped => self.finish_text(opened, too_long, out),
            // ESC and something else than `\`: the string broke off, a new sequence began.
            _ if escaped => {
                self.reset();
                self.state = State::Escape;
                self.byte(byte, out);
            }
            0x07 => self.finish_text(opened, too_long, out),
            ESC => self.state = State::Text { opened, escaped: true, too_long },
            // CAN and SUB break a string off.
            0x18 | 0x1a => self.reset(),
            _ if self.held.len() < STRING_BYTES => {
                self.held.push(byte);
                self.state = keep;
            }
            _ => self.state = State::Text { opened, escaped: false, too_long: true },
        }
    }

    fn finish_text(&mut self, opened: u8, too_long: bool, out: &mut Vec<Input>) {
        if !too_long {
            out.extend(strings::decode(opened, &self.held).map(Input::Report));
        }
        self.reset();
    }

    fn paste_byte(&mut self, byte: u8, out: &mut Vec<Input>) {
        if byte == PASTE_END[self.paste.matched] {
            self.paste.matched += 1;
            if self.paste.matched == PASTE_END.len() {
                self.paste.matched = 0;
                self.finish_paste(out);
            }
            return;
        }
        // ESC is only the first byte of the end mark, so a broken match restarts at most there.
        let broken = std::mem::take(&mut self.paste.matched);
        self.paste.keep(&PASTE_END[..broken]);
        if byte == ESC {
            self.paste.matched = 1;
        } else {
            self.paste.keep(&[byte]);
        }
    }

    fn finish_paste(&mut self, out: &mut Vec<Input>) {
        let paste = std::mem::take(&mut self.paste);
        let mut text = match String::from_utf8(paste.bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        if paste.dropped > 0 && text.ends_with(char::REPLACEMENT_CHARACTER) {
            text.pop();
        }
        out.push(Input::Paste { text, dropped: paste.dropped });
        self.reset();
    }
}

impl Paste {
    fn keep(&mut self, bytes: &[u8]) {
        let room = PROMPT_BYTES - self.bytes.len();
        let kept = bytes.len().min(room);
        self.bytes.extend_from_slice(&bytes[..kept]);
        self.dropped += bytes.len() - kept;
    }
}

/// A printable character; a capital carries Shift, as crossterm has it.
fn character(found: char, modifiers: KeyModifiers) -> Input {
    let shift = if found.is_uppercase() { KeyModifiers::SHIFT } else { KeyModifiers::NONE };
    key(KeyCode::Char(found), modifiers | shift)
}

/// A C0 control character or DEL, as the key that sends it.
fn control(byte: u8, modifiers: KeyModifiers) -> Input {
    let control = modifiers | KeyModifiers::CONTROL;
    match byte {
        0x00 => key(KeyCode::Char(' '), control),
        0x09 => key(KeyCode::Tab, modifiers),
        0x0d => key(KeyCode::Enter, modifiers),
        0x08 | 0x7f => key(KeyCode::Backspace, modifiers),
        0x01..=0x1a => key(KeyCode::Char((byte - 1 + b'a') as char), control),
        _ => key(KeyCode::Char((byte + 0x40) as char), control),
    }
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
