//! poolkeeper-auth
