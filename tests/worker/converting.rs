//! What wide models become in fp8 is kept in the background, once a model, where a person wants it, and not for longer
//! than the worker lives.

use flux_tui::device::{DeviceChoice, PrecisionChoice};
use flux_tui::job::Job;

use crate::support::{Place, job};

fn in_fp8(prompt: &str) -> Job {
    job(prompt).placed(DeviceChoice::Auto, PrecisionChoice::Fp8)
}

#[tokio::test]
async fn a_model_that_was_rounded_is_kept_after_its_first_picture_and_until_the_worker_ends() {
    let mut place = Place::new();
    place.settings.keep_converted = true;
    place.start().await;
    let mut watch = place.watch().await;
    watch.draw(job("a")).await;
    assert_eq!(place.models.kept(), [] as [String; 0], "nothing was rounded");
    // The second picture finds it begun; it does not wait for it.
    watch.draw(in_fp8("a")).await;
    watch.draw(in_fp8("b")).await;
    drop(watch);
    place.stop().await;
    assert_eq!(place.models.kept(), ["alpha begun", "alpha stopped"]);
}

#[tokio::test]
async fn nothing_is_kept_where_nobody_wants_it() {
    let mut place = Place::started().await;
    let mut watch = place.watch().await;
    watch.draw(in_fp8("a")).await;
    drop(watch);
    place.stop().await;
    assert_eq!(place.models.kept(), [] as [String; 0]);
}
