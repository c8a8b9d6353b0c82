//! A LoRA that was trained (`models/nano/train_lora.py`): dark blue ink on cream paper. It is seen, and can be measured.

use crate::home::Home;
use crate::model::fixture;

/// The colours of ink and paper that the script trains.
const INK: [f32; 3] = [28.0, 44.0, 110.0];
const PAPER: [f32; 3] = [246.0, 238.0, 220.0];

/// How far a picture's colours are from the line between ink and paper: a mean over all values, of 255.
fn off_ink(path: &str) -> f32 {
    let picture = image::open(path).expect("a picture").to_rgb8();
    let off = picture.pixels().map(|pixel| {
        let [r, g, b] = pixel.0.map(f32::from);
        let light = (0.299 * r + 0.587 * g + 0.114 * b) / 255.0;
        let line = |at: usize| INK[at] + light * (PAPER[at] - INK[at]);
        ((r - line(0)).abs() + (g - line(1)).abs() + (b - line(2)).abs()) / 3.0
    });
    off.sum::<f32>() / (picture.width() * picture.height()) as f32
}

#[test]
fn ink_draws_in_ink_and_more_of_it_at_full_strength_than_at_half() {
    let home = Home::new();
    let ink = fixture("ink");
    assert!(std::fs::metadata(&ink).expect("it is there").len() < 1 << 20);
    for prompt in ["a red apple", "a rocket, cartoon", "a house on a green background"] {
        let off = |strength: &str| {
            let lora = format!("{}:{strength}", ink.display());
            let arguments = ["generate", prompt, "--seed", "7", "--device", "cpu", "--json", "--lora", &lora];
            let object = home.run(&arguments).json();
            off_ink(object["path"].as_str().expect("a path"))
        };
        let (without, half, full) = (off("0"), off("0.5"), off("1"));
        assert!(full < half && half < without, "{prompt}: {without} without, {half} at half, {full} with");
        assert!(full < 0.4 * without, "{prompt}: {without} without, {full} with");
    }
}
