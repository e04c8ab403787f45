//! A process that ends after any single one of its writes, over the real server.

use crate::lab::{Lab, fence, is_ready, live, node, with_lab};
use crate::server::Server;
use crate::site::pause;
use fleet::{Command, Fleet, Observation, RequestProgress};
use futures::stream::{self, StreamExt};
use kube_fake::Life;
use poolkeeper_fleet_kube::KubeFleet;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

/// Stories that are told side by side.
const AT_ONCE: usize = 4;
/// The story takes less writes.
const MOST: u32 = 60;

/// A step of a node's life, and how it is seen that it is over, from the observations of both pools.
struct Chapter {
    commands: Vec<Command>,
    is_over: fn(&Observation, &Observation) -> bool,
}

/// Two nodes come, one is worked upon in every way, changes pools, and all goes.
fn story(lab: &Lab) -> Vec<Chapter> {
    let (one, two) = (lab.pool(1), lab.pool(2));
    let node = node(1);
    let set = Command::SetDriver {
        pool: one.clone(),
        node: node.clone(),
        version: "550.90.07".to_owned(),
        is_own: false,
    };
    let hold = Command::HoldNode {
        pool: one.clone(),
        node: node.clone(),
    };
    let evict = Command::EvictNode {
        pool: one.clone(),
        node: node.clone(),
    };
    let reboot = Command::RebootNode {
        pool: one.clone(),
        node: node.clone(),
        number: 1,
    };
    let open = Command::OpenNode {
        pool: one.clone(),
        node: node.clone(),
    };
    let take = Command::MoveNode {
        pool: two,
        node,
        from: one.clone(),
    };
    vec![
        Chapter {
            commands: vec![lab.ensure(1), lab.ensure(2), lab.create(1, 1), lab.create(1, 2)],
            is_over: |one, _| is_ready(one, 1) && is_ready(one, 2),
        },
        Chapter {
            commands: vec![set],
            is_over: |one, _| {
                let driver = one.nodes[&self::node(1)].driver.as_ref();
                driver.is_some_and(|driver| driver.installed.is_some()) && is_ready(one, 1)
            },
        },
        Chapter {
            commands: vec![hold, evict],
            is_over: |one, _| one.nodes[&self::node(1)].is_held && !one.nodes[&self::node(1)].is_busy,
        },
        Chapter {
            commands: vec![reboot, open],
            is_over: |one, _| {
                let request = one.nodes[&self::node(1)].request.as_ref();
                request.is_some_and(|request| request.progress == RequestProgress::Done) && is_ready(one, 1)
            },
        },
        Chapter {
            commands: vec![take],
            is_over: |one, two| one.nodes.len() == 1 && is_ready(two, 1),
        },
        Chapter {
            commands: vec![lab.delete(2, 1), Command::RemovePool { pool: one }],
            is_over: |one, two| *one == Observation::default() && two.nodes.is_empty(),
        },
    ]
}

/// A process at its work, which may end.
struct Process {
    fleet: KubeFleet,
    epoch: u64,
    life: Option<Life>,
}

/// Tells the story with a first process that makes so many writes and no more. `true`: it never got to its end.
async fn tell(lab: &Lab, writes: u32) -> bool {
    lab.add_nodes("a", 3).await;
    let before = lab.foreign().await;
    let life = Life::of(writes);
    let mut process = Process {
        fleet: lab.dying(&life).await,
        epoch: 1,
        life: Some(life),
    };
    for (at, chapter) in story(lab).into_iter().enumerate() {
        if at == 2 {
            let host = lab.machines_of(&lab.pool(1), 1).await.remove(0);
            lab.add_pod("work", &host).await;
            let busy = Chapter {
                commands: Vec::new(),
                is_over: |one, _| one.nodes[&node(1)].is_busy,
            };
            go(lab, &mut process, &busy).await;
        }
        go(lab, &mut process, &chapter).await;
        lab.owners().await;
    }
    assert_eq!(lab.foreign().await, before, "after {writes} writes");
    lab.judge();
    let is_dead = process.life.is_none();
    assert!(is_dead || writes > 12, "the story takes more than {writes} writes");
    is_dead
}

async fn go(lab: &Lab, process: &mut Process, chapter: &Chapter) {
    let mut results = Vec::new();
    for _ in 0..3_000 {
        if process.life.as_ref().is_some_and(Life::is_over) {
            process.epoch += 1;
            process.life = None;
            // The old one reaches nothing any more.
            process.fleet = lab.fleet().await;
            process.fleet.lead(&fence(process.epoch)).await;
        }
        let fleet = &process.fleet;
        results = fleet.execute(&chapter.commands, &fence(process.epoch)).await;
        let seen = (fleet.observe(&lab.pool(1).uid).await, fleet.observe(&lab.pool(2).uid).await);
        if let (Ok(one), Ok(two)) = &seen
            && results.iter().all(Result::is_ok)
            && (chapter.is_over)(one, two)
        {
            return;
        }
        pause(20).await;
    }
    let seen = process.fleet.observe(&lab.pool(1).uid).await;
    panic!("it does not come true: {results:?} {seen:#?}");
}

#[test]
fn a_crash_after_any_write_of_a_nodes_life_loses_nothing() {
    live(async |server: Server| {
        let told = |writes: u32| {
            let server = &server;
            async move {
                let mut is_dead = false;
                with_lab(server, BTreeSet::new(), async |lab: &Lab| is_dead = tell(lab, writes).await).await;
                (writes, is_dead)
            }
        };
        let whole = AtomicU32::new(MOST);
        let stories = stream::iter(0..MOST).take_while(|writes| std::future::ready(*writes < whole.load(Ordering::SeqCst)));
        let mut stories = std::pin::pin!(stories.map(told).buffered(AT_ONCE));
        while let Some((writes, is_dead)) = stories.next().await {
            if !is_dead {
                whole.fetch_min(writes, Ordering::SeqCst);
            }
        }
        let whole = whole.load(Ordering::SeqCst);
        assert!(whole < MOST, "the story never came to its end without a crash");
        eprintln!("the story takes {whole} writes, and was cut short after each");
    });
}
