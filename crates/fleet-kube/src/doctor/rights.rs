//! What the server may do.

use super::{Cluster, Finding};

const RIGHTS: &str = "rights";

pub(super) fn check(cluster: &Cluster, found: &mut Vec<Finding>) {
    let (mut missing, mut unknown) = (Vec::new(), None);
    for (grant, answer) in &cluster.rights {
        match answer {
            Ok(true) => {}
            Ok(false) => missing.push(grant.to_string()),
            Err(reason) => unknown = Some(reason),
        }
    }
    if let Some(reason) = unknown {
        found.push(Finding::warning(
            RIGHTS,
            format!("it could not be asked what {} may do: {reason}", cluster.account),
            "ask as the server itself (kubectl exec), or as somebody who may create SubjectAccessReviews",
        ));
    }
    if !missing.is_empty() {
        found.push(Finding::error(
            RIGHTS,
            format!("{} may not: {}", cluster.account, missing.join(", ")),
            "apply deploy/kubernetes/rbac.yaml, or set rbac.create in the chart; rbac.argo for Applications",
        ));
    } else if unknown.is_none() {
        found.push(Finding::ok(RIGHTS, format!("{} may do all it has to", cluster.account)));
    }
}
