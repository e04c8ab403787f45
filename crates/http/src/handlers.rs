//! Handlers: they read the request, call a use case and render its answer. One file per noun, as in `service`.

pub(crate) mod admin;
pub(crate) mod catalogue;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod iam;
pub(crate) mod jobs;
pub(crate) mod monitor;
pub(crate) mod networks;
pub(crate) mod nodepools;
pub(crate) mod nodes;
pub(crate) mod orders;
pub(crate) mod plugins;
pub(crate) mod pools;
pub(crate) mod tags;
pub(crate) mod watch;
pub(crate) mod workloads;
pub(crate) mod workspaces;
