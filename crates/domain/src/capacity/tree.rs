//! The tree of guarantees and ceilings.

/// A pool of the tree, in nodes of one flavor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Position of the parent; `None`: the physical pool, which is at position 0.
    pub parent: Option<usize>,
    pub guaranteed: u64,
    pub ceiling: u64,
}

/// Why levels make no tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    #[error("there is no pool")]
    Empty,
    #[error("pool {0} does not come after its parent")]
    Order(usize),
    #[error("pool {0} has no parent and is not the first")]
    SecondRoot(usize),
}

/// Pools in which parents come before their children. A pool with children has a place of its own besides that of its sum:
/// there stand the workloads that were submitted to it itself.
#[derive(Debug, Clone)]
pub struct Tree {
    places: Vec<Place>,
    /// Where the workloads of a pool stand.
    leaves: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    parent: Option<usize>,
    guaranteed: u64,
    ceiling: u64,
}

impl Tree {
    /// Guarantees of children that go beyond that of their parent leave nothing for the parent's own workloads.
    pub fn new(levels: &[Level]) -> Result<Self, TreeError> {
        if levels.is_empty() {
            return Err(TreeError::Empty);
        }
        let mut own: Vec<u64> = levels.iter().map(|level| level.guaranteed).collect();
        let mut has_children = vec![false; levels.len()];
        for (at, level) in levels.iter().enumerate() {
            match level.parent {
                None if at > 0 => return Err(TreeError::SecondRoot(at)),
                Some(parent) if parent >= at => return Err(TreeError::Order(at)),
                None => {}
                Some(parent) => {
                    own[parent] = own[parent].saturating_sub(level.guaranteed);
                    has_children[parent] = true;
                }
            }
        }
        let place = |level: &Level| Place {
            parent: level.parent,
            guaranteed: level.guaranteed,
            ceiling: level.ceiling,
        };
        let mut places: Vec<Place> = levels.iter().map(place).collect();
        let mut leaves: Vec<usize> = (0..levels.len()).collect();
        for (at, level) in levels.iter().enumerate().filter(|(at, _)| has_children[*at]) {
            leaves[at] = places.len();
            places.push(Place {
                parent: Some(at),
                guaranteed: own[at],
                ceiling: level.ceiling,
            });
        }
        Ok(Self { places, leaves })
    }

    /// Pools in the tree.
    pub fn pools(&self) -> usize {
        self.leaves.len()
    }

    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    /// Where the workloads of a pool stand; those of a pool that is not in the tree stand with the root's.
    pub(super) fn leaf(&self, pool: usize) -> usize {
        self.leaves.get(pool).or_else(|| self.leaves.first()).copied().unwrap_or(0)
    }

    /// The pool of a place.
    pub(super) fn pool_at(&self, place: usize) -> usize {
        if place < self.leaves.len() {
            place
        } else {
            self.places[place].parent.unwrap_or(0)
        }
    }

    pub(super) fn parent(&self, place: usize) -> Option<usize> {
        self.places[place].parent
    }

    pub(super) fn guaranteed(&self, place: usize) -> u64 {
        self.places[place].guaranteed
    }

    pub(super) fn ceiling(&self, place: usize) -> u64 {
        self.places[place].ceiling
    }

    /// From a leaf up to the root.
    pub(super) fn path(&self, leaf: usize) -> Vec<usize> {
        std::iter::successors(Some(leaf), |at| self.parent(*at)).collect()
    }
}
