//! poolkeeper
