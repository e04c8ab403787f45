//! On what the figures were measured: enough to judge them, nothing that names the machine.

use crate::process;
use std::path::Path;
use std::process::Command;

pub struct Facts {
    cpu: String,
    cores: usize,
    memory: String,
    kernel: String,
    file_system: String,
    commit: String,
    rust: String,
}

impl Facts {
    pub fn gather(scratch: &Path) -> Self {
        let unknown = || "unknown".to_owned();
        let field = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok());
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let is_dirty = output("git", &["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
        let commit = output("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(unknown);
        Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: process::cores(),
            memory: memory.map_or_else(unknown, |kib| format!("{:.0} GiB", kib / 1024.0 / 1024.0)),
            kernel: kernel.trim().split('-').next().unwrap_or_default().to_owned(),
            file_system: file_system(scratch).unwrap_or_else(unknown),
            commit: if is_dirty { format!("{commit}, with changes") } else { commit },
            rust: output("rustc", &["--version"]).unwrap_or_else(unknown),
        }
    }

    pub fn lines(&self) -> [(&'static str, String); 7] {
        [
            ("Processor", self.cpu.clone()),
            ("Cores", self.cores.to_string()),
            ("Memory", self.memory.clone()),
            ("Kernel", format!("Linux {}", self.kernel)),
            ("File system", self.file_system.clone()),
            ("Commit", self.commit.clone()),
            ("Compiler", self.rust.clone()),
        ]
    }
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The type of the file system that holds a folder.
fn file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let holding = mounts.filter(|(at, _)| folder.starts_with(at));
    holding.max_by_key(|(at, _)| at.len()).map(|(_, kind)| kind.to_owned())
}
