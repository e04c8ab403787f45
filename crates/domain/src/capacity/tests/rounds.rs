//! Rounds over whole lives: what must hold whatever is submitted and ends.

use super::*;
use std::collections::BTreeMap;

/// What happens between two rounds.
#[derive(Debug, Clone)]
enum Happening {
    Submit {
        pool: prop::sample::Index,
        size: u64,
        priority: u32,
        is_lasting: bool,
    },
    End(prop::sample::Index),
    /// The time to give back passes.
    Grace,
    /// So many machines are broken from now on, of those that nothing runs on.
    Broken(u64),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let submit =
        (any::<prop::sample::Index>(), 1..5_u64, 0..3_u32, prop::bool::weighted(0.2)).prop_map(|(pool, size, priority, is_lasting)| {
            Happening::Submit {
                pool,
                size,
                priority,
                is_lasting,
            }
        });
    let one = prop_oneof![4 => submit, 2 => any::<prop::sample::Index>().prop_map(Happening::End), 2 => Just(Happening::Grace), 1 => (0..6_u64).prop_map(Happening::Broken)];
    prop::collection::vec(one, 1..40)
}

#[derive(Debug, Clone)]
struct Job {
    request: Request,
    started: Option<i64>,
    is_returning: bool,
}

#[derive(Debug, Clone)]
struct World {
    levels: Vec<Level>,
    whole: u64,
    capacity: u64,
    jobs: BTreeMap<WorkId, Job>,
    now: i64,
    evictions: usize,
}

impl World {
    fn new(levels: Vec<Level>, capacity: u64) -> Self {
        Self {
            levels,
            whole: capacity,
            capacity,
            jobs: BTreeMap::new(),
            now: 0,
            evictions: 0,
        }
    }

    fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::new(Tree::new(&self.levels).unwrap(), self.capacity);
        for (id, job) in &self.jobs {
            let Some(since) = job.started else { continue };
            let Request {
                pool,
                size,
                priority,
                is_lasting,
                ..
            } = job.request;
            ledger.start(Run {
                id: *id,
                pool,
                size,
                priority,
                since,
                is_lasting,
            });
            if job.is_returning {
                ledger.give_back(*id);
            }
        }
        ledger
    }

    fn waiting(&self) -> Vec<Request> {
        self.jobs
            .values()
            .filter(|job| job.started.is_none())
            .map(|job| job.request)
            .collect()
    }

    fn round(&mut self) -> Vec<Step> {
        self.now += 1;
        let waiting = self.waiting();
        let steps = round(&mut self.ledger(), &waiting, self.now);
        for step in &steps {
            match step {
                Step::Start(id) => {
                    let job = self.jobs.get_mut(id).unwrap();
                    job.started = Some(self.now);
                    job.request.is_promised = false;
                }
                Step::GiveBack(id) => self.jobs.get_mut(id).unwrap().is_returning = true,
                Step::Wait(id, wait) => self.jobs.get_mut(id).unwrap().request.is_promised = *wait == Wait::Returning,
            }
        }
        steps
    }

    fn submit(&mut self, pool: usize, size: u64, priority: u32, is_lasting: bool) {
        let id = self.jobs.last_key_value().map_or(1, |(id, _)| id + 1);
        let request = Request {
            id,
            pool,
            size,
            priority,
            submitted: self.now,
            is_lasting,
            is_promised: false,
        };
        let job = Job {
            request,
            started: None,
            is_returning: false,
        };
        self.jobs.insert(id, job);
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Submit {
                pool,
                size,
                priority,
                is_lasting,
            } => {
                let pool = pool.index(self.levels.len());
                self.submit(pool, *size, *priority, *is_lasting);
            }
            Happening::End(at) => {
                let running: Vec<WorkId> = self
                    .jobs
                    .iter()
                    .filter(|(_, job)| job.started.is_some())
                    .map(|(id, _)| *id)
                    .collect();
                if !running.is_empty() {
                    self.jobs.remove(&running[at.index(running.len())]);
                }
            }
            Happening::Grace => self.pass_grace(),
            Happening::Broken(count) => self.capacity = self.whole.saturating_sub(*count).max(self.ledger().used(0)),
        }
    }

    fn pass_grace(&mut self) {
        for job in self.jobs.values_mut().filter(|job| job.is_returning) {
            job.is_returning = false;
            job.started = None;
            self.evictions += 1;
        }
    }

    fn check(&self, steps: &[Step], promised: &[WorkId]) -> Result<(), TestCaseError> {
        let ledger = self.ledger();
        prop_assert!(ledger.used(0) <= self.capacity);
        for (at, level) in self.levels.iter().enumerate().skip(1) {
            prop_assert!(ledger.used(at) <= level.ceiling, "pool {at} is above its ceiling");
        }
        let told: Vec<WorkId> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Start(id) | Step::Wait(id, _) => Some(*id),
                Step::GiveBack(_) => None,
            })
            .collect();
        for request in self.waiting() {
            prop_assert!(told.contains(&request.id), "{} waits without a reason", request.id);
        }
        self.check_order(steps, promised)
    }

    /// What holds others back is never overtaken by what comes after it in its pool, but by what was promised before.
    fn check_order(&self, steps: &[Step], promised: &[WorkId]) -> Result<(), TestCaseError> {
        for step in steps {
            let Step::Wait(id, Wait::Returning | Wait::Behind) = step else {
                continue;
            };
            let waits = &self.jobs[id].request;
            for other in steps {
                let Step::Start(other) = other else { continue };
                let started = &self.jobs[other].request;
                let is_later = (started.pool, std::cmp::Reverse(started.priority), started.submitted, started.id)
                    > (waits.pool, std::cmp::Reverse(waits.priority), waits.submitted, waits.id);
                prop_assert!(
                    started.pool != waits.pool || promised.contains(other) || !is_later,
                    "{other} overtook {id}"
                );
            }
        }
        Ok(())
    }

    /// The first of each queue, or of what was promised, that its own pool's guarantee covers.
    fn in_need(&self) -> Vec<WorkId> {
        let ledger = self.ledger();
        let mut first: BTreeMap<usize, Request> = BTreeMap::new();
        for request in self.waiting() {
            let key = |request: &Request| {
                (
                    !request.is_promised,
                    std::cmp::Reverse(request.priority),
                    request.submitted,
                    request.id,
                )
            };
            let known = first.entry(request.pool).or_insert(request);
            if key(&request) < key(known) {
                *known = request;
            }
        }
        let covered = |request: &&Request| ledger.is_covered(request.pool, request.size);
        first.values().filter(covered).map(|request| request.id).collect()
    }
}

/// Lets the oldest of what runs end, again and again: everything is let in that could run alone.
fn let_everything_end(world: &mut World) -> Result<(), TestCaseError> {
    let bound = 4 * world.jobs.len() + 4;
    for _ in 0..bound {
        world.pass_grace();
        world.round();
        let oldest = world
            .jobs
            .iter()
            .filter(|(_, job)| job.started.is_some())
            .min_by_key(|(id, job)| (job.started, **id));
        let Some(oldest) = oldest.map(|(id, _)| *id) else { break };
        world.jobs.remove(&oldest);
    }
    world.round();
    let mut empty = World::new(world.levels.clone(), world.capacity).ledger();
    for request in world.waiting() {
        let alone = empty.decide(request.pool, request.size);
        prop_assert!(alone != Decision::Start, "{} was never let in", request.id);
    }
    Ok(())
}

/// Found by the property on what ends. The last request is guaranteed its nodes lower in the tree than the fifth, which had been
/// promised its own.
#[test]
fn when_all_that_runs_ends_with_machines_broken_a_promise_does_not_stay_behind() -> Result<(), TestCaseError> {
    let level = |parent, guaranteed, ceiling| Level {
        parent,
        guaranteed,
        ceiling,
    };
    let levels = vec![level(None, 8, 8), level(Some(0), 2, 2), level(Some(0), 3, 4), level(Some(2), 0, 0)];
    let mut world = World::new(levels, 5);
    let submitted = [
        (0, 1, 0),
        (0, 1, 0),
        (0, 1, 0),
        (0, 1, 0),
        (0, 3, 0),
        (2, 4, 2),
        (0, 1, 0),
        (0, 1, 0),
        (2, 3, 0),
    ];
    for (pool, size, priority) in submitted {
        world.submit(pool, size, priority, false);
        world.round();
    }
    let_everything_end(&mut world)
}

proptest! {
    #![proptest_config(at_least(1_500))]

    #[test]
    fn rounds_keep_to_the_nodes_the_ceilings_and_the_order(((levels, capacity), life) in (trees(), happenings())) {
        let mut world = World::new(levels, capacity);
        for happening in &life {
            world.happen(happening);
            let promised: Vec<WorkId> = world.waiting().iter().filter(|request| request.is_promised).map(|request| request.id).collect();
            let steps = world.round();
            world.check(&steps, &promised)?;
        }
    }

    #[test]
    fn a_guarantee_is_restored_when_the_time_to_give_back_is_over(((levels, _), life) in (trees(), happenings())) {
        let whole = levels[0].guaranteed;
        let mut world = World::new(levels, whole);
        for happening in &life {
            world.happen(happening);
            // Nothing can be restored without machines.
            world.capacity = whole;
            let needed = world.in_need();
            world.round();
            world.pass_grace();
            world.round();
            for id in needed {
                prop_assert!(world.jobs[&id].started.is_some(), "{id} waits for what it is guaranteed");
            }
        }
    }

    #[test]
    fn nobody_pushes_anybody_out_in_turn(((levels, capacity), life) in (trees(), happenings())) {
        let mut world = World::new(levels, capacity);
        for happening in &life {
            world.happen(happening);
            world.round();
        }
        // Nothing is submitted and nothing ends any more: all comes to rest.
        let before = world.evictions;
        let bound = world.jobs.len() * world.levels.len() + 2;
        let mut rounds = 0;
        loop {
            world.pass_grace();
            let steps = world.round();
            if !steps.iter().any(|step| matches!(step, Step::Start(_) | Step::GiveBack(_))) {
                break;
            }
            rounds += 1;
            prop_assert!(rounds <= bound, "after {rounds} rounds and {} evictions it goes on", world.evictions - before);
        }
    }

    #[test]
    fn everything_that_ends_lets_everything_run(((levels, capacity), life) in (trees(), happenings())) {
        let mut world = World::new(levels, capacity);
        for happening in &life {
            world.happen(happening);
            world.round();
        }
        let_everything_end(&mut world)?;
    }

    /// Whoever decides need not come again before something has happened.
    #[test]
    fn a_round_that_changes_nothing_leaves_nothing_to_decide(((levels, capacity), life) in (trees(), happenings())) {
        let mut world = World::new(levels, capacity);
        // Two at a time: what gives back and what breaks may do so at once.
        for happenings in life.chunks(2) {
            for happening in happenings {
                world.happen(happening);
            }
            let mut empty = World::new(world.levels.clone(), world.capacity).ledger();
            let mut books = world.ledger();
            let steps = world.round();
            for step in &steps {
                match step {
                    Step::Start(id) => books.start(world.jobs[id].request.run(world.now)),
                    Step::GiveBack(id) => {
                        let asked = world.jobs[id].request;
                        prop_assert!(!books.is_covered(asked.pool, 0), "{id} was within what its pool is guaranteed");
                    }
                    Step::Wait(..) => {}
                }
            }
            if world.jobs.values().all(|job| job.started.is_none()) {
                let could = world.waiting().into_iter().find(|request| empty.decide(request.pool, request.size) == Decision::Start);
                prop_assert_eq!(could, None, "nothing runs");
            }
            let is_idle = !steps.iter().any(|step| matches!(step, Step::Start(_) | Step::GiveBack(_)));
            if is_idle && !world.jobs.values().any(|job| job.is_returning) {
                prop_assert_eq!(world.round(), steps);
            }
        }
    }

    #[test]
    fn the_order_in_which_requests_are_given_does_not_matter(((levels, capacity), life) in (trees(), happenings()), turn in 0..40_usize) {
        let mut world = World::new(levels, capacity);
        for happening in &life {
            world.happen(happening);
            let waiting = world.waiting();
            let mut turned = waiting.clone();
            turned.reverse();
            if !turned.is_empty() {
                let by = turn % turned.len();
                turned.rotate_left(by);
            }
            let one = round(&mut world.ledger(), &waiting, world.now);
            let other = round(&mut world.ledger(), &turned, world.now);
            prop_assert_eq!(one, other);
            world.round();
        }
    }

    #[test]
    fn a_round_decides_as_if_everybody_were_looked_at_each_time(((levels, capacity), life) in (trees(), happenings())) {
        let mut world = World::new(levels, capacity);
        for happening in &life {
            world.happen(happening);
            let waiting = world.waiting();
            let quick = round(&mut world.ledger(), &waiting, world.now);
            let plain = plain::round(&mut world.ledger(), &waiting, world.now);
            prop_assert_eq!(quick, plain);
            world.round();
        }
    }

    /// Requests for one node each, alike but for their numbers and pools: as many start if they have each other's numbers.
    #[test]
    fn equal_requests_are_interchangeable(((levels, capacity), life) in (trees(), happenings())) {
        let mut world = World::new(levels, capacity);
        for happening in &life {
            world.happen(happening);
            let mut waiting = world.waiting();
            for request in &mut waiting {
                request.submitted = 0;
                request.priority = 1;
                request.size = 1;
                request.is_lasting = false;
                request.is_promised = false;
            }
            let mut swapped = waiting.clone();
            let most = waiting.iter().map(|request| request.id).max().unwrap_or(0);
            for request in &mut swapped {
                request.id = 1_000 + most - request.id;
            }
            let shape = |steps: Vec<Step>, requests: &[Request]| {
                let mut started: BTreeMap<usize, usize> = BTreeMap::new();
                for step in steps {
                    if let Step::Start(id) = step {
                        let pool = requests.iter().find(|request| request.id == id).unwrap().pool;
                        *started.entry(pool).or_default() += 1;
                    }
                }
                started.values().sum::<usize>()
            };
            let one = shape(round(&mut world.ledger(), &waiting, world.now), &waiting);
            let other = shape(round(&mut world.ledger(), &swapped, world.now), &swapped);
            prop_assert_eq!(one, other);
            world.round();
        }
    }
}
