//! poolkeeper-store-sql
