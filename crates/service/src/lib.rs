//! poolkeeper-service
