//! Who holds what of a card's memory, counted where it is taken.

use flux_tui::device::{Device, LoadOptions, Owner, Share};
use flux_tui::engine::{self, Draw as _};

use super::{gpu, pictures};

fn of(shares: &[Share], owner: Owner) -> u64 {
    shares.iter().find(|share| share.owner == owner).map_or(0, |share| share.bytes)
}

#[test]
fn owners_hold_what_was_planned_and_give_all_of_it_back() {
    let Some(gpu) = gpu() else { return };
    let engine = pictures::load(&gpu, LoadOptions::default());
    let (held, planned) = (gpu.owners(), engine.shares());
    eprintln!("held {held:?}\nplanned {planned:?}");
    for owner in [Owner::Transformer, Owner::Encoders, Owner::Vae] {
        // The plan counts whole pages of the driver.
        let (held, planned) = (of(&held, owner), of(&planned, owner));
        assert!(0 < held && held <= planned, "{owner:?}: {held} of {planned}");
        assert!(of(&engine::held(Device::Cuda(0)), owner) >= held, "all of the process are counted");
    }
    assert_eq!(of(&held, Owner::Loras), 0);
    let sum: u64 = held.iter().map(|share| share.bytes).sum();
    assert_eq!(sum, gpu.held());
    drop(engine);
    for owner in [Owner::Transformer, Owner::Streamed, Owner::Encoders, Owner::Vae] {
        assert_eq!(of(&gpu.owners(), owner), 0, "{owner:?}");
    }
}
