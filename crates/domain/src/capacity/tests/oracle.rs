//! Decisions against a search through everything that could be given back.

use super::*;

/// A place as the rules speak of it: a pool with all below it, or its own workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Sum(usize),
    Own(usize),
}

#[derive(Debug, Clone)]
struct World {
    levels: Vec<Level>,
    capacity: u64,
}

impl World {
    fn has_children(&self, pool: usize) -> bool {
        self.levels.iter().any(|level| level.parent == Some(pool))
    }

    /// From a pool's own workloads up to the root.
    fn path(&self, pool: usize) -> Vec<Place> {
        let own = self.has_children(pool).then_some(Place::Own(pool));
        let sums = std::iter::successors(Some(pool), |at| self.levels[*at].parent).map(Place::Sum);
        own.into_iter().chain(sums).collect()
    }

    fn guaranteed(&self, place: Place) -> u64 {
        match place {
            Place::Sum(pool) => self.levels[pool].guaranteed,
            Place::Own(pool) => {
                let children = self.levels.iter().filter(|level| level.parent == Some(pool));
                self.levels[pool].guaranteed - children.map(|child| child.guaranteed).sum::<u64>()
            }
        }
    }

    fn limit(&self, place: Place) -> u64 {
        match place {
            Place::Sum(0) => self.capacity,
            Place::Own(0) => u64::MAX,
            Place::Sum(pool) | Place::Own(pool) => self.levels[pool].ceiling,
        }
    }

    fn used(&self, place: Place, runs: &[Run]) -> u64 {
        let inside = |run: &&Run| self.path(run.pool).contains(&place);
        runs.iter().filter(inside).map(|run| run.size).sum()
    }

    fn fits(&self, pool: usize, size: u64, runs: &[Run]) -> bool {
        self.path(pool)
            .iter()
            .all(|place| self.used(*place, runs) + size <= self.limit(*place))
    }

    fn is_guaranteed(&self, place: Place, size: u64, runs: &[Run]) -> bool {
        self.used(place, runs) + size <= self.guaranteed(place)
    }

    /// Whether this workload may be asked to give back for that request.
    fn is_borrower(&self, victim: &Run, pool: usize, size: u64, runs: &[Run]) -> bool {
        let (own, other) = (self.path(pool), self.path(victim.pool));
        let Some(common) = own.iter().find(|place| other.contains(place)) else {
            return false;
        };
        let below = |path: &[Place]| path.iter().position(|place| place == common).and_then(|at| at.checked_sub(1));
        let (Some(entitled), Some(borrowing)) = (below(&own), below(&other)) else {
            return false;
        };
        self.is_guaranteed(own[entitled], size, runs)
            && other[..=borrowing]
                .iter()
                .all(|place| self.used(*place, runs) > self.guaranteed(*place))
    }

    /// Whether workloads can be asked one after the other until the request fits; only these, where `only` says so.
    fn can_reclaim(&self, pool: usize, size: u64, runs: &[Run], only: Option<&[WorkId]>) -> bool {
        if self.fits(pool, size, runs) {
            return true;
        }
        runs.iter().enumerate().any(|(at, victim)| {
            let mut rest = runs.to_vec();
            rest.remove(at);
            only.is_none_or(|only| only.contains(&victim.id))
                && self.is_borrower(victim, pool, size, runs)
                && self.can_reclaim(pool, size, &rest, only)
        })
    }
}

/// Workloads that fit beside each other, some of which were asked to give back, and a request.
fn cases() -> impl Strategy<Value = (World, Vec<Run>, Vec<bool>, usize, u64)> {
    let work = (any::<prop::sample::Index>(), 1..4_u64, 0..3_u32, prop::bool::weighted(0.1));
    let request = (any::<prop::sample::Index>(), 1..5_u64);
    (trees(), prop::collection::vec(work, 0..8), request).prop_map(|((levels, capacity), works, (at, size))| {
        let pools = levels.len();
        let world = World { levels, capacity };
        let (mut runs, mut returning) = (Vec::new(), Vec::new());
        for (number, (pool, size, priority, is_returning)) in works.into_iter().enumerate() {
            let run = Run {
                id: number as u64,
                pool: pool.index(pools),
                size,
                priority,
                since: number as i64,
                is_lasting: false,
            };
            if world.fits(run.pool, run.size, &runs) {
                runs.push(run);
                returning.push(is_returning);
            }
        }
        (world, runs, returning, at.index(pools), size)
    })
}

fn ledger(world: &World, runs: &[Run], returning: &[bool]) -> Ledger {
    let mut ledger = Ledger::new(Tree::new(&world.levels).unwrap(), world.capacity);
    for (run, is_returning) in runs.iter().zip(returning) {
        ledger.start(*run);
        if *is_returning {
            ledger.give_back(run.id);
        }
    }
    ledger
}

proptest! {
    #![proptest_config(at_least(4_000))]

    #[test]
    fn a_decision_is_what_a_search_finds((world, runs, returning, pool, size) in cases()) {
        let mut books = ledger(&world, &runs, &returning);
        let decision = books.decide(pool, size);
        let staying: Vec<Run> = runs.iter().zip(&returning).filter(|(_, returning)| !**returning).map(|(run, _)| *run).collect();
        let fits_now = world.fits(pool, size, &runs);
        let fits_soon = world.fits(pool, size, &staying);
        match &decision {
            Decision::Start => prop_assert!(fits_now),
            Decision::Soon => prop_assert!(fits_soon && !fits_now),
            Decision::Reclaim(victims) => {
                prop_assert!(!fits_soon && !victims.is_empty());
                prop_assert!(world.can_reclaim(pool, size, &staying, Some(victims)), "{victims:?} are not to be asked");
                for spared in victims {
                    let fewer: Vec<WorkId> = victims.iter().filter(|id| *id != spared).copied().collect();
                    prop_assert!(!world.can_reclaim(pool, size, &staying, Some(&fewer)), "{spared} need not be asked");
                }
            }
            Decision::Wait(_) => {
                prop_assert!(!fits_soon);
                let own = world.path(pool)[0];
                let is_whole = world.capacity >= world.levels[0].guaranteed;
                prop_assert!(!(is_whole && world.is_guaranteed(own, size, &staying)), "a guarantee is not met");
            }
        }
        if !fits_soon && !world.can_reclaim(pool, size, &staying, None) {
            prop_assert!(matches!(decision, Decision::Wait(_)));
        }
        // Deciding changes nothing.
        prop_assert_eq!(books.decide(pool, size), decision);
        for at in 0..world.levels.len() {
            prop_assert_eq!(books.used(at), world.used(Place::Sum(at), &runs));
        }
    }

    #[test]
    fn nobody_is_asked_whose_pool_is_within_its_guarantee((world, runs, returning, pool, size) in cases()) {
        let staying: Vec<Run> = runs.iter().zip(&returning).filter(|(_, returning)| !**returning).map(|(run, _)| *run).collect();
        if let Decision::Reclaim(victims) = ledger(&world, &runs, &returning).decide(pool, size) {
            for run in staying.iter().filter(|run| victims.contains(&run.id)) {
                let own = world.path(run.pool)[0];
                prop_assert!(world.used(own, &staying) > world.guaranteed(own));
            }
        }
    }

    #[test]
    fn books_that_were_kept_are_like_books_made_anew((world, runs, returning, pool, size) in cases(), gone in any::<u8>()) {
        let mut kept = ledger(&world, &runs, &returning);
        let is_gone = |run: &Run| gone & (1 << run.id) != 0;
        runs.iter().filter(|run| is_gone(run)).for_each(|run| kept.end(run.id));
        let (left, flags): (Vec<Run>, Vec<bool>) = runs.iter().zip(&returning).filter(|(run, _)| !is_gone(run)).unzip();
        prop_assert_eq!(kept.decide(pool, size), ledger(&world, &left, &flags).decide(pool, size));
    }
}
