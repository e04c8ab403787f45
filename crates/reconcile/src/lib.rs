//! poolkeeper-reconcile
