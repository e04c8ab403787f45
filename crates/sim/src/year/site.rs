//! What the installation consists of: flavors, machines, pools of one to some thousands of nodes, sub-pools.

use super::YearSettings;
use super::dice::Dice;
use crate::place;
use domain::catalogue::{AcceleratorSpec, CpuArch, Flavor, OsConfig, ScopeNeeds};
use domain::name::{DisplayName, FlavorName, PoolName, TemplateName, UserId, ZoneName};
use domain::pool::draft::{PoolDraft, ResourceDraft};
use domain::pool::{Accelerator, DriverSpec, JobType, UpdateStrategy};
use domain::workspace::Workspace;
use fleet::sim::Registration;
use jiff::Timestamp;
use store::{Expect, TypedBatch};

const ZONES: [&str; 3] = ["az-1", "az-2", "az-3"];
/// Shares of all nodes, in thousandths, of the pools that are larger than all others.
const LARGE: [u32; 12] = [200, 130, 100, 80, 70, 50, 40, 30, 30, 20, 20, 20];

/// Machines of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gpu,
    Npu,
    Cpu,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Gpu, Self::Npu, Self::Cpu];

    pub fn accelerator(self) -> Option<Accelerator> {
        match self {
            Self::Gpu => Some(Accelerator::Gpu),
            Self::Npu => Some(Accelerator::Npu),
            Self::Cpu => None,
        }
    }

    #[expect(clippy::expect_used, reason = "constant names")]
    pub fn flavor(self) -> FlavorName {
        FlavorName::parse(match self {
            Self::Gpu => "gpu.8",
            Self::Npu => "npu.8",
            Self::Cpu => "cpu.64",
        })
        .expect("a flavor's name")
    }

    #[expect(clippy::expect_used, reason = "constant names")]
    fn described(self) -> Flavor {
        let eight = |model: &str, memory: &str| AcceleratorSpec {
            model: model.to_owned(),
            size: 8,
            memory: memory.to_owned(),
        };
        let flavor = match self {
            Self::Gpu => Flavor {
                gpu: Some(eight("h100", "80Gi")),
                ..Flavor::plain(self.flavor(), CpuArch::X86, 192, 2048)
            },
            Self::Npu => Flavor {
                npu: Some(eight("ascend-snt9b", "64Gi")),
                ..Flavor::plain(self.flavor(), CpuArch::Arm64, 192, 1536)
            },
            Self::Cpu => Flavor::plain(self.flavor(), CpuArch::X86, 64, 256),
        };
        let zones = ZONES.map(|zone| ZoneName::parse(zone).expect("a name"));
        Flavor {
            zones: zones.to_vec(),
            ..flavor
        }
    }
}

/// A physical pool as its owner thinks of it.
#[derive(Debug, Clone)]
pub(super) struct PoolPlan {
    pub number: usize,
    pub kind: Kind,
    /// Nodes that it has most of the time.
    pub nodes: u32,
    /// Logical pools inside it, with the nodes that each is guaranteed.
    pub children: Vec<u32>,
}

pub(super) struct Site {
    pub pools: Vec<PoolPlan>,
    /// Roll-outs that there will be, and so versions of each driver.
    weeks: u32,
}

impl Site {
    pub fn plan(settings: &YearSettings) -> Self {
        let dice = Dice::new(settings.seed, 1);
        let mut left = settings.nodes;
        let mut sizes: Vec<u32> = LARGE
            .iter()
            .map(|share| settings.nodes * share / 1000)
            .filter(|size| *size > 0)
            .collect();
        left -= sizes.iter().sum::<u32>();
        while left > 0 {
            let size = (dice.magnitude(1.0, f64::from(settings.nodes / 50)) as u32).clamp(1, left);
            sizes.push(size);
            left -= size;
        }
        let pools = sizes.into_iter().enumerate().map(|(number, nodes)| PoolPlan {
            number,
            kind: match number % 10 {
                0 | 2 | 4 | 6 | 8 => Kind::Gpu,
                1 | 5 | 7 => Kind::Npu,
                _ => Kind::Cpu,
            },
            nodes,
            children: children(nodes, &dice),
        });
        Self {
            pools: pools.collect(),
            weeks: settings.days / 7,
        }
    }

    /// What an operator puts in before anybody comes.
    #[expect(clippy::expect_used, reason = "constant names")]
    pub fn furniture(&self, now: Timestamp) -> TypedBatch {
        let mut batch = TypedBatch::default();
        let owner = UserId::parse("owner").expect("a name");
        batch.put(Workspace::default_of(&place::project(), &owner, now), Expect::Absent);
        for kind in Kind::ALL {
            batch.put(kind.described(), Expect::Absent);
        }
        let versions: Vec<String> = (0..=self.weeks).rev().map(version).collect();
        let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
        for kind in Accelerator::ALL {
            let name = TemplateName::parse(kind.driver_template()).expect("a template's name");
            batch.put(place::template(name, &versions), Expect::Absent);
        }
        batch.put(place::template(place::plugin(), &["1"]), Expect::Absent);
        let mut config = OsConfig {
            pool_quota: 10_000,
            ..OsConfig::plain()
        };
        let needs = ScopeNeeds {
            plugins: vec![place::plugin()],
            needs_external_dependency: false,
            can_retry: true,
        };
        config.scopes.insert(JobType::Train, needs);
        batch.put(config, Expect::Absent);
        batch
    }

    /// A few more machines of each kind than all pools want: for growth, and for those that are being repaired.
    #[expect(clippy::expect_used, reason = "constant names")]
    pub fn machines(&self) -> Vec<Registration> {
        let mut machines = Vec::new();
        for kind in Kind::ALL {
            let own = self.pools.iter().filter(|pool| pool.kind == kind);
            let wanted: u32 = own.map(PoolPlan::most).sum();
            let flavor = kind.described();
            for at in 0..wanted + wanted / 50 + 6 {
                let zone = ZoneName::parse(ZONES[at as usize % ZONES.len()]).expect("a name");
                machines.push(Registration::of(&flavor, format!("{}-{at:05}", flavor.name), zone));
            }
        }
        machines
    }
}

fn children(nodes: u32, dice: &Dice) -> Vec<u32> {
    let count = match nodes {
        0..8 => 0,
        8..50 => dice.below(3),
        _ => 1 + dice.below(4),
    };
    (0..count).map(|_| (nodes / 8).max(1)).collect()
}

/// The driver of a week.
pub(super) fn version(week: u32) -> String {
    format!("535.{week}")
}

impl PoolPlan {
    fn display(&self) -> DisplayName {
        display(&format!("pool-{:03}", self.number))
    }

    fn child_display(&self, child: usize) -> DisplayName {
        display(&format!("pool-{:03}-sub-{child}", self.number))
    }

    pub fn name(&self) -> PoolName {
        PoolName::of(&self.display(), &place::project())
    }

    pub fn child_name(&self, child: usize) -> PoolName {
        PoolName::of(&self.child_display(child), &place::project())
    }

    /// Nodes that it ever has.
    pub fn most(&self) -> u32 {
        self.nodes + self.nodes / 10
    }

    /// And at least; its sub-pools have their part of these.
    pub fn least(&self) -> u32 {
        (self.nodes - self.nodes / 10).max(1)
    }

    pub fn driver(&self, week: u32, strategy: UpdateStrategy) -> DriverSpec {
        let of = |kind| (self.kind == kind).then(|| version(week));
        DriverSpec {
            gpu_version: of(Kind::Gpu),
            npu_version: of(Kind::Npu),
            update_strategy: Some(strategy),
        }
    }

    pub fn draft(&self, week: u32) -> PoolDraft {
        PoolDraft {
            scope: Some(JobType::ALL.to_vec()),
            network: Some(place::network_of_pools()),
            driver: self.kind.accelerator().map(|_| self.driver(week, UpdateStrategy::Idle)),
            ..place::blank(self.display(), ResourceDraft::plain(self.kind.flavor(), self.nodes))
        }
    }

    /// Half as much again as it is guaranteed, if nobody else needs it.
    pub fn child_draft(&self, child: usize) -> PoolDraft {
        let guaranteed = self.children[child];
        let resource = ResourceDraft {
            max_count: Some((guaranteed + guaranteed / 2).max(guaranteed)),
            ..ResourceDraft::plain(self.kind.flavor(), guaranteed)
        };
        PoolDraft {
            is_logical: true,
            parent: Some(self.name()),
            ..place::blank(self.child_display(child), resource)
        }
    }
}

#[expect(clippy::expect_used, reason = "constant names")]
fn display(name: &str) -> DisplayName {
    DisplayName::parse(name).expect("a display name")
}
