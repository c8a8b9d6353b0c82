//! Control sequences (`ESC [ … final`) and SS3 (`ESC O final`): keys, mouse, focus, reports.

use crossterm::event::{KeyCode, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::{Input, Report, key};

/// The parameters and intermediates of one sequence, taken apart.
struct Sequence<'s> {
    /// `<`, `=`, `>` or `?` before the parameters.
    private: Option<u8>,
    parameters: Vec<u32>,
    intermediates: &'s [u8],
}

/// What `ESC [ sequence last` is; `None` for what this program has no use for.
pub(super) fn decode(sequence: &[u8], last: u8) -> Option<Input> {
    let sequence = Sequence::parse(sequence)?;
    match (sequence.private, sequence.intermediates) {
        (None, b"") => plain(&sequence, last),
        (Some(b'<'), b"") if matches!(last, b'M' | b'm') => sgr_mouse(&sequence.parameters, last == b'm'),
        (Some(b'?'), b"") if last == b'c' => Some(Input::Report(Report::Attributes(sequence.parameters))),
        (Some(b'?'), b"$") if last == b'y' => {
            let [mode, state] = sequence.parameters[..] else { return None };
            Some(Input::Report(Report::Mode { mode, state }))
        }
        _ => None,
    }
}

impl<'s> Sequence<'s> {
    fn parse(bytes: &'s [u8]) -> Option<Self> {
        let (private, bytes) = match bytes {
            [first @ (b'<' | b'=' | b'>' | b'?'), rest @ ..] => (Some(*first), rest),
            _ => (None, bytes),
        };
        let split = bytes.iter().position(|byte| (0x20..=0x2f).contains(byte)).unwrap_or(bytes.len());
        let (parameters, intermediates) = bytes.split_at(split);
        let parameters = std::str::from_utf8(parameters).ok()?;
        let parameters = if parameters.is_empty() {
            Vec::new()
        } else {
            parameters.split(';').map(number).collect::<Option<Vec<u32>>>()?
        };
        Some(Self { private, parameters, intermediates })
    }

    fn parameter(&self, index: usize, default: u32) -> u32 {
        self.parameters.get(index).copied().filter(|value| *value != 0).unwrap_or(default)
    }
}

/// One parameter; sub-parameters after a colon are not used here. Empty is 0.
fn number(text: &str) -> Option<u32> {
    let text = text.split(':').next().unwrap_or("");
    if text.is_empty() { Some(0) } else { text.parse().ok() }
}

fn plain(sequence: &Sequence<'_>, last: u8) -> Option<Input> {
    let modifiers = modifiers(sequence.parameter(1, 1));
    match last {
        b'~' => tilde(sequence),
        b'u' => unicode(sequence.parameter(0, 0), modifiers),
        b'Z' => Some(key(KeyCode::BackTab, KeyModifiers::SHIFT)),
        b'I' => Some(Input::Focus(true)),
        b'O' => Some(Input::Focus(false)),
        b't' => size_report(&sequence.parameters),
        b'n' if sequence.parameters == [0] => Some(Input::Report(Report::Arrived)),
        // With more than a key's two parameters, or a first one that is no 1, this is a cursor
        // position report, which nobody asked for.
        _ if sequence.parameter(0, 1) != 1 || sequence.parameters.len() > 2 => None,
        _ => Some(key(letter(last)?, modifiers)),
    }
}

/// Keys that are named by the last byte, in CSI and SS3 alike.
fn letter(last: u8) -> Option<KeyCode> {
    Some(match last {
        b'A' => KeyCode::Up,
        b'B' => KeyCode::Down,
        b'C' => KeyCode::Right,
        b'D' => KeyCode::Left,
        b'E' => KeyCode::KeypadBegin,
        b'F' => KeyCode::End,
        b'H' => KeyCode::Home,
        b'P' => KeyCode::F(1),
        b'Q' => KeyCode::F(2),
        b'R' => KeyCode::F(3),
        b'S' => KeyCode::F(4),
        _ => return None,
    })
}

/// Keys that are named by a number before `~`.
fn tilde(sequence: &Sequence<'_>) -> Option<Input> {
    if sequence.parameter(0, 0) == 27 {
        // xterm's modifyOtherKeys: 27 ; modifiers ; character ~
        return unicode(sequence.parameter(2, 0), modifiers(sequence.parameter(1, 1)));
    }
    let code = match sequence.parameter(0, 0) {
        1 | 7 => KeyCode::Home,
        2 => KeyCode::Insert,
        3 => KeyCode::Delete,
        4 | 8 => KeyCode::End,
        5 => KeyCode::PageUp,
        6 => KeyCode::PageDown,
        number @ 11..=15 => KeyCode::F((number - 10) as u8),
        number @ 17..=21 => KeyCode::F((number - 11) as u8),
        number @ 23..=24 => KeyCode::F((number - 12) as u8),
        _ => return None,
    };
    Some(key(code, modifiers(sequence.parameter(1, 1))))
}

/// A character by its number: kitty's keyboard protocol and modifyOtherKeys.
fn unicode(code: u32, modifiers: KeyModifiers) -> Option<Input> {
    let code = match code {
        9 if modifiers.contains(KeyModifiers::SHIFT) => KeyCode::BackTab,
        9 => KeyCode::Tab,
        13 => KeyCode::Enter,
        27 => KeyCode::Esc,
        8 | 127 => KeyCode::Backspace,
        _ => KeyCode::Char(char::from_u32(code).filter(|found| !found.is_control())?),
    };
    Some(key(code, modifiers))
}

/// xterm's modifier parameter: 1 plus a bit each for Shift, Alt, Control.
fn modifiers(parameter: u32) -> KeyModifiers {
    let bits = parameter.saturating_sub(1);
    let mut modifiers = KeyModifiers::NONE;
    modifiers.set(KeyModifiers::SHIFT, bits & 1 != 0);
    modifiers.set(KeyModifiers::ALT, bits & 2 != 0);
    modifiers.set(KeyModifiers::CONTROL, bits & 4 != 0);
    modifiers
}

fn size_report(parameters: &[u32]) -> Option<Input> {
    let [kind, height, width] = parameters[..] else { return None };
    let (width, height) = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    match kind {
        4 => Some(Input::Report(Report::AreaPixels { width, height })),
        6 => Some(Input::Report(Report::CellPixels { width, height })),
        _ => None,
    }
}

fn sgr_mouse(parameters: &[u32], released: bool) -> Option<Input> {
    let [button, column, row] = parameters[..] else { return None };
    let (column, row) = (u16::try_from(column).ok()?, u16::try_from(row).ok()?);
    mouse(button, column.checked_sub(1)?, row.checked_sub(1)?, released)
}

/// The oldest mouse report: each value plus 32 in one byte.
pub(super) fn x10_mouse(button: u8, column: u8, row: u8) -> Option<Input> {
    let button = u32::from(button.checked_sub(32)?);
    mouse(button, u16::from(column.checked_sub(33)?), u16::from(row.checked_sub(33)?), button & 3 == 3)
}

fn mouse(bits: u32, column: u16, row: u16, released: bool) -> Option<Input> {
    let button = match bits & 3 {
        0 => MouseButton::Left,
        1 => MouseButton::Middle,
        _ => MouseButton::Right,
    };
    let kind = match bits & 0b1100_0000 {
        0b0100_0000 => match bits & 3 {
            0 => MouseEventKind::ScrollUp,
            1 => MouseEventKind::ScrollDown,
            2 => MouseEventKind::ScrollLeft,
            _ => MouseEventKind::ScrollRight,
        },
        0 if released => MouseEventKind::Up(button),
        0 if bits & 32 != 0 && bits & 3 == 3 => MouseEventKind::Moved,
        0 if bits & 32 != 0 => MouseEventKind::Drag(button),
        0 => MouseEventKind::Down(button),
        _ => return None,
    };
    let mut modifiers = KeyModifiers::NONE;
    modifiers.set(KeyModifiers::SHIFT, bits & 4 != 0);
    modifiers.set(KeyModifiers::ALT, bits & 8 != 0);
    modifiers.set(KeyModifiers::CONTROL, bits & 16 != 0);
    Some(Input::Mouse(MouseEvent { kind, column, row, modifiers }))
}

/// What `ESC O last` is: arrows in application mode, F1 to F4, and the keypad.
pub(super) fn ss3(last: u8) -> Option<Input> {
    let code = match last {
        b'M' => KeyCode::Enter,
        // The keypad in application mode: its characters, 64 up.
        b'j'..=b'y' => KeyCode::Char((last - 64) as char),
        _ => letter(last)?,
    };
    Some(key(code, KeyModifiers::NONE))
}
