//! What users were told, to be held against what is committed: nothing that was acknowledged may be lost.

use domain::meta::Uid;
use domain::pool::Pool;

/// What a user knows of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Account {
    /// It is not there, or is being deleted.
    #[default]
    Absent,
    There(Known),
    /// An answer was lost: it may be there or not.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub uid: Uid,
    pub generation: u64,
    /// The acknowledged number of nodes. `None`: an answer was lost, or somebody else may have changed it.
    pub count: Option<u32>,
}

impl Account {
    pub fn acknowledge(&mut self, pool: &Pool) {
        if pool.deleted_at.is_some() {
            *self = Self::Absent;
            return;
        }
        *self = Self::There(Known {
            uid: pool.uid.clone(),
            generation: pool.generation,
            count: Some(pool.wanted()),
        });
    }

    /// The outcome of a change is not known.
    pub fn doubt_count(&mut self) {
        if let Self::There(known) = self {
            known.count = None;
        }
    }

    /// What is wrong about the committed pool, if anything.
    pub fn check(&self, committed: Option<&Pool>) -> Result<(), String> {
        match (self, committed) {
            (Self::Unknown, _) | (Self::Absent, None) => Ok(()),
            (Self::Absent, Some(pool)) if pool.deleted_at.is_some() => Ok(()),
            (Self::Absent, Some(_)) => Err("a pool that was deleted is there".to_owned()),
            (Self::There(_), None) => Err("a pool that was acknowledged is gone".to_owned()),
            (Self::There(known), Some(pool)) => known.check(pool),
        }
    }
}

impl Known {
    fn check(&self, pool: &Pool) -> Result<(), String> {
        if pool.uid != self.uid {
            return Err("a pool that was acknowledged is another one".to_owned());
        }
        if pool.deleted_at.is_some() {
            return Err("a pool that nobody deleted is being deleted".to_owned());
        }
        if pool.generation < self.generation {
            return Err(format!("generation {} was acknowledged, not {}", self.generation, pool.generation));
        }
        match self.count {
            Some(count) if count != pool.wanted() => Err(format!("{count} nodes were acknowledged, not {}", pool.wanted())),
            Some(_) | None => Ok(()),
        }
    }
}
