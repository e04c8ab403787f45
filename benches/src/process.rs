//! Processes under test, and what the kernel knows of them.

use crate::load::{self, Answer};
use crate::stats::{now, pause};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_mins(10);

/// A server in another process. It ends with this value.
pub struct Process {
    pub address: SocketAddr,
    pub started: Instant,
    child: Child,
}

impl Process {
    /// Starts a program whose last arguments are `--listen` and an address. `core`: the one it may run on.
    pub fn start(command: &mut Command, log: &Path, core: Option<usize>) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        command.arg("--listen").arg(address.to_string());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log).context("a file for the log")?);
        if let Some(core) = core {
            // A process begins where the thread that started it may run.
            pin(&[core])?;
        }
        let started = now();
        let child = command.spawn().with_context(|| format!("{command:?} could not be started"));
        pin(&all_cores())?;
        Ok(Self {
            address,
            started,
            child: child?,
        })
    }

    /// Asks until there is a success; gives it and the time since the start.
    pub fn first_answer(&mut self, request: &[u8]) -> Result<(Answer, Duration)> {
        loop {
            if let Ok(answer) = load::fetch(self.address, request)
                && answer.status == 200
            {
                return Ok((answer, self.started.elapsed()));
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}");
            }
            if self.started.elapsed() > PATIENCE {
                bail!("the server does not answer");
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Resident memory now, in bytes.
    pub fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// Processor time used so far, of user and kernel.
    pub fn used(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, after_name) = stat.rsplit_once(") ").context("no name in stat")?;
        let fields: Vec<&str> = after_name.split(' ').collect();
        let field = |at: usize| -> Result<u64> { Ok(fields.get(at).context("a short stat")?.parse()?) };
        let ticks = field(11)? + field(12)?;
        Ok(Duration::from_secs_f64(
            ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        ))
    }

    /// The value of a metric without labels.
    pub fn metric(&self, token: &str, name: &str) -> Result<f64> {
        let answer = load::fetch(self.address, &load::request("GET", "/metrics", token, "", ""))?;
        let text = String::from_utf8(answer.body)?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("no metric {name}"))?.parse()?)
    }

    /// Waits until no pool waits for a step and the processor is left alone.
    pub fn settle(&self, token: &str) -> Result<()> {
        let mut quiet = 0;
        let mut before = self.used()?;
        while quiet < 5 {
            std::thread::sleep(Duration::from_millis(100));
            let used = self.used()?;
            let is_quiet =
                used.saturating_sub(before) < Duration::from_millis(20) && self.metric(token, "poolkeeper_reconcile_queue")? < 1.0;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            before = self.used()?;
        }
        Ok(())
    }

    pub fn request(&self, request: &Bytes) -> Result<Answer> {
        load::fetch(self.address, request)
    }

    /// Stops it in order.
    pub fn stop(mut self) -> Result<()> {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        let asked = now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > PATIENCE {
                bail!("the server does not stop");
            }
            pause();
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// The calling thread, and what it starts from now on, may run on these cores only.
pub fn pin(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    Ok(sched_setaffinity(None, &set)?)
}

pub fn all_cores() -> Vec<usize> {
    (0..cores()).collect()
}

pub fn cores() -> usize {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().filter(|line| line.starts_with("processor")).count().max(1)
}
