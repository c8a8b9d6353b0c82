//! From axes as they are written to the jobs of the cells, and what is refused before anything is drawn.

use super::*;
use crate::job::JobError;
use crate::job::{LoraChoice, Prompt, Seed, Size, Wildcards};
use crate::model::ModelName;

fn job(prompt: &str) -> Job {
    let prompt = Prompt::new(prompt).expect("text");
    let size = Size::new(64, 64).expect("on the grid");
    let job = Job::new(prompt, ModelName::new("nano"), size, 20, 3.5, Seed::Random, 1).expect("drawable");
    let read = |name: &str| match name {
        "animal" => Ok("fox\n2::hare\nowl".to_owned()),
        other => Err(JobError::NoWildcard(other.to_owned())),
    };
    let wildcards = Wildcards::gather(job.prompt.as_str(), read).expect("known");
    job.with_wildcards(wildcards)
}

fn order(prompt: &str, axes: &[&str]) -> Result<GridOrder, GridError> {
    let job = job(prompt);
    let axes = axes.iter().map(|axis| Axis::parse(axis, job.wildcards())).collect::<Result<_, _>>()?;
    GridOrder::new(job, axes)
}

fn values(axis: &str) -> Vec<String> {
    Axis::parse(axis, &Wildcards::default()).expect("an axis").values().to_vec()
}

#[test]
fn values_are_between_commas_and_in_ranges() {
    assert_eq!(values("guidance=2, 3.5,5"), ["2", "3.5", "5"]);
    assert_eq!(values("steps=2..6/2"), ["2", "4", "6"]);
    assert_eq!(values("steps=2..7/2,20"), ["2", "4", "6", "20"]);
    assert_eq!(values("seed=18446744073709551613..18446744073709551615").len(), 3);
    assert_eq!(values("lora:ink=0..0.3/0.1"), ["0", "0.1", "0.2", "0.3"]);
    assert_eq!(values("lora:ink=-1..1/0.5"), ["-1", "-0.5", "0", "0.5", "1"]);
    assert_eq!(values("size=64x64,96x64"), ["64x64", "96x64"]);
}

#[test]
fn cells_go_by_rows_and_have_one_seed() {
    let order = order("a fox", &["guidance=2,3.5", "steps=4..12/4"]).expect("drawable");
    assert_eq!((order.columns(), order.rows(), order.cells()), (2, 3, 6));
    let jobs: Vec<Job> = (0..6).map(|cell| order.cell(cell, 7).expect("drawable")).collect();
    assert!(jobs.iter().all(|job| job.seed == Seed::Fixed(7) && job.count() == 1));
    let asked: Vec<_> = jobs.iter().map(|job| (job.guidance(), job.steps())).collect();
    assert_eq!(asked, [(2.0, 4), (3.5, 4), (2.0, 8), (3.5, 8), (2.0, 12), (3.5, 12)]);
    assert_eq!(order.place(3), "guidance 3.5, steps 8");
    assert_eq!(order.to_string(), "guidance × steps");
}

#[test]
fn a_seed_on_an_axis_is_the_cells() {
    let order = order("a fox", &["seed=1..3"]).expect("drawable");
    let seeds: Vec<_> = (0..3).map(|cell| order.cell(cell, 7).expect("drawable").seed).collect();
    assert_eq!(seeds, [Seed::Fixed(1), Seed::Fixed(2), Seed::Fixed(3)]);
}

#[test]
fn a_choice_and_a_wildcard_of_the_prompt_can_be_axes() {
    let prompt = "a {red|2::blue {sky|sea}|} __animal__ in __animal__ land";
    assert_eq!(choices(prompt), ["{red|2::blue {sky|sea}|}", "__animal__"]);
    let order = order(prompt, &["prompt:{red|2::blue {sky|sea}|}", "prompt:__animal__"]).expect("drawable");
    let prompt = |cell| order.cell(cell, 7).expect("drawable").prompt.as_str().to_owned();
    assert_eq!((order.columns(), order.rows()), (3, 3));
    assert_eq!(prompt(0), "a red fox in fox land");
    assert_eq!(prompt(4), "a blue {sky|sea} hare in hare land");
    assert_eq!(prompt(8), "a  owl in owl land");
    assert!(
        order.cell(0, 7).expect("drawable").wildcards().is_empty(),
        "no cell takes lines that it does not name"
    );
    assert_eq!(order.axes()[0].label(2), "–");
}

#[test]
fn a_lora_is_added_or_changed() {
    let lora = LoraChoice::new("ink", 0.7).expect("a LoRA");
    for job in [job("a fox"), job("a fox").with_loras(vec![lora]).expect("one")] {
        let axis = Axis::parse("lora:ink=0,0.5", job.wildcards()).expect("an axis");
        let order = GridOrder::new(job, vec![axis]).expect("drawable");
        let strengths = |cell| {
            order
                .cell(cell, 7)
                .expect("drawable")
                .loras()
                .iter()
                .map(LoraChoice::strength)
                .collect::<Vec<_>>()
        };
        assert_eq!((strengths(0), strengths(1)), (vec![0.0], vec![0.5]));
    }
    let by_path = LoraChoice::new("/loras/ink.safetensors", 0.7).expect("a LoRA");
    let job = job("a fox").with_loras(vec![by_path]).expect("one");
    let axis = Axis::parse("lora:ink=0.5", job.wildcards()).expect("an axis");
    let cell = GridOrder::new(job, vec![axis]).and_then(|order| order.cell(0, 7)).expect("drawable");
    let loras: Vec<_> = cell.loras().iter().map(|lora| (lora.file(), lora.strength())).collect();
    assert_eq!(loras, [("/loras/ink.safetensors", 0.5)], "its name is enough");
    let tagged = order("a fox <lora:ink:1>", &["lora:ink=0,1"]);
    assert_eq!(tagged, Err(GridError::Tagged("ink".to_owned())));
}

#[test]
fn a_model_stays_loaded_for_all_that_it_draws() {
    for (axes, model_is_first) in [(["model=a,b", "seed=1..3"], true), (["seed=1..3", "model=a,b"], false)] {
        let order = order("a fox", &axes).expect("drawable");
        let models: Vec<_> =
            order.drawing_order().iter().map(|cell| order.cell(*cell, 7).expect("drawable").model).collect();
        let changes = models.windows(2).filter(|two| two[0] != two[1]).count();
        assert_eq!((models.len(), changes), (6, 1), "{model_is_first}");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_would_work() {
    let message = |axes: &[&str]| order("a {red|blue} fox", axes).expect_err("wrong").to_string();
    for (axes, says) in [
        (&["cfg=2"][..], "\"cfg=2\" is no axis"),
        (&["guidance"], "write NAME=VALUES"),
        (&["steps=0,4"], "steps 0 is out of range: 1 to 200"),
        (&["steps=4.5"], "\"4.5\" cannot be on the axis steps: it is no whole number"),
        (&["guidance=x"], "it is no number"),
        (&["guidance=200"], "0 to 100"),
        (&["size=100x64"], "the nearest is 96"),
        (&["size=big"], "768x512"),
        (&["seed=-1"], "a seed of a grid is a number"),
        (&["lora:ink=9999"], "cannot have strength"),
        (&["steps=6..2"], "a range goes up"),
        (&["steps=1..9/0"], "a range goes up"),
        (&["seed=0..18446744073709551615"], "1 to 64 can be"),
        (&["guidance=0..100/0.000001"], "1 to 64 can be"),
        (&["steps="], "has 0 values"),
        (&["steps=4,4"], "has 4 twice"),
        (&["prompt:{green|blue}"], "the prompt has no {green|blue}"),
        (&["prompt:red"], "\"prompt:red\" is no axis"),
        (&["prompt:__nowhere__"], "lines of the wildcard __nowhere__ are not known"),
        (&["steps=1,2", "steps=3,4"], "both axes are steps"),
        (&["size=64x64", "width=64,96"], "both axes are width"),
        (&["seed=1..20", "steps=1..20"], "20 times 20 are 400 pictures; a grid has at most 256"),
        (&[], "one axis or two, not 0"),
        (&["steps=1", "seed=1", "guidance=1"], "one axis or two, not 3"),
    ] {
        let message = message(axes);
        assert!(message.contains(says), "{axes:?}: {message}");
    }
    let many = Job { count: 4, ..job("a fox") };
    let axis = Axis::parse("steps=1,2", &Wildcards::default()).expect("an axis");
    assert_eq!(GridOrder::new(many, vec![axis]), Err(GridError::Count(4)));
}

#[test]
fn what_is_decoded_is_checked_again() {
    let order = order("a fox", &["steps=4,8"]).expect("drawable");
    let json = serde_json::to_string(&order).expect("JSON");
    assert_eq!(serde_json::from_str::<GridOrder>(&json).expect("the same"), order);
    for (from, to) in [("\"4\"", "\"0\""), ("\"4\"", "\"8\""), ("\"count\":1", "\"count\":2")] {
        let changed = json.replacen(from, to, 1);
        assert_ne!(changed, json, "{from} is in it");
        assert!(serde_json::from_str::<GridOrder>(&changed).is_err(), "{to}");
    }
}
