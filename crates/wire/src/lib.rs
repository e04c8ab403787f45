//! poolkeeper-wire
