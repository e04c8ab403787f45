//! poolkeeper-benches
