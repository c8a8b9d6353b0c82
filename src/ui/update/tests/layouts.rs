//! One box alone, the layouts, the log and the first lines.

use super::*;
use crate::ui::arrangement::{Alone, Arrangement, Kept, Zoom};
use crate::ui::files::Keep;
use crate::ui::layout::Kind;
use crate::ui::notice::Level;

fn alone(desk: &Desk) -> Option<Alone> {
    desk.state.view.zoom.map(|zoom| zoom.of(desk.state.view.focus))
}

fn kind(desk: &Desk) -> Option<Kind> {
    desk.state.layout().areas().map(|areas| areas.kind)
}

fn kept(effects: &[Effect]) -> Vec<Keep> {
    let keep = |effect: &Effect| match effect {
        Effect::Keep(what) => Some(what.clone()),
        _ => None,
    };
    effects.iter().filter_map(keep).collect()
}

#[test]
fn the_pane_with_the_keys_alone_and_all_again() {
    let mut desk = Desk::connected();
    desk.press(KeyCode::Char('z'), KeyModifiers::ALT);
    assert_eq!(alone(&desk), Some(Alone::Pane(Pane::Prompt)));
    desk.type_text("zoo");
    assert_eq!(desk.state.prompt.editor.text(), "zoo", "z is a letter there");
    desk.key(KeyCode::Tab);
    assert_eq!(alone(&desk), Some(Alone::Pane(Pane::Parameters)), "it follows the keys");
    desk.key(KeyCode::Esc);
    assert_eq!(alone(&desk), None);
    desk.key(KeyCode::Char('z'));
    assert_eq!(alone(&desk), Some(Alone::Pane(Pane::Parameters)));
    let areas = *desk.state.layout().areas().expect("there is room");
    assert_eq!((areas.parameters.width, areas.parameters.height), (100, 28));
    assert!(areas.preview.is_empty() && areas.queue.is_empty());
    desk.key(KeyCode::Char('z'));
    assert_eq!(alone(&desk), None, "the same key brings all back");
}

#[test]
fn the_picture_alone_goes_through_the_history_and_gives_the_keys_back() {
    let mut desk = Desk::connected();
    desk.key(KeyCode::F(7));
    assert_eq!((alone(&desk), desk.state.view.focus), (Some(Alone::Preview), Pane::History));
    desk.key(KeyCode::Char('M'));
    assert_eq!((alone(&desk), desk.state.view.zoom), (Some(Alone::Memory), Some(Zoom::Memory(Pane::Prompt))));
    desk.key(KeyCode::F(7));
    desk.key(KeyCode::F(7));
    assert_eq!((alone(&desk), desk.state.view.focus), (None, Pane::Prompt));
    desk.key(KeyCode::F(7));
    desk.key(KeyCode::Tab);
    assert_eq!(alone(&desk), None, "the keys are elsewhere");
    desk.key(KeyCode::F(7));
    desk.key(KeyCode::Esc);
    assert_eq!(alone(&desk), None);
}

#[test]
fn a_notice_is_dismissed_before_the_panes_come_back() {
    let mut desk = Desk::connected();
    desk.key(KeyCode::F(7));
    desk.state.notices.error("something");
    desk.key(KeyCode::Esc);
    assert_eq!(alone(&desk), Some(Alone::Preview));
    desk.key(KeyCode::Esc);
    assert_eq!(alone(&desk), None);
}

#[test]
fn layouts_by_hand_are_kept_and_give_way_where_there_is_no_room() {
    let mut desk = Desk::connected();
    desk.event(Event::Resized(Window { columns: 120, rows: 40, pixels: None }));
    let mut seen = vec![kind(&desk)];
    for layout in [Arrangement::Wide, Arrangement::Tall, Arrangement::Small] {
        let effects = desk.key(KeyCode::F(6));
        assert_eq!(kept(&effects), [Keep::Studio(Kept { layout, toured: false })]);
        seen.push(kind(&desk));
    }
    assert_eq!(seen, [Kind::Full, Kind::Full, Kind::Upright, Kind::Small].map(Some));
    desk.event(Event::Resized(Window { columns: 64, rows: 40, pixels: None }));
    assert_eq!(kind(&desk), Some(Kind::Small));
    desk.state.view.kept.layout = Arrangement::Wide;
    assert_eq!(kind(&desk), Some(Kind::Upright), "64 columns are not enough for wide");
    desk.event(Event::Resized(Window { columns: 50, rows: 20, pixels: None }));
    assert_eq!(kind(&desk), None);
}

#[test]
fn every_window_has_room_for_one_box_alone_and_every_layout() {
    let boxes = [Alone::Preview, Alone::Memory].into_iter().chain(Pane::ALL.map(Alone::Pane));
    for alone in boxes.map(Some).chain([None]) {
        for (_, wanted) in Arrangement::ALL {
            for (columns, rows) in [(0, 0), (60, 15), (76, 22), (40, 31), (70, 60), (200, 60)] {
                let size = Size::new(columns, rows);
                let layout = Layout::arranged(size, 2, wanted, alone);
                let automatic = Layout::of(size, 2);
                assert_eq!(
                    layout.areas().is_some(),
                    automatic.areas().is_some(),
                    "{columns}x{rows} {wanted}"
                );
                let Some(areas) = layout.areas() else { continue };
                let window = Rect::new(0, 0, columns, rows);
                for area in [areas.prompt, areas.parameters, areas.memory, areas.preview, areas.queue] {
                    assert_eq!(area.intersection(window), area, "{columns}x{rows} {wanted}");
                    assert!(area.is_empty() || area.bottom() <= areas.hints.y, "{columns}x{rows} {wanted}");
                }
            }
        }
    }
}

#[test]
fn what_was_told_stays_in_the_log() {
    let mut desk = Desk::connected();
    let job = {
        desk.type_text("a fox");
        submitted(&desk.key(KeyCode::Enter))
    };
    let failed = JobState::Failed { reason: "no memory".into() };
    desk.worker(message::Event::Job(status(3, &job, failed)));
    desk.worker(message::Event::Job(JobStatus { done: 4, ..status(4, &job, JobState::Done) }));
    let retry_at = desk.now + Duration::from_secs(30);
    for _ in 0..3 {
        desk.event(Event::News(News::Down { reason: "the line broke".into(), retry_at }));
        desk.event(Event::News(News::Down { reason: "the line broke".into(), retry_at }));
    }
    desk.key(KeyCode::Esc);
    let told: Vec<(Option<Level>, &str)> =
        desk.state.log.entries().iter().map(|entry| (entry.level, entry.text.as_str())).collect();
    assert_eq!(
        told,
        [
            (None, "connected to worker 1 (0)"),
            (Some(Level::Error), "job 3 failed: no memory"),
            (None, "job 4 is done: 4 pictures"),
            (Some(Level::Error), "the line broke"),
        ]
    );
    desk.key(KeyCode::F(8));
    assert_eq!(desk.state.log.scrolled(), Some(0));
    desk.type_text("x");
    assert_eq!(desk.state.prompt.editor.text(), "a fox", "what is typed goes nowhere");
    desk.key(KeyCode::Esc);
    assert_eq!(desk.state.log.scrolled(), None);
}

#[test]
fn the_first_lines_go_with_the_first_key_which_counts() {
    let mut desk = Desk::connected();
    desk.state.view.tour = true;
    let effects = desk.key(KeyCode::Char('a'));
    assert_eq!(kept(&effects), [Keep::Studio(Kept { toured: true, ..Kept::default() })]);
    assert_eq!(desk.state.prompt.editor.text(), "a");
    assert_eq!(kept(&desk.key(KeyCode::Char('b'))), []);
}
