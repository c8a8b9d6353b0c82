//! LoRAs merged into the weights that the CPU holds: the numbers of those beside them, undone to the bit, and told.

use flux_tui::device::MergeChoice;
use flux_tui::job::Span;

use crate::forms::names;
use crate::home::Home;
use crate::model::{Nano, Numbers, STRENGTH, bits, difference, fixture, lora};
use crate::program::{QUICK, keep, pixels, recipe};

fn merging() -> Nano {
    let nano = Nano::new();
    Nano { loras: nano.loras.merging(MergeChoice::Resident), ..nano }
}

#[test]
fn merged_has_the_velocity_of_beside_and_of_diffusers_in_every_form() {
    let (mut merged, mut beside, numbers) = (merging(), Nano::new(), Numbers::read());
    for name in names() {
        let files = [lora(&fixture(&name), STRENGTH)];
        let (ours, theirs) = (merged.velocity_with(&files, &numbers), beside.velocity_with(&files, &numbers));
        let apart = difference(&ours, &theirs);
        assert!(apart < 1e-5, "{name}: merged and beside are {apart:.1e} apart");
        let apart = difference(&ours, &numbers.values(&name));
        assert!(apart < 1e-4, "{name} is {apart:.1e} off diffusers");
        assert!(merged.loras.note().starts_with("; LoRAs merged into "), "{name}: {}", merged.loras.note());
        assert_eq!(beside.loras.note(), "");
    }
}

#[test]
fn what_was_merged_is_undone_to_the_bit_and_gives_the_same_bits_whatever_was_there_before() {
    let (mut nano, numbers) = (merging(), Numbers::read());
    let own = bits(&nano.velocity(&numbers));
    let files = |names: &[&str]| names.iter().map(|name| lora(&fixture(name), 0.6)).collect::<Vec<_>>();
    let first = bits(&nano.velocity_with(&files(&["kohya", "lokr"]), &numbers));
    assert!(first != own);
    for before in [&["dora", "full"][..], &["loha"], &[]] {
        let other = nano.velocity_with(&files(before), &numbers);
        assert_eq!(bits(&other) == own, before.is_empty(), "{before:?}");
        let again = bits(&nano.velocity_with(&files(&["kohya", "lokr"]), &numbers));
        assert!(again == first, "after {before:?}");
    }
    nano.velocity_with(&[], &numbers);
    assert!(bits(&nano.velocity(&numbers)) == own);
}

#[test]
fn what_counts_in_some_steps_alone_stays_beside_and_that_is_told() {
    let (mut nano, mut beside, numbers) = (merging(), Nano::new(), Numbers::read());
    let span: Span = "0-60%".parse().expect("a span");
    let some = [flux_tui::engine::LoraFile { steps: span, ..lora(&fixture("kohya"), 0.5) }];
    let ours = nano.velocity_with(&some, &numbers);
    assert!(bits(&ours) == bits(&beside.velocity_with(&some, &numbers)));
    assert!(nano.loras.note().contains("some of the steps alone"), "{}", nano.loras.note());
    let whole = [lora(&fixture("kohya"), 0.5)];
    nano.velocity_with(&whole, &numbers);
    assert!(nano.loras.note().contains("merged into"), "the same in all steps is another wish");
    assert_ne!(nano.loras.numerics(&whole), beside.loras.numerics(&whole));
    assert_eq!(nano.loras.numerics(&some), beside.loras.numerics(&some));
}

#[test]
fn a_job_that_merges_says_so_and_draws_nearly_the_same_picture() {
    let home = Home::new();
    keep(&home, "kohya", ".local/share/flux-tui/loras/ink.safetensors");
    let draw = |more: &[&str]| {
        let ran =
            home.run(&[&["generate", "a cat", "--lora", "ink:0.8"], &QUICK[..], more, &["--json"]].concat());
        ran.done();
        ran.json()
    };
    let (beside, merged) = (draw(&[]), draw(&["--merge-loras", "resident"]));
    let [one, other] = [&beside, &merged].map(pixels);
    let apart = one.iter().zip(&other).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(apart.is_some_and(|most| most <= 2), "{apart:?}");
    let precision =
        |object: &serde_json::Value| recipe(object["path"].as_str().expect("a path").as_ref()).precision;
    assert!(precision(&merged).contains("LoRAs merged into "), "{}", precision(&merged));
    assert!(!precision(&beside).contains("LoRAs"), "{}", precision(&beside));
    // What is configured holds where nothing is said.
    let config = home.path().join(".config/flux-tui/config.toml");
    std::fs::create_dir_all(config.parent().expect("a folder")).expect("it can be made");
    std::fs::write(config, "[defaults]\nmerge_loras = \"resident\"\n").expect("it can be written");
    assert!(precision(&draw(&[])).contains("LoRAs merged into "));
    assert_eq!(pixels(&draw(&["--merge-loras", "never"])), one);
}
