//! Seeds by key: one that goes up, and one of those that were tried; and snippets.

use super::{Home, open};

#[test]
fn seeds_go_up_and_come_back_from_the_list() {
    let home = Home::new();
    let config = home.path().join(".config/flux-tui");
    std::fs::create_dir_all(&config).expect("a folder");
    std::fs::write(config.join("snippets.toml"), "mine = \"in snow\"\nbad = 3\n").expect("there is room");
    let mut studio = open(&home);
    studio.see("Nothing to set up");
    studio.type_keys("a fox\x1bs");
    studio.see("snippets.toml, line 2");
    studio.type_keys("mine");
    studio.see("Snippets: mine");
    studio.type_keys("\r");
    studio.see("a fox, in snow");
    // Two steps, and the seed two fields below: 41, going up.
    studio.type_keys("\x1b");
    studio.until("no notice", |screen| (!screen.contents().contains("line 2")).then_some(()));
    studio.type_keys("\t2\x1b[B\x1b[B41i");
    studio.see("seed 41+");
    studio.type_keys("\r");
    studio.see("seed 42+");
    studio.type_keys("\r");
    studio.see("History 2");
    studio.type_keys("s");
    studio.see("Seeds of this prompt");
    studio.see("128×128  nano");
    studio.type_keys("41\r");
    studio.until("the first seed again", |screen| {
        let text = screen.contents();
        (text.contains("seed 41") && !text.contains("41+") && !text.contains("Seeds of")).then_some(())
    });
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
}
