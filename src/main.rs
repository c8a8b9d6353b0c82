//! flux-tui
fn main() {}
