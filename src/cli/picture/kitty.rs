//! kitty's graphics protocol, as far as one picture at the cursor needs it: the PNG as it is, in
//! base64, in pieces, and no reply wanted. <https://sw.kovidgoyal.net/kitty/graphics-protocol/>

use std::io::{self, Write};

/// Bytes of base64 in one piece; the protocol's most. A multiple of four.
const PIECE: usize = 4096;

/// Sends a PNG to be shown over that many columns and rows, and ends the line.
pub(super) fn send(out: &mut impl Write, png: &[u8], (columns, rows): (u32, u32)) -> io::Result<()> {
    let text = base64(png);
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

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for index in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * index) & 63) as usize];
            text.push(if index <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let pairs = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in pairs {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xff, 0xfb, 0xf0]), "//vw");
    }

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
