//! poolkeeper-sim
