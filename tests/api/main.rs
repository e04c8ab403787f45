//! Black-box tests over HTTP against the real server, each on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests end where something is missing")]

mod acceptance;
mod bodies;
mod connections;
mod conventions;
mod events;
mod life;
mod monitor;
mod node_moves;
mod nodepools;
mod nodes;
mod operator;
mod operator_accounts;
mod operator_catalogue;
mod operator_machines;
mod operator_pools;
mod orders;
mod plugins;
mod security_audit;
mod security_identity;
mod security_limits;
mod security_roles;
mod security_tls;
mod tags;
mod unauthorized;
mod virtuals;
mod watches;
mod workloads;
mod workspaces;

/// Runs each function against a fresh server on either store.
#[macro_export]
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(testkit::TestServer::start(testkit::Backend::Sqlite).await).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(testkit::TestServer::start(testkit::Backend::Postgres).await).await;
            })+
        }
    };
}
