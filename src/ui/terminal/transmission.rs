//! A picture on its way to kitty, in pieces that leave room for keys between them.
//!
//! The protocol lets a transmission be divided (`m=1` on all pieces but the last), and text may stand between its pieces;
//! no other graphics command may, so one is under way at a time. A picture is shown when its last piece is there, at the
//! cursor of that moment where it has no placeholders. A transmission that was given up is ended by an empty last piece:
//! it fails without an answer, and the terminal takes the next command as what it is.
//!
//! <https://sw.kovidgoyal.net/kitty/graphics-protocol/>, "Remote client".

use ratatui::layout::Size;

use super::tmux;

/// Bytes of base64 in one piece: the protocol's most, and a multiple of four.
const PIECE_MAX: usize = 4096;
/// No piece has fewer bytes of base64: what stands around them would be more.
const PIECE_MIN: usize = 128;
/// What stands around the base64 of a piece that is not the first, wrapped for tmux.
const AROUND: usize = 32;
/// The end of a transmission without the rest of it.
const END: &str = "\x1b_Gq=2,m=0;\x1b\\";

/// What is still to be sent of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmission {
    /// The keys of its first command, but for `m`.
    keys: String,
    /// Whether each piece is wrapped for tmux.
    wrapped: bool,
    /// All of it, in base64.
    payload: String,
    /// How much of that was sent.
    sent: usize,
}

impl Transmission {
    /// The transmission at the beginning of a cell's text, and what stands behind it.
    #[must_use]
    pub fn of(text: &str) -> Option<(Self, &str)> {
        let wrapped = text.starts_with("\x1bPtmux;");
        let (opens, closes) =
            if wrapped { ("\x1bPtmux;\x1b\x1b_G", "\x1b\x1b\\\x1b\\") } else { ("\x1b_G", "\x1b\\") };
        let (mut keys, mut payload, mut rest) = (None, String::with_capacity(text.len()), text);
        loop {
            let command = rest.strip_prefix(opens)?;
            let (control, after) = command.split_once(';')?;
            let (data, after) = after.split_at(after.find('\x1b')?);
            payload.push_str(data);
            rest = after.strip_prefix(closes)?;
            let (own, more) = control.rsplit_once("m=")?;
            keys.get_or_insert_with(|| own.to_owned());
            if more == "0" {
                break;
            }
        }
        let keys = keys.filter(|keys| keys.starts_with("a=T,"))?;
        Some((Self { keys, wrapped, payload, sent: 0 }, rest))
    }

    /// The cells that the picture covers which a cell's text begins to transmit.
    #[must_use]
    pub fn cells(text: &str) -> Option<Size> {
        let start = text.strip_prefix("\x1bPtmux;\x1b").unwrap_or(text).strip_prefix("\x1b_Ga=T,")?;
        let (keys, _) = start.split_once(';')?;
        let key = |name| keys.split(',').find_map(|key| key.strip_prefix(name)?.parse().ok());
        Some(Size::new(key("c=")?, key("r=")?))
    }

    /// Whether a part of it was sent: then it must be ended.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.sent > 0
    }

    /// Whether its pieces are wrapped for tmux.
    #[must_use]
    pub fn is_wrapped(&self) -> bool {
        self.wrapped
    }

    /// About how many bytes the rest of it has on the line.
    #[must_use]
    pub fn left(&self) -> usize {
        let payload = self.payload.len() - self.sent;
        let keys = if self.sent == 0 { self.keys.len() } else { 0 };
        payload + (payload / PIECE_MAX + 1) * AROUND + keys
    }

    /// The next of it, of about so many bytes, and never the last of it.
    pub fn piece(&mut self, room: usize) -> String {
        let mut out = String::new();
        loop {
            let room = room.saturating_sub(out.len() + AROUND);
            if room < PIECE_MIN && !out.is_empty() {
                break;
            }
            let most = (self.payload.len() - self.sent).saturating_sub(1);
            let bytes = room.clamp(PIECE_MIN, PIECE_MAX).min(most) / 4 * 4;
            if bytes == 0 {
                break;
            }
            out.push_str(&self.command(bytes, true));
        }
        out
    }

    /// All that is left of it.
    pub fn rest(&mut self) -> String {
        let mut out = String::with_capacity(self.left());
        loop {
            let bytes = self.payload.len() - self.sent;
            out.push_str(&self.command(bytes.min(PIECE_MAX), bytes > PIECE_MAX));
            if bytes <= PIECE_MAX {
                return out;
            }
        }
    }

    fn command(&mut self, bytes: usize, more: bool) -> String {
        let keys = if self.sent == 0 { self.keys.as_str() } else { "q=2," };
        let data = &self.payload[self.sent..self.sent + bytes];
        let command = format!("\x1b_G{keys}m={};{data}\x1b\\", u8::from(more));
        self.sent += bytes;
        if self.wrapped { tmux::wrapped(&command) } else { command }
    }
}

/// What ends a transmission of which the rest is not sent.
#[must_use]
pub fn end(wrapped: bool) -> String {
    if wrapped { tmux::wrapped(END) } else { END.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str =
        "\x1b_Ga=T,U=1,i=7,c=3,r=2,f=100,q=2,m=1;AAAABBBB\x1b\\\x1b_Gq=2,m=0;CCCCDD==\x1b\\behind";

    #[test]
    fn it_is_found_in_a_cells_text_with_what_stands_behind() {
        let (transmission, behind) = Transmission::of(WHOLE).expect("it is one");
        assert_eq!((transmission.payload.as_str(), behind), ("AAAABBBBCCCCDD==", "behind"));
        assert_eq!(Transmission::cells(WHOLE), Some(Size::new(3, 2)));
        for other in
            ["", "text", "\x1bPqsixel\x1b\\", "\x1b_Ga=d,d=I,i=7,q=2\x1b\\", "\x1b_Ga=T,m=1;AAAA\x1b\\"]
        {
            assert_eq!(Transmission::of(other), None, "{other:?}");
        }
    }

    #[test]
    fn its_pieces_are_golden() {
        let payload = "abcd".repeat(100);
        let whole = format!("\x1b_Ga=T,U=1,i=7,c=3,r=2,f=100,q=2,m=0;{payload}\x1b\\");
        let (mut transmission, _) = Transmission::of(&whole).expect("it is one");
        let first = transmission.piece(160 + AROUND);
        assert_eq!(first, format!("\x1b_Ga=T,U=1,i=7,c=3,r=2,f=100,q=2,m=1;{}\x1b\\", "abcd".repeat(40)));
        assert_eq!(transmission.piece(1), format!("\x1b_Gq=2,m=1;{}\x1b\\", "abcd".repeat(32)));
        assert_eq!(transmission.rest(), format!("\x1b_Gq=2,m=0;{}\x1b\\", "abcd".repeat(28)));
        assert_eq!(end(false), "\x1b_Gq=2,m=0;\x1b\\");
    }

    #[test]
    fn through_tmux_each_piece_is_wrapped() {
        let payload = "abcd".repeat(80);
        let whole = tmux::wrapped(&format!("\x1b_Ga=T,i=20,c=3,r=2,q=2,m=0;{payload}\x1b\\"));
        let (mut transmission, behind) = Transmission::of(&whole).expect("it is one");
        assert_eq!((behind, transmission.is_wrapped()), ("", true));
        let first =
            format!("\x1bPtmux;\x1b\x1b_Ga=T,i=20,c=3,r=2,q=2,m=1;{}\x1b\x1b\\\x1b\\", "abcd".repeat(50));
        assert_eq!(transmission.piece(200 + AROUND), first);
        let last = format!("\x1bPtmux;\x1b\x1b_Gq=2,m=0;{}\x1b\x1b\\\x1b\\", "abcd".repeat(30));
        assert_eq!(transmission.rest(), last);
        assert_eq!(end(true), "\x1bPtmux;\x1b\x1b_Gq=2,m=0;\x1b\x1b\\\x1b\\");
    }

    #[test]
    fn no_piece_is_the_last_or_longer_than_the_protocol_allows_and_together_they_are_all() {
        let payload = "abcd".repeat(5000);
        let whole = format!("\x1b_Ga=T,i=7,c=3,r=2,q=2,m=0;{payload}\x1b\\");
        let (mut transmission, _) = Transmission::of(&whole).expect("it is one");
        let mut sent = String::new();
        loop {
            let piece = transmission.piece(9000);
            if piece.is_empty() {
                break;
            }
            assert!(piece.len() <= 9100 && !piece.contains("m=0"), "{}", piece.len());
            sent.push_str(&piece);
        }
        sent.push_str(&transmission.rest());
        let commands =
            sent.split_terminator("\x1b\\").map(|command| command.split_once(';').expect("data").1);
        assert!(commands.clone().all(|data| data.len() <= PIECE_MAX && data.len() % 4 == 0));
        assert_eq!(commands.collect::<String>(), payload);
    }
}
