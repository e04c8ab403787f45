use super::*;
use domain::name::{PoolName, ProjectId};
use domain::pool::PoolRef;

fn fact(uid: &str, second: i64, pool: &str, kind: WorkloadKind, status: WorkloadStatus) -> WorkloadFact {
    WorkloadFact {
        uid: Uid::from_text(uid),
        name: format!("job-{uid}"),
        gvk: String::new(),
        job_name: String::new(),
        job_id: String::new(),
        kind,
        pool: PoolMark {
            uid: Uid::from_text(pool),
            pool: PoolRef {
                project: ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap(),
                name: PoolName::parse("pool-1").unwrap(),
            },
        },
        owner: String::new(),
        flavor: FlavorName::parse("gpu").unwrap(),
        priority: 1,
        nodes: 1,
        resources: Quantities::default(),
        status,
        reason: None,
        position: None,
        created_at: Timestamp::from_second(second).unwrap(),
        started_at: None,
        ended_at: None,
        hosts: vec![HostFact {
            node: NodeName::parse("node-1").unwrap(),
            ip: Some(format!("10.0.0.{second}")),
        }],
    }
}

/// Of two pools; two of one second.
fn some() -> Workloads {
    Workloads::new(vec![
        fact("d", 1, "low", WorkloadKind::Train, WorkloadStatus::Running),
        fact("b", 2, "low", WorkloadKind::Infer, WorkloadStatus::Queue),
        fact("a", 2, "high", WorkloadKind::Train, WorkloadStatus::Queue),
        fact("c", 3, "high", WorkloadKind::Train, WorkloadStatus::Queue),
    ])
}

fn part(wanted: &Wanted<'_>, offset: usize, limit: usize) -> (String, usize) {
    let (part, count) = some().part(wanted, offset, limit);
    (part.iter().map(|workload| workload.fact.uid.as_str()).collect(), count)
}

#[test]
fn both_orders_keep_those_of_one_time_in_the_order_of_their_ids() {
    let ascending = Wanted {
        is_ascending: true,
        ..Wanted::default()
    };
    assert_eq!(part(&Wanted::default(), 0, 9), ("cabd".to_owned(), 4));
    assert_eq!(part(&ascending, 0, 9), ("dabc".to_owned(), 4));
    assert_eq!(part(&ascending, 1, 2), ("ab".to_owned(), 4));
    assert_eq!(part(&ascending, 9, 2), (String::new(), 4));
}

#[test]
fn a_part_is_cut_from_what_is_wanted_and_all_of_that_is_counted() {
    let high = BTreeSet::from([Uid::from_text("high")]);
    let of_high = Wanted {
        pools: Some(&high),
        ..Wanted::default()
    };
    let waiting = Wanted {
        statuses: &[WorkloadStatus::Queue],
        ..Wanted::default()
    };
    let train = Wanted {
        kinds: &[WorkloadKind::Train],
        ..waiting
    };
    let hosts = ["10.0.0.2".to_owned()];
    let there = Wanted {
        hosts: &hosts,
        ..Wanted::default()
    };
    assert_eq!(part(&of_high, 0, 9), ("ca".to_owned(), 2));
    assert_eq!(part(&waiting, 1, 1), ("a".to_owned(), 3));
    assert_eq!(part(&train, 0, 9), ("ca".to_owned(), 2));
    assert_eq!(part(&there, 0, 9), ("ab".to_owned(), 2));
    let counts = some().counts(&of_high);
    assert_eq!(
        counts,
        BTreeMap::from([(WorkloadKind::Train, BTreeMap::from([(WorkloadStatus::Queue, 2)]))])
    );
}

#[test]
fn the_serialised_form_is_made_once() {
    let all = some();
    let (part, _) = all.part(&Wanted::default(), 0, 1);
    let rendered = |text: &str| Rendered {
        before: text.into(),
        after: "".into(),
    };
    let first = part[0].rendered(|_| rendered("first")).clone();
    let (part, _) = all.part(&Wanted::default(), 0, 1);
    assert_eq!(part[0].rendered(|_| rendered("second")), &first);
}
