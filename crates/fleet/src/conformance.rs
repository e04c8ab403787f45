//! The suite that every fleet must pass.
