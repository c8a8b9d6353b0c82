//! The prompts of the library: found by a few letters, taken whole and in parts.

use super::{Home, open};

#[test]
fn a_prompt_of_the_library_is_found_by_letters_and_drawn_again() {
    let home = Home::new();
    let draw = |prompt: &str, seed: &str| {
        home.run(&["generate", prompt, "--steps", "2", "--seed", seed]).done();
    };
    draw("an owl at night, ink", "77");
    draw("a red apple, 3d", "8");
    draw("a red apple, 3d", "9");
    let mut studio = open(&home);
    studio.see("History 3");
    studio.type_keys("mine\x12");
    studio.see("2 pictures");
    studio.type_keys("owlnk");
    studio.see("Prompts: owlnk");
    studio.see("2 steps · guidance 3 · seed 77");
    // Only the prompt, then only the seed of another.
    studio.type_keys("\x10");
    studio.until("the owl in the prompt", |screen| {
        let row = screen.rows(0, 36).nth(2)?;
        row.contains("an owl at night, ink").then_some(())
    });
    studio.type_keys("\x12apple\x13");
    studio.see("seed 9");
    studio.type_keys(" in snow");
    studio.see("an owl at night, ink in snow");
    // All of it: two steps as well; and once more with the next seed.
    studio.type_keys("\x12owl\r");
    studio.see("steps 2 ");
    studio.type_keys("\r");
    studio.see("History 4");
    studio.type_keys("\x14");
    studio.see("History 5");
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
    let told = home.run(&["library", "list", "--json"]).json();
    let pictures = told["pictures"].as_array().expect("a list");
    let seeds: Vec<_> = pictures.iter().map(|picture| &picture["recipe"]["seed"]).collect();
    assert_eq!(seeds, [78, 77, 9, 8, 77], "{told}");
}
