//! Encoding: shapes, wrong files, protocols.

use bytes::Bytes;
use ratatui::layout::Size;

use super::*;
use crate::job::{JobId, PictureId};
use crate::ui::picture::{Means, Subject};
use crate::wire::message::Preview;

fn order(source: Source, room: Size, protocol: Protocol, cell: (u16, u16)) -> Order {
    let subject = Subject::Picture(PictureId(1));
    Order { number: 1, subject, source, room, means: Means { protocol, cell } }
}

fn png(width: u32, height: u32) -> Source {
    let mut bytes = Cursor::new(Vec::new());
    let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 128]));
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG can be written to memory");
    Source::Png(Bytes::from(bytes.into_inner()))
}

#[test]
fn half_blocks_keep_the_shape_for_the_cells_there_are() {
    let square =
        encode(&order(png(128, 128), Size::new(40, 30), Protocol::HalfBlocks, (10, 20))).expect("encodes");
    assert_eq!(square.size(), Size::new(40, 20));
    let square =
        encode(&order(png(128, 128), Size::new(40, 30), Protocol::HalfBlocks, (10, 18))).expect("encodes");
    assert_eq!(square.size(), Size::new(40, 22), "flatter cells need more rows");
    let wide =
        encode(&order(png(768, 512), Size::new(41, 17), Protocol::HalfBlocks, (10, 20))).expect("encodes");
    assert_eq!(wide.size(), Size::new(41, 14));
}

#[test]
fn a_tiny_preview_fills_the_room() {
    let rgb = Bytes::from(vec![200; 3 * 16 * 16]);
    let preview = Preview::new(JobId(1), 0, 3, (16, 16), rgb).expect("the length fits");
    let drawn = encode(&order(Source::Rgb(preview), Size::new(60, 40), Protocol::HalfBlocks, (8, 16)))
        .expect("encodes");
    assert_eq!(drawn.size(), Size::new(60, 30));
}

#[test]
fn every_protocol_covers_the_same_cells() {
    for protocol in [Protocol::Kitty, Protocol::KittyPlaced, Protocol::Iterm2, Protocol::Sixel] {
        let drawn = encode(&order(png(96, 64), Size::new(30, 30), protocol, (8, 16))).expect("encodes");
        assert_eq!((drawn.protocol(), drawn.size()), (protocol, Size::new(30, 10)));
    }
}

#[test]
fn a_file_that_is_no_picture_is_an_error_that_says_so() {
    for bytes in [&b""[..], b"\x89PNG\r\n\x1a\n", b"GIF89a", &[0; 100]] {
        let result = encode(&order(
            Source::Png(Bytes::copy_from_slice(bytes)),
            Size::new(9, 9),
            Protocol::HalfBlocks,
            (1, 2),
        ));
        assert!(result.expect_err("no picture").contains("no PNG"));
    }
}

#[test]
fn a_png_that_claims_to_be_huge_is_refused() {
    let Source::Png(small) = png(8, 8) else { unreachable!("png() makes a PNG") };
    let mut bytes = small.to_vec();
    bytes[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let result = encode(&order(Source::Png(bytes.into()), Size::new(9, 9), Protocol::HalfBlocks, (1, 2)));
    assert!(result.is_err());
}
