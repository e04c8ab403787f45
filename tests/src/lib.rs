//! poolkeeper-tests
