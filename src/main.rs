//! Rusk.
fn main() {}
