//! Benchmarks against ceilings measured in the same run. One command, one report: see docs/benchmarks.md.

mod bare;
mod load;
mod sqlite;

fn main() {}
