use super::*;
use domain::name::{PoolName, ProjectId};
use domain::pool::PoolRef;
use fleet::PoolMark;

fn pool(number: u8) -> PoolMark {
    PoolMark {
        uid: Uid::from_text(&format!("{number:032x}")),
        pool: PoolRef {
            project: ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap(),
            name: PoolName::parse("pool-1").unwrap(),
        },
    }
}

fn node(number: u8) -> NodeName {
    NodeName::parse(&format!("os-node-created-{number:05}")).unwrap()
}

fn hold(number: u8) -> Command {
    Command::HoldNode {
        pool: pool(1),
        node: node(number),
    }
}

#[test]
fn commands_about_a_node_keep_their_order_also_where_it_changes_pools() {
    let take = Command::MoveNode {
        pool: pool(2),
        node: node(1),
        from: pool(1),
    };
    let ensure = Command::EnsurePool { pool: pool(2) };
    let commands = [hold(1), hold(2), take, ensure, hold(1)];
    let alone = |at| vec![vec![at]];
    assert_eq!(rows(&commands), [vec![vec![0, 2], vec![1]], alone(3), alone(4)]);
}
