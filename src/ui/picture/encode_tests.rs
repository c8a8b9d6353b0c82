//! Encoding: shapes, wrong files, protocols.

use bytes::Bytes;

use super::*;
use crate::job::{JobId, PictureId};
use crate::ui::picture::{Subject, Zoom};
use crate::wire::message::Preview;

fn order(source: Source, room: Size, protocol: Protocol, cell: (u16, u16)) -> Order {
    let subject = Subject::Picture(PictureId(1));
    let (slot, zoom) = (Slot::PREVIEW, Zoom::default());
    Order { number: 1, slot, subject, source, room, means: Means { protocol, cell }, zoom, budget: None }
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
    for protocol in [
        Protocol::Kitty,
        Protocol::KittyThroughTmux,
        Protocol::KittyPlaced,
        Protocol::Iterm2,
        Protocol::Sixel,
    ] {
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

#[test]
fn a_small_copy_is_drawn_and_a_large_one_in_its_place_is_refused() {
    let jpeg = |side| {
        let mut bytes = Cursor::new(Vec::new());
        RgbImage::new(side, side)
            .write_to(&mut bytes, image::ImageFormat::Jpeg)
            .expect("it writes to memory");
        Source::Jpeg(Bytes::from(bytes.into_inner()))
    };
    let drawn = |source| encode(&order(source, Size::new(14, 7), Protocol::Kitty, (10, 20)));
    assert_eq!(drawn(jpeg(96)).expect("it encodes").size(), Size::new(14, 7));
    let refused = drawn(jpeg(513)).expect_err("it is too large");
    assert!(refused.contains("513x513") && refused.contains("512"), "{refused}");
    assert!(drawn(Source::Jpeg(Bytes::from_static(b"png"))).is_err());
}

#[test]
fn nearer_shows_a_part_in_the_same_room() {
    // The left half is dark, the right half bright: twice as near, around the left edge, all is dark.
    let mut bytes = Cursor::new(Vec::new());
    let halves = RgbImage::from_fn(100, 100, |x, _| image::Rgb([if x < 50 { 0 } else { 255 }; 3]));
    halves.write_to(&mut bytes, image::ImageFormat::Png).expect("it writes to memory");
    let mut near =
        order(Source::Png(bytes.into_inner().into()), Size::new(20, 10), Protocol::HalfBlocks, (10, 20));
    let whole = encode(&near).expect("it encodes");
    for _ in 0..2 {
        near.zoom = near.zoom.nearer();
    }
    for _ in 0..8 {
        near.zoom = near.zoom.moved(crate::ui::picture::Direction::Left, (100, 100), near.room, (10, 20));
    }
    let part = encode(&near).expect("it encodes");
    assert_eq!(part.size(), whole.size());
    let last = |drawable: &Drawable| {
        let mut buffer = ratatui::buffer::Buffer::empty(ratatui::layout::Rect::new(0, 0, 20, 10));
        drawable.draw(buffer.area, &mut buffer);
        buffer[(18, 5)].bg
    };
    let grey = |level| ratatui::style::Color::Rgb(level, level, level);
    assert_eq!((last(&whole), last(&part)), (grey(255), grey(0)));
}

#[test]
fn every_slot_has_two_ids_of_its_own_and_its_placeholders_name_it() {
    let slots = [Slot::PREVIEW, Slot::WHOLE[0], Slot::WHOLE[1], Slot::LORA].into_iter();
    let slots: Vec<_> = slots.chain((0..Slot::SMALL).filter_map(Slot::small)).collect();
    let ids = slots
        .iter()
        .flat_map(|slot| [0, 1].map(|number| super::super::kitty_id(Protocol::Kitty, *slot, number)));
    let mut ids: Vec<_> = ids.collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((slots.len(), ids.len()), (4 + Slot::SMALL, all));
    assert_eq!(Slot::small(Slot::SMALL), None);
    assert_eq!(slots[4..].iter().map(|slot| slot.place()).collect::<Vec<_>>()[..2], [Some(0), Some(1)]);
    let deleted = crate::ui::picture::kitty_delete(Protocol::Kitty, Some(Slot::PREVIEW), slots[4]);
    assert_eq!(deleted.matches("\x1b_Ga=d,d=I,i=").count(), 8, "the preview's stay: {deleted:?}");
    assert!(!deleted.contains(&format!("i={},", ids[0])) && deleted.contains(&format!("i={},", ids[2])));
    // Golden: the third mark of a row's first placeholder is the slot's number.
    let mut small = order(png(8, 8), Size::new(4, 2), Protocol::Kitty, (8, 16));
    small.slot = slots[3];
    let mut buffer = ratatui::buffer::Buffer::empty(ratatui::layout::Rect::new(0, 0, 4, 2));
    encode(&small).expect("it encodes").draw(buffer.area, &mut buffer);
    assert!(buffer[(0, 0)].symbol().starts_with(&format!(
        "\x1b_Ga=T,U=1,i={},c=4,r=2,f=100,q=2,m=0;iVBOR",
        super::super::kitty_id(Protocol::Kitty, slots[3], 1)
    )));
    // Row 1, column 0, high byte 3, by kitty's table of marks.
    assert!(
        buffer[(0, 1)].symbol().starts_with("\u{10eeee}\u{30d}\u{305}\u{310}"),
        "{:?}",
        buffer[(0, 1)].symbol()
    );
}

#[test]
fn a_preview_is_made_smaller_until_the_line_has_room_for_it() {
    let noise = RgbImage::from_fn(64, 64, |x, y| image::Rgb([(x * y % 251) as u8, (x ^ y) as u8, y as u8]));
    let preview =
        Preview::new(JobId(1), 0, 3, (64, 64), Bytes::from(noise.into_raw())).expect("the length fits");
    let bytes = |budget| {
        let source = Source::Rgb(preview.clone());
        let order = Order { budget, ..order(source, Size::new(40, 20), Protocol::Kitty, (8, 16)) };
        match encode(&order).expect("it encodes") {
            Drawable::Inline(inline) => (inline.bytes(), inline.size()),
            other => panic!("{other:?}"),
        }
    };
    let (whole, small, least) = (bytes(None), bytes(Some(2000)), bytes(Some(10)));
    assert!(whole.0 > 2000 && small.0 <= 2000 && least.0 < small.0, "{whole:?} {small:?} {least:?}");
    assert!(small.1 == whole.1 && least.1 == whole.1, "as large on the screen");
}
