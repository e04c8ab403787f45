//! What the document says of each operation.

pub(crate) mod admin;
pub(crate) mod around;
pub(crate) mod nodes;

use super::{Answer, Documentation, Parameter, Schema};
use serde_json::json;
use utoipa::ToSchema;

fn text(name: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        description,
        schema: json!({"type": "string"}),
        is_required: false,
    }
}

fn integer(name: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        description,
        schema: json!({"type": "integer", "minimum": 0}),
        is_required: false,
    }
}

fn boolean(name: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        description,
        schema: json!({"type": "boolean"}),
        is_required: false,
    }
}

fn dry_run() -> Parameter {
    boolean("dryRun", "Run all checks, answer what would be stored, store nothing")
}

fn workspace() -> Parameter {
    text("workspaceId", "Workspace; default 0")
}

fn selector() -> Parameter {
    text("labelSelector", "Requirements on labels in the grammar of Kubernetes")
}

fn paging() -> [Parameter; 2] {
    [
        integer("limit", "Items of a page, at most 500"),
        text("continue", "metadata.continue of the page before"),
    ]
}

fn answers<T: ToSchema>(tag: &'static str, summary: &'static str) -> Documentation {
    Documentation {
        summary,
        tag,
        answer: Answer::Schema(Schema::of::<T>()),
        ..Documentation::default()
    }
}

impl Documentation {
    fn query(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        self.query.extend(parameters);
        self
    }

    fn takes<T: ToSchema>(mut self) -> Self {
        self.body = Some(Schema::of::<T>());
        self
    }

    pub(crate) fn refuses(mut self, statuses: &[u16]) -> Self {
        self.refusals.extend(statuses);
        self
    }

    /// A change: with a dry run, and with a key that lets it be sent twice.
    fn change(mut self) -> Self {
        self.query.push(dry_run());
        self.headers.push(Parameter {
            name: "Idempotency-Key",
            description: "The same key and body get the first answer again, for 24 hours",
            schema: json!({"type": "string", "pattern": "^[ -~]{1,255}$"}),
            is_required: false,
        });
        self.refuses(&[409])
    }

    pub(crate) fn conditional(mut self) -> Self {
        self.headers.push(text("If-Match", "Only if the object still has this entity tag"));
        self.refuses(&[412])
    }

    /// A list that can be watched.
    pub(crate) fn watched(mut self) -> Self {
        self.is_watched = true;
        self.headers
            .push(text("Last-Event-ID", "Watch what comes after this event; wins over revision"));
        self.query([
            boolean("watch", "Tell what happens as server-sent events, instead of a list"),
            integer(
                "revision",
                "Watch what comes after this revision; absent: everything that there is, and then what happens",
            ),
        ])
        .refuses(&[410])
    }

    fn patch<T: ToSchema>(mut self) -> Self {
        self.is_merge_patch = true;
        self.takes::<T>().change().conditional().refuses(&[415])
    }

    fn console(mut self) -> Self {
        self.headers
            .push(text("request-type", "console: prepaid changes wait for their payment"));
        self.headers
            .push(text("X-ModelArts-User-ID", "The user whose workspace rights count"));
        self
    }
}

pub(crate) fn create_pool() -> Documentation {
    answers::<wire::pool::Pool>("pools", "Creates a pool")
        .takes::<wire::pool::Pool>()
        .change()
        .console()
}

pub(crate) fn list_pools() -> Documentation {
    answers::<wire::list::PoolList>("pools", "Lists the pools of a workspace")
        .query([
            workspace(),
            selector(),
            text("status", "created, creating or failed"),
            text("parent", "Direct sub-pools of this pool"),
        ])
        .query(paging())
        .watched()
}

pub(crate) fn show_pool() -> Documentation {
    answers::<wire::pool::Pool>("pools", "Shows a pool").conditional().query([
        text(
            "wait",
            "Answer when the pool has this phase or condition (Ready, Gone, Train=Enabled)",
        ),
        integer("timeout", "Seconds to wait at most, up to 60"),
    ])
}

pub(crate) fn patch_pool() -> Documentation {
    answers::<wire::pool::Pool>("pools", "Changes a pool")
        .patch::<wire::pool::Pool>()
        .console()
}

pub(crate) fn delete_pool() -> Documentation {
    answers::<wire::pool::Pool>("pools", "Deletes a pool")
        .query([dry_run()])
        .conditional()
        .console()
        .refuses(&[409])
}

pub(crate) fn pool_statistics() -> Documentation {
    answers::<wire::statistics::PoolStatistics>("pools", "Counts the pools of a workspace by phase").query([workspace()])
}

pub(crate) fn retry_scope() -> Documentation {
    Documentation {
        summary: "Tries to enable a job type again",
        tag: "pools",
        ..Documentation::default()
    }
    .takes::<wire::pool::RetryScope>()
    .change()
}

pub(crate) fn create_network() -> Documentation {
    answers::<wire::network::Network>("networks", "Creates a network")
        .takes::<wire::network::Network>()
        .change()
}

pub(crate) fn list_networks() -> Documentation {
    answers::<wire::list::NetworkList>("networks", "Lists the networks of a workspace")
        .query([workspace(), selector()])
        .query(paging())
}

pub(crate) fn show_network() -> Documentation {
    answers::<wire::network::Network>("networks", "Shows a network").conditional()
}

pub(crate) fn patch_network() -> Documentation {
    answers::<wire::network::Network>("networks", "Changes a network").patch::<wire::network::Network>()
}

pub(crate) fn delete_network() -> Documentation {
    answers::<wire::network::Network>("networks", "Deletes a network")
        .query([dry_run()])
        .conditional()
        .refuses(&[409])
}

pub(crate) fn list_flavors() -> Documentation {
    answers::<wire::list::ResourceFlavorList>("flavors", "Lists the flavors of physical pools")
        .query([selector()])
        .query(paging())
}

pub(crate) fn quotas() -> Documentation {
    answers::<wire::quota::Quotas>("quotas", "Shows limits and their use")
}

pub(crate) fn os_config() -> Documentation {
    answers::<wire::os_config::OsConfig>("quotas", "Shows the configuration of the installation")
}

pub(crate) fn list_workloads() -> Documentation {
    answers::<wire::workload::WorkloadList>(
        "workloads",
        "Lists the workloads of a pool and of the logical ones inside it, newest first",
    )
    .query([
        text("type", "train, infer, notebook or x-infer; may be repeated"),
        text(
            "status",
            "Queue, Pending, Abnormal, Terminating, Creating, Running, Completed, Terminated or Failed; may be repeated",
        ),
        text("sort", "create_time"),
        boolean("ascend", "With sort: the oldest first"),
        integer("limit", "Items, at most 500; 0 or absent: 500"),
        integer("offset", "Items to leave out"),
        text(
            "hostip",
            "Addresses of nodes, separated by commas; may be repeated. Then everything comes on one page",
        ),
    ])
    .refuses(&[404])
}

pub(crate) fn workload_statistics() -> Documentation {
    answers::<wire::workload::WorkloadStatistics>("workloads", "Counts the workloads of a pool by type and status").refuses(&[404])
}

pub(crate) fn list_orders() -> Documentation {
    answers::<wire::list::OrderList>("orders", "Lists orders, newest first").query([
        text("workspaceId", "Workspace; absent: all that the caller may use"),
        text("involvedName", "Display name or id of a pool"),
        integer("limit", "Items, at most 500; 0 means 100; absent: all"),
        integer("offset", "Items to leave out"),
        integer("since", "Milliseconds or seconds since the epoch"),
        integer("until", "Milliseconds or seconds since the epoch"),
        text("phase", "pending, running, successed, partialSuccessed or failed"),
        text("result", "As phase"),
        text("resource", "pools"),
    ])
}

pub(crate) fn show_order() -> Documentation {
    answers::<wire::list::OrderItemList>("orders", "Shows what an order made and removed")
}

pub(crate) fn create_workspace() -> Documentation {
    answers::<wire::workspace::Workspace>("workspaces", "Creates a workspace")
        .takes::<wire::workspace::WorkspaceBody>()
        .change()
}

pub(crate) fn list_workspaces() -> Documentation {
    answers::<wire::workspace::WorkspaceList>("workspaces", "Lists workspaces").query([
        integer("limit", "Items, at most 1000"),
        integer("offset", "Items to leave out"),
        text("sort_by", "name, update_time or status"),
        text("order", "asc or desc"),
        text("name", "Part of the name"),
        text("enterprise_project_id", "Enterprise project"),
        boolean("filter_accessible", "Only those that the caller may use"),
    ])
}

pub(crate) fn show_workspace() -> Documentation {
    answers::<wire::workspace::Workspace>("workspaces", "Shows a workspace")
}

pub(crate) fn update_workspace() -> Documentation {
    answers::<wire::workspace::WorkspaceIdBody>("workspaces", "Changes a workspace")
        .takes::<wire::workspace::WorkspaceBody>()
        .change()
}

pub(crate) fn delete_workspace() -> Documentation {
    answers::<wire::workspace::WorkspaceIdBody>("workspaces", "Deletes an empty workspace")
        .query([dry_run()])
        .refuses(&[409])
}

pub(crate) fn iam(summary: &'static str) -> Documentation {
    Documentation {
        summary,
        tag: "identity",
        ..Documentation::default()
    }
}

pub(crate) fn iam_created(summary: &'static str) -> Documentation {
    Documentation {
        summary,
        tag: "identity",
        answer: Answer::Created,
        refusals: vec![400, 401, 413],
        ..Documentation::default()
    }
}

pub(crate) fn plain(summary: &'static str) -> Documentation {
    Documentation {
        summary,
        tag: "server",
        answer: Answer::Text,
        refusals: vec![503],
        ..Documentation::default()
    }
}

/// Text of a media type of its own.
pub(crate) fn media(summary: &'static str, media: &'static str) -> Documentation {
    Documentation {
        answer: Answer::Media(media),
        ..plain(summary)
    }
}
