//! What pictures of some sizes will take: by those that were drawn there, and by plan.

use flux_tui::device::{Device, DeviceChoice, LoadOptions, NoDevice};
use flux_tui::job::Size;
use flux_tui::job::costs::{Cost, CostsRequest};
use flux_tui::model::ModelName;
use flux_tui::wire::message::*;

use crate::support::{Place, Watch, job};

const CARDS: [Device; 2] = [Device::Cuda(0), Device::Cpu];

/// The size that jobs have here, one that is larger, and one that there is no room for.
const SIZES: [(u32, u32); 3] = [(64, 48), (128, 128), (2048, 2048)];

fn size((width, height): (u32, u32)) -> Size {
    Size::new(width, height).expect("on the grid")
}

async fn costs(watch: &Watch, device: DeviceChoice) -> Vec<Cost> {
    let (model, load) = (ModelName::new("alpha"), LoadOptions::default());
    let sizes = SIZES.map(size).into();
    let asked = CostsRequest { model, device, load, steps: 7, loras: Vec::new(), sizes };
    match watch.client.call(Request::Costs(asked)).await {
        Ok(Response::Costs(costs)) => costs,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn sizes_that_were_not_drawn_are_planned_on_a_card_and_each_device_has_its_own() {
    let place = Place::started_on(&CARDS).await;
    let mut watch = place.watch().await;
    let planned = |at: usize, tokens: u64| Cost {
        size: size(SIZES[at]),
        seconds: Some(7.0),
        seen: false,
        peak: Some(tokens * 1000),
        too_large: false,
    };
    let none = Cost { seconds: None, peak: None, ..planned(0, 0) };
    let too_large = Cost { size: size(SIZES[2]), too_large: true, ..none };
    assert_eq!(
        costs(&watch, DeviceChoice::Auto).await,
        [planned(0, 12), planned(1, 64), too_large],
        "nothing was drawn"
    );
    assert_eq!(costs(&watch, DeviceChoice::Cpu).await, SIZES.map(|it| Cost { size: size(it), ..none }));

    watch.draw(job("a").placed(DeviceChoice::Cuda, LoadOptions::default())).await;
    let told = costs(&watch, DeviceChoice::Cuda).await;
    assert!(told[0].seen && told[0].peak.is_some() && told[0].seconds != Some(7.0), "{told:?}");
    assert_eq!(told[1..], [planned(1, 64), too_large]);
    let learned = place.models.placed().last().expect("it was planned").learned;
    assert!(learned.card.is_some(), "what the card showed is known to the plan");
    let of_cpu = costs(&watch, DeviceChoice::Cpu).await;
    assert!(of_cpu.iter().all(|cost| cost.seconds.is_none()), "a card's times are not the CPU's: {of_cpu:?}");

    let refused = watch
        .refused(Request::Costs(CostsRequest {
            model: ModelName::new("alpha"),
            device: DeviceChoice::CudaAt(7),
            load: LoadOptions::default(),
            steps: 7,
            loras: Vec::new(),
            sizes: Vec::new(),
        }))
        .await;
    assert!(matches!(refused, Refusal::NoDevice(NoDevice { .. })), "{refused:?}");
}

#[tokio::test]
async fn the_loras_of_a_picture_are_planned_with_it() {
    let place = Place::started_on(&CARDS).await;
    let watch = place.watch().await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lora/fixtures/kohya.safetensors");
    let asked = CostsRequest {
        model: ModelName::new("alpha"),
        device: DeviceChoice::Cuda,
        load: LoadOptions::default(),
        steps: 7,
        loras: vec![path.to_owned(), "/nowhere/gone.safetensors".to_owned()],
        sizes: vec![size(SIZES[0])],
    };
    let told = watch.client.call(Request::Costs(asked)).await;
    assert!(matches!(told, Ok(Response::Costs(_))), "{told:?}");
    let bytes = std::fs::metadata(path).expect("it is there").len();
    assert_eq!(place.models.placed().iter().map(|on| on.picture.loras).collect::<Vec<_>>(), [bytes]);
}

#[tokio::test]
async fn a_card_that_nobody_knows_is_not_tried_beside_a_picture() {
    let place = Place::started_on(&CARDS).await;
    let mut watch = place.watch().await;
    let id = watch.submit(job("hold").placed(DeviceChoice::Cpu, LoadOptions::default())).await.id;
    watch.running(1).await;
    assert!(costs(&watch, DeviceChoice::Cuda).await.iter().all(|cost| cost.seconds.is_none()));
    place.models.release();
    watch.over(id).await;
    assert!(costs(&watch, DeviceChoice::Cuda).await.iter().any(|cost| cost.seconds.is_some()));
}
