//! Small questions to an API server whose answers say how it behaves. They are put to this crate's server and to a real one,
//! and the fake is wrong where the answers differ.
//!
//! An answer keeps code, reason and fields that a probe asks to see; names, times, uids, versions and wording are taken out.

mod bench;
mod deletion;
mod lists;
mod objects;
mod patches;
mod status;
mod watches;

pub use bench::Bench;

use futures::future::BoxFuture;

/// One question.
pub struct Probe {
    pub name: &'static str,
    /// The oldest server that can answer. `None`: every one.
    pub needs: Option<&'static str>,
    pub run: for<'a> fn(&'a mut Bench) -> BoxFuture<'a, ()>,
}

macro_rules! probes {
    ($($needs:expr => $($module:ident :: $name:ident),+;)+) => {
        vec![$($(Probe {
            name: concat!(stringify!($module), "::", stringify!($name)),
            needs: $needs,
            run: |bench| Box::pin($module::$name(bench)),
        }),+),+]
    };
}

/// All of them, in a fixed order.
pub fn all() -> Vec<Probe> {
    probes! {
        None =>
            objects::created_and_read, objects::created_twice, objects::missing, objects::missing_namespace, objects::foreign_namespace,
            objects::version_at_creation, objects::without_name, objects::generated_name, objects::bad_name, objects::long_name,
            objects::wrong_kind, objects::not_json, objects::unknown_types, objects::wrong_scope, objects::updates, objects::update_by_uid,
            objects::update_creates_lease, objects::dry_run, objects::label_limits, objects::annotation_keys, objects::custom_type,
            objects::custom_update_needs_version, objects::pod_without_containers, objects::pod_is_fixed, objects::access_review,
            objects::discovery;
        None =>
            patches::merge, patches::merge_stale, patches::merge_without_change, patches::merge_uid, patches::merge_name,
            patches::merge_missing, patches::json, patches::json_fails, patches::unknown_form, patches::strategic_taints,
            patches::strategic_custom, patches::apply, patches::apply_conflict, patches::apply_without_manager, patches::apply_leaves_foreign,
            patches::apply_taints, patches::bad_label;
        None =>
            status::split_of_node, status::node_keeps_first_status, status::pod_loses_first_status, status::pod_phase,
            status::custom_status, status::new_node_is_tainted, status::bad_taints, status::heartbeat_moves_version;
        None =>
            deletion::plain, deletion::finalizer, deletion::bad_finalizer, deletion::late_finalizer, deletion::preconditions,
            deletion::bound_pod, deletion::free_pod, deletion::finished_pod, deletion::collection, deletion::foreground,
            deletion::namespace, deletion::node_with_finalizer, deletion::eviction, deletion::eviction_missing,
            deletion::eviction_with_budget, deletion::binding;
        None =>
            lists::label_selectors, lists::bad_selectors, lists::field_selectors, lists::node_fields, lists::pages, lists::bad_token,
            lists::versions, lists::metadata_only;
        None =>
            watches::events, watches::view, watches::from_now, watches::one_name, watches::metadata_only;
        Some("1.30") => watches::initial_events;
    }
}
