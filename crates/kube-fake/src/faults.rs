//! What goes wrong on purpose: by a seed, and by a script.

use crate::call::{Call, Verb};
use crate::refusal::Refusal;
use clock::{Entropy, SeededEntropy};
use std::collections::VecDeque;
use std::time::Duration;

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks before the server has read the request.
    LoseRequest,
    /// The connection breaks after the server has done what was asked for.
    LoseReply,
    /// 409, as if somebody else had just written the object. Writes only.
    Conflict,
    /// 429 with `Retry-After`, in seconds.
    TooManyRequests(u64),
    /// 503.
    Unavailable,
    /// The answer takes so long.
    Slow(Duration),
    /// The watch ends after so long.
    CutWatch(Duration),
    /// The watch stays open and says nothing for so long, not even bookmarks; then it goes on where it was.
    SilenceWatch(Duration),
    /// The list is as it was so many versions ago. Of the seeded plan only those get it that allow it (`resourceVersion=0`).
    StaleList(u64),
    /// The watch tells every change twice for so long.
    RepeatEvents(Duration),
}

/// Which calls a scripted fault is for. Empty fields match everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultTarget {
    pub user: Option<String>,
    /// As RBAC names it: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: Option<&'static str>,
    /// `nodes`, `pods/eviction`.
    pub resource: Option<String>,
    pub name: Option<String>,
}

impl FaultTarget {
    /// Calls of a verb on a resource.
    pub fn of(verb: &'static str, resource: &str) -> Self {
        Self {
            verb: Some(verb),
            resource: Some(resource.to_owned()),
            ..Self::default()
        }
    }

    fn matches(&self, call: &Call) -> bool {
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        fits(&self.user, &call.user)
            && self.verb.is_none_or(|verb| verb == call.verb.name())
            && fits(&self.resource, &call.resource())
            && fits(&self.name, &call.name)
    }
}

/// How often each fault strikes, in calls of 10 000 that it can strike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultRates {
    pub lose_request: u32,
    pub lose_reply: u32,
    pub conflict: u32,
    pub too_many_requests: u32,
    pub unavailable: u32,
    /// Up to two seconds.
    pub slow: u32,
    /// Within two minutes of its start.
    pub cut_watch: u32,
    /// For up to three minutes.
    pub silence_watch: u32,
    /// Up to fifty versions.
    pub stale_list: u32,
    /// For up to one minute.
    pub repeat_events: u32,
}

impl FaultRates {
    /// A bad day: something goes wrong in about one call of fifteen.
    pub fn bad_day() -> Self {
        Self {
            lose_request: 100,
            lose_reply: 100,
            conflict: 150,
            too_many_requests: 100,
            unavailable: 100,
            slow: 300,
            cut_watch: 2_000,
            silence_watch: 500,
            stale_list: 1_000,
            repeat_events: 1_000,
        }
    }
}

/// What is to go wrong.
#[derive(Debug)]
pub(crate) struct Faults {
    rates: FaultRates,
    script: VecDeque<(FaultTarget, Fault, usize)>,
    entropy: SeededEntropy,
    /// How often something went wrong.
    pub struck: u64,
}

impl Faults {
    pub fn new(seed: u64) -> Self {
        Self {
            rates: FaultRates::default(),
            script: VecDeque::new(),
            entropy: SeededEntropy::new(seed ^ 0x6661_756c_7473),
            struck: 0,
        }
    }

    pub fn set_rates(&mut self, rates: FaultRates) {
        self.rates = rates;
    }

    pub fn add(&mut self, target: FaultTarget, fault: Fault, times: usize) {
        self.script.push_back((target, fault, times));
    }

    pub fn clear(&mut self) {
        self.rates = FaultRates::default();
        self.script.clear();
    }

    /// What happens to this call.
    pub fn draw(&mut self, call: &Call) -> Option<Fault> {
        let fault = self.scripted(call).or_else(|| self.rolled(call));
        self.struck += u64::from(fault.is_some());
        fault
    }

    fn scripted(&mut self, call: &Call) -> Option<Fault> {
        let index = self.script.iter().position(|(target, _, _)| target.matches(call))?;
        let (_, fault, times) = self.script.get_mut(index)?;
        let fault = *fault;
        *times = times.saturating_sub(1);
        if *times == 0 {
            self.script.remove(index);
        }
        Some(fault)
    }

    fn rolled(&mut self, call: &Call) -> Option<Fault> {
        let rates = self.rates;
        if rates == FaultRates::default() {
            return None;
        }
        let size = self.entropy.next_u64();
        let up_to = |longest: u64| Duration::from_millis(size % (longest * 1000) + 1);
        let is_watch = call.verb == Verb::Watch;
        let is_write = call.verb.is_write();
        let may_be_stale = call.verb == Verb::List && call.query.text("resourceVersion") == Some("0");
        let all = [
            (rates.lose_request, true, Fault::LoseRequest),
            (rates.lose_reply, !is_watch, Fault::LoseReply),
            (rates.conflict, is_write && call.verb != Verb::Create, Fault::Conflict),
            (rates.too_many_requests, true, Fault::TooManyRequests(size % 3 + 1)),
            (rates.unavailable, true, Fault::Unavailable),
            (rates.slow, !is_watch, Fault::Slow(up_to(2))),
            (rates.cut_watch, is_watch, Fault::CutWatch(up_to(120))),
            (rates.silence_watch, is_watch, Fault::SilenceWatch(up_to(180))),
            (rates.stale_list, may_be_stale, Fault::StaleList(size % 50 + 1)),
            (rates.repeat_events, is_watch, Fault::RepeatEvents(up_to(60))),
        ];
        let mut roll = (self.entropy.next_u64() % 10_000) as u32;
        for (rate, _, fault) in all.into_iter().filter(|(_, can, _)| *can) {
            if roll < rate {
                return Some(fault);
            }
            roll -= rate;
        }
        None
    }
}

/// The refusal that a fault is, if it is one.
pub(crate) fn refusal(fault: Fault, call: &Call) -> Option<Refusal> {
    match fault {
        Fault::Conflict if call.verb.is_write() => Some(Refusal::modified(&call.ty, &call.name)),
        Fault::TooManyRequests(seconds) => Some(Refusal::too_many_requests("Too many requests, please try again later.", seconds)),
        Fault::Unavailable => Some(Refusal::unavailable()),
        Fault::Conflict
        | Fault::LoseRequest
        | Fault::LoseReply
        | Fault::Slow(_)
        | Fault::CutWatch(_)
        | Fault::SilenceWatch(_)
        | Fault::StaleList(_)
        | Fault::RepeatEvents(_) => None,
    }
}
