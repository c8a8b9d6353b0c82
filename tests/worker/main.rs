//! The worker with a scripted engine, in this process and, where it is to be killed, in another.

mod scripted;
mod support;

mod checkpoints;
mod converting;
mod costs;
mod crash;
mod daemon;
mod damaged;
mod devices;
mod drawing;
mod full;
mod hostile;
mod library;
mod marks;
mod order;
mod process;
mod replay;
