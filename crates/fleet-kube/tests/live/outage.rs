//! The API server is killed while controllers work, and comes back.

use crate::lab::{Lab, fence, in_lab, insist, is_ready, until};
use crate::server::Server;
use crate::site::pause;
use fleet::{Command, Fleet, FleetError, Observation};
use poolkeeper_fleet_kube::KubeFleet;

const NODES: usize = 60;
const WANTED: usize = 40;

/// Kills the server once so many Nodes have been written since.
async fn kill(lab: &Lab, writes: usize) {
    let count = || lab.site.history().values().map(Vec::len).sum::<usize>();
    let before = count();
    while count() < before + writes {
        pause(1).await;
    }
    let server = lab.server.clone();
    tokio::task::spawn_blocking(move || server.kill()).await.unwrap();
}

/// The server goes away while commands are carried out, which are then repeated until they are.
async fn carry_out_over_outage(lab: &Lab, fleet: &KubeFleet, commands: &[Command]) {
    let holder = fence(1);
    let (first, ()) = futures::join!(fleet.execute(commands, &holder), kill(lab, 5));
    let failed = first.iter().filter(|result| result.is_err()).count();
    eprintln!("{failed} of {} commands were under way when the server went", commands.len());
    for result in fleet.execute(commands, &holder).await {
        assert!(matches!(result, Err(FleetError::Unreachable(_))), "{result:?}");
    }
    let server = lab.server.clone();
    tokio::task::spawn_blocking(move || server.restart()).await.unwrap();
    insist(fleet, 1, commands).await;
}

/// Whatever happens, others find the server there.
struct Revival<'a>(&'a Server);

impl Drop for Revival<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.restart();
        }
    }
}

#[test]
fn what_falls_into_an_outage_of_the_server_is_made_good() {
    in_lab(async |lab: &Lab| {
        if !Server::is_ours(&lab.server) {
            eprintln!("NOT RUN: the server is not ours to be killed");
            return;
        }
        let _there_again = Revival(&lab.server);
        lab.add_nodes("a", NODES).await;
        let before = lab.foreign().await;
        let (fleet, pool) = (lab.fleet().await, lab.pool(1));
        insist(&fleet, 1, &[lab.ensure(1)]).await;
        let creations: Vec<Command> = (0..WANTED).map(|number| lab.create(1, number)).collect();
        carry_out_over_outage(lab, &fleet, &creations).await;
        until(&fleet, &pool, |seen| (0..WANTED).all(|number| is_ready(seen, number))).await;
        assert_eq!(lab.owners().await.len(), WANTED);
        let again = lab.fleet().await;
        let known = |seen: &Observation| -> Vec<_> {
            let nodes = seen.nodes.iter();
            nodes.map(|(name, fact)| (name.clone(), fact.instance.clone())).collect()
        };
        assert_eq!(
            known(&again.observe(&pool.uid).await.unwrap()),
            known(&fleet.observe(&pool.uid).await.unwrap())
        );
        drop(again);
        for number in 0..3 {
            let host = lab.machines_of(&pool, number).await.remove(0);
            lab.add_pod(&format!("work-{number}"), &host).await;
        }
        until(&fleet, &pool, |seen| seen.nodes.values().filter(|fact| fact.is_busy).count() == 3).await;
        let deletions: Vec<Command> = (0..WANTED).map(|number| lab.delete(1, number)).collect();
        carry_out_over_outage(lab, &fleet, &deletions).await;
        until(&fleet, &pool, |seen| seen.nodes.is_empty()).await;
        assert_eq!(lab.foreign().await, before);
        lab.judge();
    });
}
