//! Plans over random cards, budgets and models; the order of turns in simulated time; FLUX.1-dev's own numbers.

use proptest::prelude::*;

use super::turns::{Span, Turns, Use, simulate, steady};
use super::*;

const GB: f64 = 1e9;

fn gb(bytes: f64) -> u64 {
    (bytes * GB) as u64
}

/// FLUX.1-dev in fp8 at 1024², 20 steps, as measured.
fn flux() -> Sizes {
    let single = 113_300_000;
    Sizes {
        outside: gb(0.62),
        ends: gb(0.026),
        loras: 0,
        modulation: Modulation { layers: gb(3.19), largest: gb(0.0567), embedders: gb(0.063) },
        double: Kind { count: 19, bytes: 2 * single },
        single: Kind { count: 38, bytes: single },
        t5: Encoder { weights: gb(9.52), brought: gb(0.39), room: gb(0.07) },
        clip: Encoder { weights: gb(0.246), brought: gb(0.246), room: gb(0.005) },
        vae: gb(0.1),
        tiles: vec![
            Tile { rows: 64, columns: 64, bytes: gb(1.09), work: 1.0 },
            Tile { rows: 22, columns: 64, bytes: gb(0.44), work: 4.1 },
            Tile { rows: 14, columns: 64, bytes: gb(0.316), work: 5.3 },
        ],
        conditions: gb(0.08),
        embeddings: gb(0.001),
        in_files: true,
        workspace: gb(0.37),
        latent: gb(0.001),
        steps: 20,
    }
}

fn h100() -> Speed {
    Speed { pinned: 55e9, mapped: 44e9, disk: 2e9, step: Some(0.081), decode: Some(0.0186) }
}

fn at(budget: f64) -> Result<Plan, Unplannable> {
    plan(&flux(), &h100(), Limits { budget: gb(budget), free: gb(80.0), host: u64::MAX })
}

/// However the model is divided, what its owners hold is what the plan says that a step takes.
#[test]
fn the_shares_of_all_owners_are_what_a_step_takes() {
    for budget in [2.5, 4.0, 6.0, 8.0, 11.4, 16.0, 24.0, 80.0] {
        let loras = Sizes { loras: gb(0.3), ..flux() };
        for sizes in [flux(), loras] {
            let limits = Limits { budget: gb(budget), free: gb(80.0), host: u64::MAX };
            let plan = plan(&sizes, &h100(), limits).expect("something fits");
            let sum: u64 = plan.shares.iter().map(|share| share.bytes).sum();
            assert_eq!(sum, plan.peaks.denoise, "{budget} GB: {:?}", plan.shares);
            let streams = plan.shares.iter().any(|share| share.owner == crate::device::Owner::Streamed);
            assert_eq!(streams, plan.transformer.slots > 0, "{budget} GB");
        }
    }
}

#[test]
fn a_card_of_12_gb_streams_nothing_and_one_of_24_keeps_the_encoders() {
    let plan = at(11.4).expect("the body fits");
    assert_eq!((plan.transformer.streamed_blocks(), plan.transformer.slots), (0, 0));
    assert!(!plan.transformer.modulation_stays && !plan.t5_stays && !plan.clip_stays);
    assert!((plan.step - 0.081).abs() < 1e-9);
    let plan = at(24.0).expect("all fits");
    assert!(plan.transformer.modulation_stays && plan.t5_stays && plan.clip_stays, "{plan:?}");
    assert_eq!(plan.tile.work, 1.0);
}

#[test]
fn smaller_budgets_stream_and_come_near_the_floor_of_their_bytes() {
    for (budget, most) in [(8.0, 1.02), (6.0, 1.10), (4.0, 1.05), (2.0, 1.02)] {
        let plan = at(budget).expect("it can be streamed");
        let floor = (plan.streamed_bytes as f64 / 55e9).max(0.081);
        eprintln!(
            "{budget} GB: {} blocks in {} slots, {:.2} GB a step, {:.1} ms (floor {:.1}), peak {:.2} GB, tile {}",
            plan.transformer.streamed_blocks(),
            plan.transformer.slots,
            plan.streamed_bytes as f64 / GB,
            plan.step * 1e3,
            floor * 1e3,
            plan.peak() as f64 / GB,
            plan.tile.rows,
        );
        assert!(plan.step <= most * floor, "{budget} GB: {} s, floor {floor}", plan.step);
        assert!(plan.peak() <= gb(budget));
    }
}

/// The peaks that an article reports for a 12 GB card; steps and activations as measured on an H100.
#[test]
fn the_budgets_of_a_12_gb_card_are_met_at_its_sizes() {
    for (budget, rows, workspace, decode, step) in
        [(7.9, 32, 0.12, 0.29, 0.024), (9.2, 48, 0.17, 0.43, 0.033), (10.8, 48, 0.21, 0.62, 0.044)]
    {
        let tiles = vec![Tile { rows, columns: rows, bytes: gb(decode), work: 1.0 }];
        let sizes = Sizes { tiles, workspace: gb(workspace), ..flux() };
        let speed = Speed { step: Some(step), decode: None, ..h100() };
        let limits = Limits { budget: gb(budget), free: gb(80.0), host: u64::MAX };
        let plan = plan(&sizes, &speed, limits).expect("it can be drawn");
        eprintln!(
            "{budget} GB: {:.2} GB a step, {:.1} ms of {:.1} resident, peak {:.2} GB",
            plan.streamed_bytes as f64 / GB,
            plan.step * 1e3,
            step * 1e3,
            plan.peak() as f64 / GB,
        );
        let floor = (plan.streamed_bytes as f64 / 55e9).max(step);
        assert!(plan.peak() <= gb(budget) && plan.step <= 1.15 * floor, "{plan:?}");
    }
}

#[test]
fn streaming_hides_where_a_step_computes_for_longer_than_its_bytes_take() {
    let slow = Speed { pinned: 12.5e9, step: Some(1.6), ..h100() };
    for budget in [2.5, 4.0, 6.0, 8.0] {
        let plan = plan(&flux(), &slow, Limits { budget: gb(budget), free: gb(12.0), host: u64::MAX })
            .expect("it can be streamed");
        assert!(plan.step <= 1.6 * 1.03, "{budget} GB: {} s", plan.step);
    }
}

#[test]
fn what_cannot_fit_says_what_would() {
    let none = at(1.0).expect_err("1 GB is too little");
    let text = none.to_string();
    assert!(text.contains("the budget is 1.00 GB") && text.contains("raise the budget"), "{text}");
    assert!(at(none.least as f64 / GB + 1e-6).is_ok());
    let busy = plan(&flux(), &h100(), Limits { budget: gb(8.0), free: gb(0.5), host: u64::MAX })
        .expect_err("the card is full");
    assert!(busy.to_string().contains("0.50 GB are free on the card: end what else uses"), "{busy}");
}

#[test]
fn the_host_decodes_only_where_nothing_else_has_room() {
    let sizes = |smallest| {
        let tile = Tile { rows: 14, columns: 64, bytes: gb(smallest), work: 5.3 };
        Sizes { tiles: vec![tile, Tile::ON_HOST], ..flux() }
    };
    let limits = Limits { budget: gb(4.0), free: gb(80.0), host: u64::MAX };
    let on_card = plan(&sizes(0.3), &h100(), limits).expect("it can be drawn");
    assert!(!on_card.tile.is_on_host(), "{on_card:?}");
    let on_host = plan(&sizes(5.0), &h100(), limits).expect("it can be drawn");
    assert!(on_host.tile.is_on_host() && on_host.peak() <= gb(4.0), "{on_host:?}");
    // Streaming more to make room for a tile is better than minutes on the host.
    let streamed = plan(&sizes(2.5), &h100(), limits).expect("it can be drawn");
    assert!(!streamed.tile.is_on_host(), "{streamed:?}");
}

prop_compose! {
    fn kinds()(count in 1usize..24, bytes in 1u64 << 16..1 << 28) -> Kind {
        Kind { count, bytes }
    }
}

prop_compose! {
    fn encoders()(weights in 1u64 << 16..10 << 30, share in 0.01..1.0, room in 0u64..1 << 28) -> Encoder {
        Encoder { weights, brought: (weights as f64 * share) as u64, room }
    }
}

prop_compose! {
    fn models()(
        (double, single, t5, clip) in (kinds(), kinds(), encoders(), encoders()),
        (layers, ends, loras) in (1u64 << 20..4 << 30, 0u64..1 << 26, 0u64..1 << 30),
        (vae, outside) in (0u64..1 << 28, 0u64..1 << 30),
        (conditions, workspace, whole) in (0u64..1 << 27, 1u64 << 20..2 << 30, 1u64 << 20..4 << 30),
        tiles in 1usize..4,
        steps in 1u32..50,
        in_files in any::<bool>(),
    ) -> Sizes {
        let tiles = (0..tiles).map(|at| Tile {
            rows: 64 >> at, columns: 64 >> at, bytes: whole >> (2 * at), work: 1.0 + 0.4 * at as f64,
        });
        Sizes {
            outside, ends, loras, vae, conditions, workspace, steps, double, single, t5, clip, in_files,
            modulation: Modulation { layers, largest: layers / 40, embedders: layers / 50 },
            tiles: tiles.collect(),
            embeddings: 1 << 20,
            latent: 1 << 20,
        }
    }
}

prop_compose! {
    fn speeds()(
        pinned in 1e9..60e9,
        mapped in 0.1..1.0,
        disk in 0.01..1.0,
        step in prop::option::of(0.005..5.0),
        decode in prop::option::of(0.005..1.0),
    ) -> Speed {
        Speed { pinned, mapped: pinned * mapped, disk: pinned * disk, step, decode }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_plan_never_exceeds_its_limits_and_more_budget_is_never_slower(
        sizes in models(),
        speed in speeds(),
        free in 1u64 << 28..40 << 30,
        budget in 1u64 << 28..40 << 30,
        more in 0u64..8 << 30,
        host in 0u64..16 << 30,
    ) {
        let small = plan(&sizes, &speed, Limits { budget, free, host });
        let large = plan(&sizes, &speed, Limits { budget: budget + more, free, host });
        match (&small, &large) {
            (Ok(small), Ok(large)) => {
                for plan in [small, large] {
                    let blocks = &plan.transformer;
                    prop_assert_eq!(blocks.streamed.len(), sizes.blocks());
                    let streamed = blocks.streamed_blocks();
                    let slots = if streamed == 0 { 0..1 } else { 2..streamed };
                    prop_assert!(slots.contains(&blocks.slots), "{} of {streamed}", blocks.slots);
                    let bytes = |index| if index < sizes.double.count { sizes.double.bytes } else { sizes.single.bytes };
                    let pairs: Vec<(bool, u64)> =
                        blocks.streamed.iter().enumerate().map(|(at, &is)| (is, bytes(at))).collect();
                    let of = |which| pairs.iter().filter(move |(is, _)| *is == which).map(|(_, bytes)| *bytes);
                    prop_assert_eq!(of(true).sum::<u64>(), plan.streamed_bytes);
                    // What is held, counted again from the plan alone.
                    let held = of(false).sum::<u64>() + blocks.slots as u64 * of(true).max().unwrap_or(0);
                    let held = held + if plan.t5_stays { sizes.t5.weights } else { 0 };
                    let held = held + if blocks.modulation_stays { sizes.modulation.layers } else { 0 };
                    let transient = sizes.workspace.max(plan.tile.bytes);
                    prop_assert!(held + transient + sizes.outside <= plan.peak());
                    let copied = plan.streamed_bytes
                        + if blocks.modulation_stays { 0 } else { sizes.modulation.layers };
                    prop_assert_eq!(blocks.source == Source::Pinned, copied <= host);
                    prop_assert!(blocks.source == Source::Pinned || sizes.in_files);
                    let rate = if blocks.source == Source::Pinned { speed.pinned } else { speed.disk };
                    let floor = (plan.streamed_bytes as f64 / rate).max(speed.step.unwrap_or(0.0));
                    prop_assert!(plan.step >= floor * (1.0 - 1e-9), "{} under {floor}", plan.step);
                }
                prop_assert!(small.peak() <= budget.min(free));
                prop_assert!(large.peak() <= (budget + more).min(free));
                prop_assert!(large.picture <= small.picture);
            }
            (Ok(_), Err(_)) => prop_assert!(false, "more budget, and no plan"),
            (Err(none), _) => {
                let limits = Limits { budget: none.least, free: none.least, host };
                prop_assert!(plan(&sizes, &speed, limits).is_ok(), "what was said to do does not");
                prop_assert!(none.least > budget.min(free));
            }
        }
    }

    #[test]
    fn no_slot_is_overwritten_in_use_and_every_piece_is_there_when_it_is_used(
        uses in prop::collection::vec((0.0..0.1, prop::option::of(0.001..0.1)), 1..60),
        slots in 1usize..5,
    ) {
        let uses: Vec<Use> = uses.into_iter().map(|(compute, copy)| Use { compute, copy }).collect();
        let mut spans: Vec<Span> = Vec::new();
        let ends = simulate(&uses, slots, 4, |span| spans.push(span));
        let streamed = uses.iter().filter(|one| one.copy.is_some()).count();
        prop_assert_eq!(ends.len(), 4);
        prop_assert_eq!(spans.iter().filter(|span| !span.copied).count(), 4 * streamed);
        for slot in 0..slots {
            let mut of: Vec<&Span> = spans.iter().filter(|span| span.slot == slot).collect();
            of.sort_by(|a, b| a.from.total_cmp(&b.from).then(a.to.total_cmp(&b.to)));
            let mut inside = None;
            for pair in of.windows(2) {
                prop_assert!(pair[0].to <= pair[1].from, "{:?} and {:?}", pair[0], pair[1]);
            }
            for span in of {
                if span.copied {
                    inside = Some(span.piece);
                } else {
                    prop_assert_eq!(inside, Some(span.piece));
                }
            }
        }
        if streamed > slots {
            // The next step's first pieces are on their way before this one ends.
            for step in 0..4 {
                let ahead = spans.iter().filter(|span| span.copied && span.piece == 0 && span.step <= step);
                prop_assert_eq!(ahead.count(), step + 2);
            }
        } else {
            prop_assert_eq!(spans.iter().filter(|span| span.copied).count(), streamed);
        }
    }

    #[test]
    fn a_step_that_is_broken_off_leaves_nothing_wrong_behind(
        pieces in 1usize..20,
        slots in 1usize..5,
        stops in prop::collection::vec(0usize..20, 1..6),
    ) {
        let mut turns = Turns::new(pieces, slots, true);
        let mut inside = vec![None; slots];
        for stop in stops {
            for piece in 0..stop.min(pieces) {
                let (slot, bring) = turns.begin(piece);
                bring.into_iter().for_each(|one| inside[one.slot] = Some(one.piece));
                prop_assert_eq!(inside[slot], Some(piece));
                if let Some(one) = turns.end(piece) {
                    inside[one.slot] = Some(one.piece);
                }
            }
        }
    }
}

#[test]
fn pieces_that_are_used_once_are_brought_once() {
    let mut turns = Turns::new(5, 2, false);
    let mut brought = Vec::new();
    for piece in 0..5 {
        let (_, bring) = turns.begin(piece);
        brought.extend(bring.into_iter().chain(turns.end(piece)).map(|one| one.piece));
    }
    assert_eq!(brought, [0, 1, 2, 3, 4]);
}

#[test]
fn two_slots_keep_the_copies_going_without_a_pause() {
    let uses = [Use { compute: 0.001, copy: Some(0.002) }; 57];
    assert!((steady(&uses, 2) - 57.0 * 0.002).abs() < 1e-9);
    let uses = [Use { compute: 0.003, copy: Some(0.002) }; 57];
    assert!((steady(&uses, 2) - 57.0 * 0.003).abs() < 1e-9);
}
