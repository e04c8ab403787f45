//! poolkeeper-http
