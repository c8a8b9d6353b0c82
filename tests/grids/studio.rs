//! A grid by keys in a real terminal, and its sheet found again by the next studio.

use super::{Home, open};

#[test]
fn a_grid_is_asked_for_by_keys_and_opened_again() {
    let home = Home::new();
    let mut studio = open(&home);
    studio.see("Nothing to set up");
    studio.type_keys("a {red|blue} fox");
    studio.see("{red|blue} fox");
    studio.type_keys("\x1ba");
    studio.see("2 pictures: 2 across, 1 down");
    // Down to the second axis, and on from the choice and guidance to steps; 1 to 2 of them.
    studio.type_keys("\x1b[B\x1b[C\x1b[C\x1b[C\x1b[B");
    studio.see("4..20/4");
    studio.type_keys("\x7f\x7f\x7f\x7f\x7f\x7f\x7f1..2");
    studio.see("4 pictures: 2 across, 2 down");
    studio.type_keys("\r");
    studio.see("grid 1");
    studio.see("complete");
    studio.see("History 4");
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
    let grid = home.grid_when(1, "the sheet is written", |grid| !grid["sheet"].is_null());
    assert_eq!(grid["cells"].as_array().map(Vec::len), Some(4));

    let mut again = open(&home);
    again.see("History 4");
    again.type_keys("an owl\x1ba");
    again.see("Across");
    again.type_keys("\x0f");
    again.see("grid 1");
    again.type_keys("\x03");
    assert_eq!(again.ended(), 0);
}

#[test]
fn a_size_is_chosen_by_its_shape_with_what_it_took() {
    let home = Home::new();
    let drawn = home
        .run(&["generate", "a fox", "--ratio", "1:1", "--megapixels", "0.25", "--steps", "1", "--json"])
        .json();
    assert_eq!((&drawn["width"], &drawn["height"]), (&512.into(), &512.into()));
    let mut studio = open(&home);
    studio.see("History 1");
    studio.type_keys("\ta");
    studio.see("Sizes at 0.25 MP");
    let row = |ratio: &str| {
        let ratio = ratio.to_owned();
        move |screen: &vt100::Screen| {
            let text = screen.contents();
            text.lines().find(|line| line.contains(&ratio) && line.contains(" s")).map(str::to_owned)
        }
    };
    let seen = studio.until("what the size took", row("1:1    512×512"));
    assert!(!seen.contains('~'), "{seen}");
    let reckoned = studio.until("what another will take", row("3:2    624×416"));
    assert!(reckoned.contains('~'), "{reckoned}");
    studio.type_keys("\x1b[B\x1b[B\r");
    studio.until("the size in the parameters", |screen| {
        let text = screen.contents();
        (text.contains("624") && text.contains("416") && !text.contains("Sizes at")).then_some(())
    });
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
}
