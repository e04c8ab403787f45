//! Pools against the contract: published examples, documented members, leniency, and bodies that come back as they were shown.

mod arbitrary;
mod leniency;
mod published;
mod rewrite;
mod sample;
mod valid;

use super::{decode_create, decode_patch, decode_retry_scope};
