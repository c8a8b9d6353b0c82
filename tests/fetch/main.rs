//! Getting published files, against a server on this machine that speaks the hubs' APIs.

#[path = "../home/mod.rs"]
mod home;

mod broken;
mod command;
mod commits;
mod layout;
mod refused;
mod server;
mod support;
