//! What is measured. Every case prepares what it needs, measures, and gives one section of the report.

mod against;
mod capacity;
mod creates;
mod crowded;
mod large_pool;
mod memory;
mod patches;
mod reads;
mod replicas;
mod start;

pub use capacity::capacity;
pub use creates::creates;
pub use crowded::{events, nodes, workloads};
pub use large_pool::large_pool;
pub use memory::memory;
pub use patches::patches;
pub use reads::reads;
pub use replicas::replicas;
pub use start::start;

use crate::report::number;
use crate::stats::Sample;
use crate::world::{Crowd, Shape, World};
use anyhow::Result;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What all cases share.
pub struct Bench {
    /// The server's binary.
    pub server: PathBuf,
    /// URL of a PostgreSQL server.
    pub postgres: Option<String>,
    pub size: Size,
    scratch: TempDir,
    big: OnceCell<World>,
    crowded: OnceCell<World>,
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub rounds: usize,
    /// Seconds of load in one round.
    pub slice: f64,
    /// Pools of the worlds that the aims speak of are divided by this: 1 but for trying the benchmarks themselves.
    pub divisor: u64,
}

impl Bench {
    pub fn new((server, postgres): (PathBuf, Option<String>), size: Size, scratch: &Path) -> Result<Self> {
        std::fs::create_dir_all(scratch)?;
        Ok(Self {
            server,
            postgres,
            size,
            scratch: TempDir::new_in(scratch)?,
            big: OnceCell::new(),
            crowded: OnceCell::new(),
        })
    }

    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    pub fn prepare(&self, name: &str, shape: Shape) -> Result<World> {
        progress(&format!("preparing {} pools", shape.pools));
        World::prepare(self.scratch().join(name), shape)
    }

    pub fn divided(&self, count: u64) -> u64 {
        (count / self.size.divisor).max(1)
    }

    /// 10,000 pools with 10 nodes each; made once, written to by nobody.
    pub fn big(&self) -> Result<&World> {
        if let Some(world) = self.big.get() {
            return Ok(world);
        }
        let world = self.prepare("big", self.big_shape())?;
        Ok(self.big.get_or_init(|| world))
    }

    /// One pool with very much in it; made once.
    pub fn crowded(&self) -> Result<&World> {
        if let Some(world) = self.crowded.get() {
            return Ok(world);
        }
        progress("preparing a crowded pool");
        let world = World::crowded(self.scratch().join("crowded"), self.crowd_shape())?;
        Ok(self.crowded.get_or_init(|| world))
    }

    pub fn crowd_shape(&self) -> Crowd {
        Crowd {
            nodes: self.divided(2_000),
            events: self.divided(10_000),
            workloads: self.divided(10_000),
        }
    }

    pub fn big_shape(&self) -> Shape {
        Shape {
            pools: self.divided(10_000),
            nodes_per_pool: 10,
            free: 0,
        }
    }
}

pub fn progress(text: &str) {
    eprintln!("bench: {text}");
}

/// `median (least–most)`
fn spread(sample: &Sample, scale: f64) -> String {
    format!(
        "{} ({}–{})",
        number(sample.median() * scale),
        number(sample.least() * scale),
        number(sample.most() * scale)
    )
}
