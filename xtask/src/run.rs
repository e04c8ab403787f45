//! Other programs.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// A command to be run in the root of the checkout.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Runs a command; an error where it fails.
pub fn run(mut command: Command) -> Result<()> {
    println!("$ {}", shown(&command));
    let status = command
        .status()
        .with_context(|| format!("{} could not be started", shown(&command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(&command));
    }
    Ok(())
}

/// Runs a command, passes on what it prints, and gives the last line of it that holds one of the texts; an error where it fails or printed
/// no such line.
pub fn run_for_line(mut command: Command, texts: &[&str]) -> Result<String> {
    println!("$ {}", shown(&command));
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let started = command.spawn();
    let mut child = started.with_context(|| format!("{} could not be started", shown(&command)))?;
    // It held the writing end: without it, reading ends with the program.
    let name = shown(&command);
    drop(command);
    let mut found = None;
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if texts.iter().any(|text| line.contains(text)) {
            found = Some(line.trim().to_owned());
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    found.with_context(|| format!("{name} printed no line with {}", texts.join(" or ")))
}

/// Runs a command and gives what it printed.
pub fn output(mut command: Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("{} could not be started", shown(&command)))?;
    if !output.status.success() {
        bail!(
            "{} ended with {}: {}",
            shown(&command),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Whether a command can be run and succeeds.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    command(program, arguments).output().is_ok_and(|output| output.status.success())
}

fn shown(command: &Command) -> String {
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
    format!("{} {}", command.get_program().to_string_lossy(), arguments.join(" "))
}
