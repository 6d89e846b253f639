//! Benchmarks of mnas.
fn main() {}
