//! The fake server against a real one: the same questions, the same answers.
//!
//! `POOLKEEPER_TEST_KUBECONFIG` is the path of a kubeconfig of a server without controllers (`tests/kube/apiserver.sh run …`, or a newer
//! one). What the probes make there has names of its own and is taken away again. Without it only the answers that such a server gave before are compared. `POOLKEEPER_RECORD=1` writes them down anew.

#![expect(clippy::unwrap_used, reason = "tests end where something is missing")]

use clock::{Clock, Entropy, RuntimeClock, SystemClock, SystemEntropy};
use jiff::Timestamp;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use poolkeeper_kube_fake::FakeCluster;
use poolkeeper_kube_fake::probes::{self, Bench};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/answers/1.20.json");

type Answers = BTreeMap<String, Value>;

/// Puts all questions that a server of this minor version can answer.
async fn ask(client: &Client, clock: &Arc<dyn Clock>, minor: u32, run: &str) -> Answers {
    let mut answers = Answers::new();
    for (index, probe) in probes::all().into_iter().enumerate() {
        let needs: u32 = probe.needs.and_then(|needs| needs.strip_prefix("1.")?.parse().ok()).unwrap_or(0);
        if needs <= minor {
            let mut bench = Bench::new(client.clone(), Arc::clone(clock), &format!("{run}p{index}")).await;
            (probe.run)(&mut bench).await;
            bench.clear().await;
            answers.insert(probe.name.to_owned(), bench.into_answers());
        }
    }
    answers
}

async fn fake(minor: u32) -> Answers {
    let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap()));
    let cluster = FakeCluster::new(Arc::clone(&clock), 1);
    ask(&cluster.client_as("admin"), &clock, minor, "xyzzy").await
}

#[track_caller]
fn compare(fake: &Answers, real: &Answers) {
    let mut differences = Vec::new();
    for (name, answer) in real {
        let ours = fake.get(name).cloned().unwrap_or_default();
        let steps = answer.as_array().cloned().unwrap_or_default();
        for (step, theirs) in steps.iter().enumerate().filter(|(step, theirs)| ours.get(*step) != Some(*theirs)) {
            let ours = ours.get(step).cloned().unwrap_or_default();
            differences.push(format!("{name}, step {step}\n  real: {theirs}\n  fake: {ours}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} answers differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[tokio::test(start_paused = true)]
async fn the_fake_answers_as_a_real_server_did() {
    let recorded: Answers = serde_json::from_str(&std::fs::read_to_string(RECORDED).unwrap()).unwrap();
    assert!(recorded.len() > 50);
    compare(&fake(20).await, &recorded);
}

#[tokio::test(start_paused = true)]
async fn every_probe_is_answered() {
    for (name, answers) in fake(u32::MAX).await {
        let steps = answers.as_array().unwrap();
        assert!(!steps.is_empty(), "{name}");
        assert!(!answers.to_string().contains("never came"), "{name}: {answers}");
    }
}

#[test]
fn the_fake_answers_as_the_real_server_does() {
    let Ok(path) = std::env::var("POOLKEEPER_TEST_KUBECONFIG") else {
        eprintln!("SKIPPED: POOLKEEPER_TEST_KUBECONFIG is not set; real kube-apiserver: NOT RUN");
        return;
    };
    let (minor, real) = runtime(false).block_on(real(&path));
    let fake = runtime(true).block_on(fake(minor));
    if std::env::var("POOLKEEPER_RECORD").is_ok() {
        assert_eq!(minor, 20, "the file is that of 1.20");
        std::fs::write(RECORDED, serde_json::to_string_pretty(&real).unwrap() + "\n").unwrap();
    }
    eprintln!("{} probes were put to a server of version 1.{minor}", real.len());
    compare(&fake, &real);
}

fn runtime(paused: bool) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(paused)
        .build()
        .unwrap()
}

async fn real(path: &str) -> (u32, Answers) {
    let options = KubeConfigOptions {
        context: None,
        ..KubeConfigOptions::default()
    };
    let mut config = kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(path).unwrap(), &options)
        .await
        .unwrap();
    // What the server refuses is to be seen, not to be tried again.
    config.default_retry = false;
    let client = Client::try_from(config).unwrap();
    let version = client.apiserver_version().await.unwrap();
    // A server that was built without its version is Debian's.
    let digits = version.minor.trim_end_matches('+');
    let minor: u32 = digits.parse().unwrap_or(20);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let run = format!("r{:x}", SystemEntropy.next_u64());
    (minor, ask(&client, &clock, minor, &run).await)
}
