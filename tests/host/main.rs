//! The worker of another machine. There is one machine here: in place of `ssh` stands a script that runs what it is
//! told in another home, so that far and near share nothing but the line. `benches/ssh` has the same over a real sshd.

#[path = "../home/mod.rs"]
mod home;
#[path = "../terminal/mod.rs"]
mod terminal;

mod commands;
mod far;
mod studio;
mod trouble;
