//! Who uses how much, and what follows for one request.

use super::tree::Tree;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A workload, by any number that the caller has for it.
pub type WorkId = u64;

/// A workload that has nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub id: WorkId,
    /// Position of its pool in the tree.
    pub pool: usize,
    /// Nodes.
    pub size: u64,
    /// The higher, the more important.
    pub priority: u32,
    /// Since when it runs; the unit is the caller's.
    pub since: i64,
    /// It does not end by itself.
    pub is_lasting: bool,
}

/// What follows for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Start,
    /// It fits once what was asked back has been given.
    Soon,
    /// It fits once these have given back, too.
    Reclaim(Vec<WorkId>),
    Wait(Wait),
}

/// Why a workload does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// It is larger than the ceiling of this pool, its own or one above it.
    TooLarge(usize),
    /// The ceiling of this pool is reached.
    Ceiling(usize),
    /// There are not enough nodes that are free.
    Nodes,
    /// It is guaranteed its nodes, and they are being given back: it comes first from now on.
    Returning,
    /// It comes after others of its pool.
    Behind,
}

/// The books over one tree.
#[derive(Debug, Clone)]
pub struct Ledger {
    tree: Tree,
    capacity: u64,
    books: Vec<Book>,
    runs: BTreeMap<WorkId, Entry>,
    given_up: u64,
}

#[derive(Debug, Clone, Default)]
struct Book {
    /// Nodes that are used.
    now: u64,
    /// Nodes that will be used when what was asked back has been given, with those kept for requests that wait.
    soon: u64,
    /// Of these, what is kept for requests to which nothing is promised.
    kept: u64,
    /// Nodes used by what does not end by itself.
    lasting: u64,
    /// Children that will use more than their guarantee: by how much.
    borrowers: BTreeSet<(u64, usize)>,
    /// Of a leaf: what runs and was not asked to give back, the most important first, and then what does not run yet.
    work: BTreeSet<Importance>,
}

type Importance = (bool, Reverse<u32>, i64, WorkId);

#[derive(Debug, Clone, Copy)]
struct Entry {
    run: Run,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Returning,
    /// It does not run yet: others were asked to give back for it.
    Claiming,
}

/// A request, as seen from its place.
#[derive(Debug)]
struct Want {
    /// From its leaf up to the root.
    path: Vec<usize>,
    size: u64,
    /// It was promised its nodes: what is kept for others is not kept from it.
    has_claim: bool,
}

/// A workload that would have to give back.
#[derive(Debug, Clone, Copy)]
struct Victim {
    entry: Entry,
    /// Whose guarantee is the reason.
    entitled: usize,
}

impl Entry {
    fn importance(&self) -> Importance {
        let Run { id, priority, since, .. } = self.run;
        (self.state == State::Claiming, Reverse(priority), since, id)
    }
}

impl Want {
    /// Nodes that others have or get before it.
    fn ahead(&self, book: &Book) -> u64 {
        book.soon - if self.has_claim { book.kept } else { 0 }
    }
}

impl Ledger {
    /// Empty books over so many nodes.
    pub fn new(tree: Tree, capacity: u64) -> Self {
        let books = vec![Book::default(); tree.places()];
        Self {
            tree,
            capacity,
            books,
            runs: BTreeMap::new(),
            given_up: 0,
        }
    }

    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Nodes in use by a pool and those below it.
    pub fn used(&self, pool: usize) -> u64 {
        self.books.get(pool).map_or(0, |book| book.now)
    }

    /// How often nodes were given up that had been counted on: there is more room than before in the time to come.
    pub(super) fn given_up(&self) -> u64 {
        self.given_up
    }

    pub fn run(&self, id: WorkId) -> Option<&Run> {
        self.runs.get(&id).map(|entry| &entry.run)
    }

    /// Books a workload as running. One that is known stays as it is.
    pub fn start(&mut self, run: Run) {
        if self.runs.contains_key(&run.id) {
            return;
        }
        for at in self.tree.path(self.tree.leaf(run.pool)) {
            self.books[at].now += run.size;
        }
        let state = State::Running;
        self.enter(Entry { run, state });
    }

    /// Books nodes that are to come for a request. They are the first that a request with a better claim takes.
    pub(super) fn claim(&mut self, run: Run) {
        let state = State::Claiming;
        self.enter(Entry { run, state });
    }

    fn enter(&mut self, entry: Entry) {
        self.runs.insert(entry.run.id, entry);
        self.keep(&entry);
    }

    /// Gives a claim up. `false`: there is none of this request.
    pub(super) fn drop_claim(&mut self, id: WorkId) -> bool {
        let is_claim = self.has_claim(id);
        if is_claim {
            self.end(id);
        }
        is_claim
    }

    /// Books that a workload was asked to give back: it still uses its nodes.
    pub fn give_back(&mut self, id: WorkId) {
        if let Some(entry) = self.runs.get_mut(&id).filter(|entry| entry.state == State::Running) {
            let before = std::mem::replace(&mut entry.state, State::Returning);
            let run = entry.run;
            self.given_up += 1;
            self.release(&Entry { run, state: before });
        }
    }

    /// Books that a workload runs no more.
    pub fn end(&mut self, id: WorkId) {
        let Some(entry) = self.runs.remove(&id) else { return };
        if entry.state != State::Claiming {
            for at in self.tree.path(self.tree.leaf(entry.run.pool)) {
                self.books[at].now -= entry.run.size;
            }
        }
        if entry.state != State::Returning {
            self.given_up += 1;
            self.release(&entry);
        }
    }

    /// Keeps nodes for a request that waits, from its pool up to the first one in which it does not fit: what is above is of
    /// no use to it yet. Those with a claim do not mind, unless these are promised, too.
    pub(super) fn reserve(&mut self, pool: usize, size: u64, is_promised: bool) {
        for at in self.tree.path(self.tree.leaf(pool)) {
            let soon = self.books[at].soon + size;
            self.books[at].kept += if is_promised { 0 } else { size };
            self.set_soon(at, soon);
            if soon > self.limit(at) {
                break;
            }
        }
    }

    /// What follows for a workload of this pool with so many nodes. The books stay as they are.
    pub fn decide(&mut self, pool: usize, size: u64) -> Decision {
        let want = self.want(pool, size, false);
        self.decide_want(&want)
    }

    /// The same for a request whose claim was just taken off the books, so that it can be met.
    pub(super) fn decide_claim(&mut self, pool: usize, size: u64) -> Decision {
        let want = self.want(pool, size, true);
        self.decide_want(&want)
    }

    fn decide_want(&mut self, want: &Want) -> Decision {
        let is_too_large = |at: &&usize| self.tree.parent(**at).is_some() && want.size > self.tree.ceiling(**at);
        if let Some(at) = want.path.iter().find(is_too_large) {
            return Decision::Wait(Wait::TooLarge(self.tree.pool_at(*at)));
        }
        let Some(blocked) = self.blocked(want) else {
            return match self.overflow(&want.path, want.size, |book| book.now) {
                None => Decision::Start,
                Some(_) => Decision::Soon,
            };
        };
        if let Some(victims) = self.reclaim(want) {
            return Decision::Reclaim(victims);
        }
        Decision::Wait(match self.tree.parent(want.path[blocked]) {
            Some(_) => Wait::Ceiling(self.tree.pool_at(want.path[blocked])),
            None => Wait::Nodes,
        })
    }

    /// How deep in the tree the lowest pool stands whose guarantee covers a request: 1 is a child of the root, or the root if
    /// it is alone. 0: none does, the request borrows from everybody.
    pub(super) fn guaranteed_depth(&self, id: WorkId, pool: usize, size: u64) -> usize {
        let has_claim = self.has_claim(id);
        // Its own claim is no reason against it.
        let own = if has_claim { 0 } else { size };
        let want = self.want(pool, own, has_claim);
        let shared = want.path.len().saturating_sub(1).max(1);
        let lowest = want.path[..shared].iter().position(|at| self.is_guaranteed(*at, &want));
        lowest.map_or(0, |at| shared - at)
    }

    pub(super) fn has_claim(&self, id: WorkId) -> bool {
        self.runs.get(&id).is_some_and(|entry| entry.state == State::Claiming)
    }

    /// Whether a request is covered by the guarantee of the pool itself that is for its own workloads.
    #[cfg(test)]
    pub(super) fn is_covered(&self, pool: usize, size: u64) -> bool {
        self.is_guaranteed(self.tree.leaf(pool), &self.want(pool, size, false))
    }

    /// Whether a request would fit if everything ended that ends by itself.
    pub(super) fn can_ever_fit(&self, pool: usize, size: u64) -> bool {
        let path = self.tree.path(self.tree.leaf(pool));
        self.overflow(&path, size, |book| book.lasting).is_none()
    }

    fn want(&self, pool: usize, size: u64, has_claim: bool) -> Want {
        let path = self.tree.path(self.tree.leaf(pool));
        Want { path, size, has_claim }
    }

    fn is_guaranteed(&self, place: usize, want: &Want) -> bool {
        want.ahead(&self.books[place]) + want.size <= self.tree.guaranteed(place)
    }

    fn limit(&self, place: usize) -> u64 {
        match self.tree.parent(place) {
            None => self.capacity,
            Some(_) => self.tree.ceiling(place),
        }
    }

    /// The position on a path of the lowest place at which a request does not fit.
    fn overflow(&self, path: &[usize], size: u64, used: impl Fn(&Book) -> u64) -> Option<usize> {
        path.iter().position(|at| used(&self.books[*at]) + size > self.limit(*at))
    }

    fn blocked(&self, want: &Want) -> Option<usize> {
        self.overflow(&want.path, want.size, |book| want.ahead(book))
    }

    /// Borrowers that make room for a request: none that is not needed. `None`: there are not enough.
    fn reclaim(&mut self, want: &Want) -> Option<Vec<WorkId>> {
        let mut victims: Vec<Victim> = Vec::new();
        let mut is_enough = true;
        while let Some(blocked) = self.blocked(want) {
            let Some(victim) = self.least_borrower(want, blocked) else {
                is_enough = false;
                break;
            };
            self.release(&victim.entry);
            victims.push(victim);
        }
        if is_enough {
            self.spare(&mut victims, want);
        }
        for victim in &victims {
            self.keep(&victim.entry);
        }
        is_enough.then(|| victims.iter().map(|victim| victim.entry.run.id).collect())
    }

    /// Lets those stay who are not needed, the most important first: the request fits without them, and what entitles it to
    /// the others still does.
    fn spare(&mut self, victims: &mut Vec<Victim>, want: &Want) {
        victims.sort_by_key(|victim| victim.entry.importance());
        let mut at = 0;
        while let Some(victim) = victims.get(at).copied() {
            self.keep(&victim.entry);
            let mut others = victims.iter().filter(|other| other.entry.run.id != victim.entry.run.id);
            let is_entitled = others.all(|other| self.is_guaranteed(other.entitled, want));
            if is_entitled && self.blocked(want).is_none() {
                victims.remove(at);
            } else {
                self.release(&victim.entry);
                at += 1;
            }
        }
    }

    /// The next to give back so that a request fits at the place at this position of its path.
    fn least_borrower(&self, want: &Want, blocked: usize) -> Option<Victim> {
        let path = &want.path;
        let mut entitled = (1..=blocked).rev().filter(|at| self.is_guaranteed(path[at - 1], want));
        let victim = |at: usize| {
            let entry = self.least_below(path[at], Some(path[at - 1]))?;
            Some(Victim {
                entry,
                entitled: path[at - 1],
            })
        };
        entitled.find_map(victim)
    }

    fn least_below(&self, place: usize, but: Option<usize>) -> Option<Entry> {
        let book = &self.books[place];
        if let Some((_, _, _, id)) = book.work.last() {
            return self.runs.get(id).copied();
        }
        let mut others = book.borrowers.iter().rev().filter(|(_, child)| Some(*child) != but);
        others.find_map(|(_, child)| self.least_below(*child, None))
    }

    /// Counts on a workload's nodes in the time to come.
    fn keep(&mut self, entry: &Entry) {
        let run = &entry.run;
        let leaf = self.tree.leaf(run.pool);
        self.books[leaf].work.insert(entry.importance());
        for at in self.tree.path(leaf) {
            self.set_soon(at, self.books[at].soon + run.size);
            self.books[at].lasting += if run.is_lasting { run.size } else { 0 };
        }
    }

    fn release(&mut self, entry: &Entry) {
        let run = &entry.run;
        let leaf = self.tree.leaf(run.pool);
        self.books[leaf].work.remove(&entry.importance());
        for at in self.tree.path(leaf) {
            self.set_soon(at, self.books[at].soon - run.size);
            self.books[at].lasting -= if run.is_lasting { run.size } else { 0 };
        }
    }

    fn set_soon(&mut self, place: usize, soon: u64) {
        let before = std::mem::replace(&mut self.books[place].soon, soon);
        let Some(parent) = self.tree.parent(place) else { return };
        let guaranteed = self.tree.guaranteed(place);
        let (old, new) = (before.saturating_sub(guaranteed), soon.saturating_sub(guaranteed));
        if old == new {
            return;
        }
        let borrowers = &mut self.books[parent].borrowers;
        if old > 0 {
            borrowers.remove(&(old, place));
        }
        if new > 0 {
            borrowers.insert((new, place));
        }
    }
}
