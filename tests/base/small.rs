//! The small files beside FLUX.1's weights say what is published of them.

use flux_tui::catalog::{self, Recipe};
use flux_tui::engine::text::encode::{Clip, T5};
use flux_tui::engine::vae::decoder::Scaling;
use flux_tui::engine::weights::{Part, Weights};
use flux_tui::model::{ModelName, Source};

fn flux1() -> Recipe {
    catalog::find(&ModelName::new("flux1-dev")).expect("it is in the catalogue").recipe
}

fn nanos(file: &str, part: Part) -> Weights {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nano").join(file);
    Weights::open_part(&Source::File(path), part).expect("nano is whole")
}

/// An encoder is loaded as its configuration says: nano's weights are too small for these.
#[test]
fn the_encoders_configurations_ask_for_t5_xxl_and_clip_l() {
    let t5 = T5::load(&nanos("t5.safetensors", Part::T5), &flux1().t5_config).expect_err("it is nano's");
    assert!(t5.to_string().contains("[32128, 4096]"), "{t5}");
    let clip = Clip::load(&nanos("clip.safetensors", Part::Clip), &flux1().clip_config);
    let clip = clip.map(drop).expect_err("it is nano's");
    assert!(clip.to_string().contains("[49408, 768]"), "{clip}");
}

#[test]
fn the_vaes_scale_and_shift_are_flux1s() {
    let scaling = Scaling::read(&flux1().vae_config).expect("it is read");
    assert_eq!((scaling.scale, scaling.shift), (0.3611, 0.1159));
}

/// Of a grey latent, a linear map gives its own bias, -1 to 1.
#[test]
fn the_preview_has_three_rows_of_sixteen_and_a_bias() {
    let preview: serde_json::Value =
        serde_json::from_slice(&flux1().preview.read().expect("built in")).expect("JSON");
    let rows = preview["weight"].as_array().expect("rows");
    assert_eq!(rows.iter().map(|row| row.as_array().map(Vec::len)).collect::<Vec<_>>(), [Some(16); 3]);
    assert_eq!(preview["bias"].as_array().map(Vec::len), Some(3));
}
