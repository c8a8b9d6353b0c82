//! What the terminal tells: the focus, tmux's terminals.

use super::*;
use crate::ui::terminal::clipboard::Between;
use crate::ui::terminal::tmux::Tmux;

const KITTY: &str = "pane\t1\t3.4\nclient\t7\tkitty(0.35.2)\txterm-kitty\tRGB\t10\t20\n";

/// A studio in tmux whose terminal is this.
fn in_tmux(said: &str) -> Desk {
    let mut desk = Desk::connected();
    let around = Environment { multiplexer: true, between: Between::Tmux, ..Environment::default() };
    desk.state.terminal.environment = around;
    desk.event(Event::Tmux(Some(Tmux::parse(said))));
    desk
}

fn focus(desk: &mut Desk, focused: bool) -> Vec<Effect> {
    desk.event(Event::Input(Input::Focus(focused)))
}

fn protocol(desk: &Desk) -> Protocol {
    desk.state.terminal.means(desk.state.view.window).protocol
}

/// A preview comes and is made ready.
fn drawn(desk: &mut Desk, step: u32) {
    desk.now += Duration::from_secs(1);
    let effects = desk.worker(message::Event::Preview(preview(1, step)));
    let order = effects.into_iter().find_map(|effect| match effect {
        Effect::Encode(order) => Some(order),
        _ => None,
    });
    let order = order.expect("it is to be made ready");
    let blocks = crate::ui::picture::HalfBlocks::new(&image::RgbImage::new(4, 4));
    desk.event(Event::Encoded(crate::ui::picture::Encoded {
        number: order.number,
        slot: order.slot,
        subject: order.subject,
        room: order.room,
        means: order.means,
        result: Ok(crate::ui::picture::Drawable::HalfBlocks(blocks)),
    }));
}

#[test]
fn with_the_focus_pixels_come_back_inside_a_multiplexer_and_nothing_else_does() {
    let pixels = "pane\t0\t3.4\nclient\t7\tfoot(1.16)\tfoot\tRGB,sixel\t10\t20\n";
    let mut desk = in_tmux(pixels);
    desk.event(Event::Input(Input::Report(Report::Version("tmux 3.4".into()))));
    desk.event(Event::Input(Input::Report(Report::Attributes(vec![1, 2, 4]))));
    assert_eq!(protocol(&desk), Protocol::Sixel);
    assert_eq!(focus(&mut desk, false), []);
    assert_eq!(focus(&mut desk, true), [Effect::AskTmux, Effect::RepaintPictures]);

    let mut blocks = in_tmux("pane\t0\t3.4\n");
    assert_eq!(protocol(&blocks), Protocol::HalfBlocks);
    focus(&mut blocks, false);
    drawn(&mut blocks, 1);
    assert_eq!(focus(&mut blocks, true), [Effect::AskTmux]);

    let mut outside = Desk::connected();
    outside.event(Event::Input(Input::Report(Report::CellPixels { width: 10, height: 20 })));
    outside.event(Event::Input(Input::Report(Report::Attributes(vec![1, 4]))));
    assert_eq!(protocol(&outside), Protocol::Sixel);
    focus(&mut outside, false);
    assert_eq!(focus(&mut outside, true), []);
}

#[test]
fn placeholders_are_sent_again_only_when_tmux_may_have_dropped_them() {
    let mut desk = in_tmux(KITTY);
    assert_eq!(protocol(&desk), Protocol::KittyThroughTmux);
    drawn(&mut desk, 1);
    focus(&mut desk, false);
    assert_eq!(focus(&mut desk, true), [Effect::AskTmux], "all of it was seen");
    focus(&mut desk, false);
    drawn(&mut desk, 2);
    assert_eq!(focus(&mut desk, true), [Effect::AskTmux, Effect::RepaintPictures]);
}

#[test]
fn another_terminal_at_tmux_gets_the_pictures_and_the_same_one_does_not() {
    let mut desk = in_tmux(KITTY);
    let said = |desk: &mut Desk, said: &str| desk.event(Event::Tmux(Some(Tmux::parse(said))));
    assert_eq!(said(&mut desk, KITTY), []);
    assert_eq!(said(&mut desk, &KITTY.replace("client\t7", "client\t8")), [Effect::RepaintPictures]);
    let resized = Window { columns: 90, rows: 30, pixels: None };
    assert_eq!(desk.event(Event::Resized(resized)), [Effect::AskTmux]);
    assert_eq!(desk.event(Event::Resized(resized)), [Effect::AskTmux, Effect::Repaint]);
    desk.event(Event::Tmux(None));
    assert_eq!(protocol(&desk), Protocol::HalfBlocks);
}
