//! kitty's graphics protocol, as far as one picture at the cursor needs it: the PNG as it is, in
//! base64, in pieces, and no reply wanted. <https://sw.kovidgoyal.net/kitty/graphics-protocol/>

use std::io::{self, Write};

use base64::prelude::{BASE64_STANDARD, Engine as _};

/// Bytes of base64 in one piece; the protocol's most. A multiple of four.
const PIECE: usize = 4096;

/// Sends a PNG to be shown over that many columns and rows, and ends the line.
pub(super) fn send(out: &mut impl Write, png: &[u8], (columns, rows): (u32, u32)) -> io::Result<()> {
    let text = BASE64_STANDARD.encode(png);
    let mut pieces = text.as_bytes().chunks(PIECE).peekable();
    let mut first = true;
    while let Some(piece) = pieces.next() {
        let more = u8::from(pieces.peek().is_some());
        if first {
            // a=T transmit and show, f=100 PNG, q=2 never answer.
            write!(out, "\x1b_Ga=T,f=100,q=2,c={columns},r={rows},m={more};")?;
        } else {
            write!(out, "\x1b_Gm={more};")?;
        }
        out.write_all(piece)?;
        out.write_all(b"\x1b\\")?;
        first = false;
    }
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_marked_and_no_reply_is_wanted() {
        let mut out = Vec::new();
        send(&mut out, &[0; 6000], (40, 20)).expect("a vector takes all");
        let text = String::from_utf8(out).expect("escape codes and base64");
        assert!(text.starts_with("\x1b_Ga=T,f=100,q=2,c=40,r=20,m=1;AAAA"), "{}", &text[..60]);
        assert_eq!(text.matches("\x1b_Gm=0;").count(), 1);
        assert!(text.ends_with("\x1b\\\n"));
        assert!(text.split("\x1b\\").all(|piece| piece.len() <= PIECE + 60));
    }
}
