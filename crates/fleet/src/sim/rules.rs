//! What a fleet does by itself, as functions of what it was told and the time.

use super::failure::FailureModel;
use super::timing::Timing;

#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub timing: Timing,
    pub failures: FailureModel,
}
