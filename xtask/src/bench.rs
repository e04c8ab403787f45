//! Benchmarks: the release binaries are built, and one of them measures the other.

use crate::postgres;
use crate::run::{command, root, run};
use anyhow::Result;
use cargo_metadata::MetadataCommand;

/// Runs them and writes the report; `arguments` go to the benchmarks, and what they leave out is not written.
pub fn bench(arguments: &[String]) -> Result<()> {
    run(command(
        "cargo",
        &["build", "--release", "--locked", "-p", "poolkeeper", "-p", "poolkeeper-bench"],
    ))?;
    let target = MetadataCommand::new().no_deps().exec()?.target_directory;
    let release = target.join("release");
    let mut bench = command(release.join("poolkeeper-bench").as_str(), &["run"]);
    bench.arg("--server").arg(release.join("poolkeeper"));
    bench.arg("--scratch").arg(target.join("bench"));
    let server = postgres::start_durable()?;
    bench.arg("--postgres").arg(server.url());
    if arguments.is_empty() {
        bench.arg("--docs").arg(root().join("docs"));
    }
    bench.args(arguments);
    run(bench)
}
