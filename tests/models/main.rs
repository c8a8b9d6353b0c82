//! Fetching models by the worker and in the studio, against the hub on this machine that `tests/fetch` has.

#[path = "../home/mod.rs"]
mod home;
#[path = "../fetch/server.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod server;
#[path = "../base/sparse.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod sparse;
#[path = "../terminal/mod.rs"]
mod terminal;

mod held;
mod place;
mod studio;
mod tiny;
mod worker;
