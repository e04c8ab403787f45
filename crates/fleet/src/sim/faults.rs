//! What can be broken and mended.

use domain::name::PoolName;

/// There is no such thing to break or to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    #[error("there is no machine {0:?}")]
    Machine(String),
    #[error("the fleet has no pool {0}")]
    Pool(PoolName),
}
