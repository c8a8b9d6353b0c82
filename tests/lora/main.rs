//! LoRAs of the built-in model in every form: the velocity is what diffusers gives with the weights merged by each tool's
//! own formula, what is taken away leaves nothing, and files that are none are refused with their reason. The files in
//! `fixtures/` come from `make_fixtures.py`.

mod bad;
mod beside;
mod forms;
#[path = "../home/mod.rs"]
mod home;
mod merging;
mod model;
mod program;
mod studio;
#[path = "../terminal/mod.rs"]
mod terminal;
mod trained;
