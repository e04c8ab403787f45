//! Looks at what is committed, after every commit, through an index that no fault reaches.

use clock::Clock;
use reconcile::audit::{self, Trail};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use store::index::Touched;
use store::{MemStore, State, StoreError};
use tokio::sync::mpsc::UnboundedReceiver;

pub(crate) struct Auditor {
    state: State,
    clock: Arc<dyn Clock>,
    found: Mutex<BTreeSet<String>>,
    steps: Mutex<Steps>,
}

/// The steps of every record.
struct Steps {
    trail: Trail,
    touched: UnboundedReceiver<Touched>,
}

impl Auditor {
    pub async fn new(store: MemStore, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let state = State::load(Arc::new(store)).await?;
        let touched = state.index().subscribe();
        Ok(Self {
            state,
            clock,
            found: Mutex::default(),
            steps: Mutex::new(Steps {
                trail: Trail::default(),
                touched,
            }),
        })
    }

    /// What is committed now.
    pub async fn committed(&self) -> &State {
        if let Err(error) = self.state.refresh().await {
            self.report(format!("what is committed cannot be read: {error}"));
        }
        &self.state
    }

    pub async fn check(&self) {
        let state = self.committed().await;
        for violation in audit::audit(&state.index().read()) {
            self.report(format!("{violation:?}"));
        }
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let Steps { trail, touched } = &mut *steps;
        while let Ok(change) = touched.try_recv() {
            for violation in trail.follow(&change) {
                self.report(format!("{violation:?}"));
            }
        }
    }

    /// Each violation once, with when it was first seen.
    pub fn report(&self, violation: String) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if !found.iter().any(|known| known.ends_with(&violation)) {
            found.insert(format!("{} {violation}", self.clock.now()));
        }
    }

    pub fn take(&self) -> Vec<String> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *found).into_iter().collect()
    }
}
