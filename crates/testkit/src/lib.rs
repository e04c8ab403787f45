//! poolkeeper-testkit
