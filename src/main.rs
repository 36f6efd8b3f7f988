//! ramal
fn main() {}
