//! What the webhooks of Volcano and Kueue let through, as far as quotas of pools meet them.

use crate::call::Call;
use crate::kinds::ResourceType;
use crate::objects::{State, annotation, text};
use crate::quantity::{Amounts, add, amounts};
use crate::refusal::{Cause, Refusal};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const QUEUES: &str = "queues.scheduling.volcano.sh";
const CLUSTER_QUEUES: &str = "clusterqueues.kueue.x-k8s.io";
const LOCAL_QUEUES: &str = "localqueues.kueue.x-k8s.io";
const ROOT: &str = "root";
/// Levels of queues below the root.
const DEPTH: usize = 5;

/// Volcano's queues, by name.
struct Tree<'a>(BTreeMap<&'a str, &'a Value>);

pub(crate) fn validate(state: &State, call: &Call, before: Option<&Value>, after: &Value) -> Result<(), Refusal> {
    let name = text(after, "/metadata/name");
    match call.ty.qualified().as_str() {
        QUEUES => {
            let mut tree = tree(state);
            tree.0.insert(name, after);
            let fault = tree.faults_at(name).into_iter().next();
            let fault = fault.or_else(|| {
                before
                    .is_none()
                    .then(|| leaf_with_pods(state, text(after, "/spec/parent")))
                    .flatten()
            });
            fault.map_or(Ok(()), |fault| Err(Refusal::webhook("validatequeue.volcano.sh", &fault)))
        }
        CLUSTER_QUEUES => invalid(&call.ty, name, &cluster_queue(after)),
        LOCAL_QUEUES => {
            let queue = |object: &Value| object.pointer("/spec/clusterQueue").cloned().unwrap_or_default();
            let moved = before.filter(|before| queue(before) != queue(after));
            let cause = moved.map(|_| Cause::invalid("spec.clusterQueue", &queue(after), "field is immutable"));
            invalid(&call.ty, name, cause.as_slice())
        }
        _ => Ok(()),
    }
}

fn invalid(ty: &ResourceType, name: &str, causes: &[Cause]) -> Result<(), Refusal> {
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Refusal::invalid(ty, name, causes))
    }
}

pub(crate) fn validate_delete(state: &State, ty: &ResourceType, name: &str) -> Result<(), Refusal> {
    if ty.qualified() != QUEUES {
        return Ok(());
    }
    let refuse = |why: String| Err(Refusal::webhook("validatequeue.volcano.sh", &why));
    if name == ROOT || name == "default" {
        return refuse(format!("`{name}` queue can not be deleted"));
    }
    if tree(state).children(name).next().is_some() {
        return refuse(format!("queue {name} can not be deleted because it has child queues"));
    }
    Ok(())
}

/// All that is wrong with the tree.
pub(crate) fn faults(state: &State) -> Vec<String> {
    tree(state).faults()
}

/// What is wrong with a tree of Volcano queues, by their names.
pub fn queue_tree_faults(queues: &BTreeMap<String, Arc<Value>>) -> Vec<String> {
    Tree(queues.iter().map(|(name, queue)| (name.as_str(), &**queue)).collect()).faults()
}

fn tree(state: &State) -> Tree<'_> {
    Tree(state.range(QUEUES, "").map(|(key, queue)| (key.name.as_str(), &**queue)).collect())
}

/// A queue that pods were submitted to cannot get children.
fn leaf_with_pods(state: &State, parent: &str) -> Option<String> {
    let submitted =
        |pod: &Value| annotation(pod, "scheduling.volcano.sh/queue-name") == Some(parent) && !text(pod, "/spec/nodeName").is_empty();
    let busy = !parent.is_empty() && parent != ROOT && state.range("pods", "").any(|(_, pod)| submitted(pod));
    busy.then(|| format!("queue {parent} cannot be the parent queue because it has allocated pods"))
}

impl<'a> Tree<'a> {
    fn faults(&self) -> Vec<String> {
        let names = self.0.keys();
        names
            .flat_map(|name| self.faults_at(name))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    fn children<'b>(&'b self, of: &'b str) -> impl Iterator<Item = (&'a str, &'a Value)> + 'b {
        let all = self.0.iter().map(|(name, queue)| (*name, *queue));
        all.filter(move |(name, queue)| *name != ROOT && parent(queue) == of)
    }

    /// What a queue breaks, or makes its parent or its children break.
    fn faults_at(&self, name: &str) -> Vec<String> {
        let Some(queue) = self.0.get(name) else {
            return Vec::new();
        };
        let mut faults: Vec<String> = own(name, queue).into_iter().collect();
        if name != ROOT {
            faults.extend(self.place(name, queue));
            let parent = parent(queue);
            faults.extend(self.sum(parent));
            faults.extend(self.capability(name, queue));
        }
        faults.extend(self.sum(name));
        let below: Vec<(&str, &Value)> = self.below(name);
        faults.extend(below.into_iter().filter_map(|(name, queue)| self.capability(name, queue)));
        faults
    }

    fn below(&self, name: &str) -> Vec<(&'a str, &'a Value)> {
        let mut found: Vec<(&str, &Value)> = self.children(name).collect();
        let mut at = 0;
        while let Some((child, _)) = found.get(at).copied() {
            // A circle would never end.
            if found.len() > self.0.len() {
                break;
            }
            found.extend(self.children(child));
            at += 1;
        }
        found
    }

    /// Its parent exists, and it is not too deep.
    fn place(&self, name: &str, queue: &Value) -> Option<String> {
        let mut depth = 1;
        let mut at = parent(queue);
        while at != ROOT {
            let Some(next) = self.0.get(at) else {
                return Some(format!(
                    "failed to get parent queue of queue {name}: queues.scheduling.volcano.sh \"{at}\" not found"
                ));
            };
            at = parent(next);
            depth += 1;
            if depth > DEPTH {
                return Some(format!("queue {name} exceeds the maximum depth of {DEPTH}"));
            }
        }
        None
    }

    /// The children together deserve no more than their parent.
    fn sum(&self, of: &str) -> Option<String> {
        if of == ROOT {
            return None;
        }
        let parent = self.0.get(of)?;
        for field in ["deserved", "guarantee"] {
            let mut sum = Amounts::new();
            for (_, child) in self.children(of) {
                add(&mut sum, &of_field(child, field));
            }
            let has = of_field(parent, field);
            if let Some(name) = exceeding(&sum, &has) {
                return Some(format!(
                    "the sum of {field} of the children of queue {of} exceeds that of their parent in {name}"
                ));
            }
        }
        None
    }

    /// It can use no more than its nearest ancestor that has a limit.
    fn capability(&self, name: &str, queue: &Value) -> Option<String> {
        let own = of_field(queue, "capability");
        let mut at = parent(queue);
        for _ in 0..=DEPTH {
            if at == ROOT {
                return None;
            }
            let ancestor = self.0.get(at)?;
            let limit = of_field(ancestor, "capability");
            if !limit.is_empty() {
                let over = exceeding(&own, &limit)?;
                return Some(format!("capability of queue {name} exceeds that of its ancestor {at} in {over}"));
            }
            at = parent(ancestor);
        }
        None
    }
}

fn parent(queue: &Value) -> &str {
    match text(queue, "/spec/parent") {
        "" => ROOT,
        parent => parent,
    }
}

fn of_field(queue: &Value, field: &str) -> Amounts {
    let pointer = if field == "guarantee" {
        "/spec/guarantee/resource".to_owned()
    } else {
        format!("/spec/{field}")
    };
    amounts(queue.pointer(&pointer))
}

/// The first resource of which there is more than allowed; what is not named is not allowed.
fn exceeding(is: &Amounts, most: &Amounts) -> Option<String> {
    let over = is.iter().find(|(name, amount)| **amount > most.get(*name).copied().unwrap_or(0));
    over.map(|(name, _)| name.clone())
}

/// guarantee ≤ deserved ≤ capability; a limit that is not given is none.
fn own(name: &str, queue: &Value) -> Option<String> {
    let (guarantee, deserved, capability) = (
        of_field(queue, "guarantee"),
        of_field(queue, "deserved"),
        of_field(queue, "capability"),
    );
    if let Some(over) = exceeding(&guarantee, &deserved).filter(|_| !deserved.is_empty()) {
        return Some(format!("queue {name}: guarantee exceeds deserved in {over}"));
    }
    let named: Amounts = deserved.into_iter().filter(|(name, _)| capability.contains_key(name)).collect();
    let over = exceeding(&named, &capability)?;
    Some(format!("queue {name}: deserved exceeds capability in {over}"))
}

/// What is wrong with a ClusterQueue.
fn cluster_queue(queue: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let list = |object: &Value, field: &str| object.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let groups = queue.get("spec").map(|spec| list(spec, "resourceGroups")).unwrap_or_default();
    let in_cohort = !text(queue, "/spec/cohortName").is_empty() || !text(queue, "/spec/cohort").is_empty();
    let too_many = |field: String, limit: usize| Cause {
        reason: "FieldValueTooMany",
        message: format!("Too many: must have at most {limit} items"),
        field,
    };
    if groups.len() > 16 {
        causes.push(too_many("spec.resourceGroups".to_owned(), 16));
    }
    let (mut flavors_seen, mut resources_seen) = (BTreeSet::new(), BTreeSet::new());
    for (index, group) in groups.iter().enumerate() {
        let at = format!("spec.resourceGroups[{index}]");
        let covered = list(group, "coveredResources");
        let flavors = list(group, "flavors");
        if flavors.len() > 64 {
            causes.push(too_many(format!("{at}.flavors"), 64));
        }
        if covered.len() > 64 {
            causes.push(too_many(format!("{at}.coveredResources"), 64));
        }
        for resource in &covered {
            if !resources_seen.insert(resource.to_string()) {
                causes.push(Cause::duplicate(format!("{at}.coveredResources"), &resource.to_string()));
            }
        }
        for (number, flavor) in flavors.iter().enumerate() {
            let at = format!("{at}.flavors[{number}]");
            if !flavors_seen.insert(text(flavor, "/name").to_owned()) {
                causes.push(Cause::duplicate(format!("{at}.name"), text(flavor, "/name")));
            }
            let resources = list(flavor, "resources");
            let names: Vec<Value> = resources.iter().map(|one| one.get("name").cloned().unwrap_or_default()).collect();
            if names != covered {
                let why = "must list the resources in the order of coveredResources";
                causes.push(Cause::invalid(format!("{at}.resources"), &Value::Array(names), why));
            }
            for (number, resource) in resources.iter().enumerate() {
                if let Some(limit) = resource.get("borrowingLimit").filter(|limit| !in_cohort && !limit.is_null()) {
                    let at = format!("{at}.resources[{number}].borrowingLimit");
                    causes.push(Cause::invalid(at, limit, "must be nil when cohort is empty"));
                }
            }
        }
    }
    causes
}
