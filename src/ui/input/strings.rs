//! Strings that terminals answer with: DCS (XTVERSION), APC (kitty graphics), OSC 11 (background).

use super::Report;

/// What a whole string says; `opened` is the byte after its ESC.
pub(super) fn decode(opened: u8, bytes: &[u8]) -> Option<Report> {
    let text = std::str::from_utf8(bytes).ok()?;
    match opened {
        b'P' => text.strip_prefix(">|").map(|name| Report::Version(name.to_owned())),
        b'_' => kitty(text),
        b']' => background(text),
        _ => None,
    }
}

/// `Gi=31;OK`, or what kitty did not like.
fn kitty(text: &str) -> Option<Report> {
    let (_, answer) = text.strip_prefix('G')?.split_once(';')?;
    Some(Report::KittyGraphics(answer == "OK"))
}

/// `11;rgb:1c1c/1c1c/1c1c`, one to four digits a channel, or `rgba:` with a fourth channel.
fn background(text: &str) -> Option<Report> {
    let value = text.strip_prefix("11;")?;
    let channels = value.strip_prefix("rgb:").or_else(|| value.strip_prefix("rgba:"))?;
    let mut channels = channels.split('/').map(channel);
    let rgb = [channels.next()??, channels.next()??, channels.next()??];
    Some(Report::Background(rgb))
}

fn channel(digits: &str) -> Option<u8> {
    if !(1..=4).contains(&digits.len()) {
        return None;
    }
    let value = u32::from_str_radix(digits, 16).ok()?;
    let largest = (1_u32 << (4 * digits.len())) - 1;
    u8::try_from(value * 255 / largest).ok()
}
