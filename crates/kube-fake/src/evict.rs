//! Eviction, as far as disruption budgets let it.

use crate::answer::Answer;
use crate::call::Call;
use crate::objects::{Key, State, set, text};
use crate::refusal::Refusal;
use crate::selector::LabelSelector;
use serde_json::{Value, json};

const POD_BUDGETS: &str = "poddisruptionbudgets.policy";

/// POST to `pods/{name}/eviction`.
pub(crate) fn evict(state: &mut State, call: &Call) -> Result<Answer, Refusal> {
    let key = Key::new("pods", &call.namespace, &call.name);
    let pod = state
        .objects
        .get(&key)
        .cloned()
        .ok_or_else(|| Refusal::not_found(&call.ty, &call.name))?;
    let body = call.json()?;
    let counts = matches!(text(&pod, "/status/phase"), "Running") && pod.pointer("/metadata/deletionTimestamp").is_none();
    if counts {
        use_budget(state, call, &pod)?;
    }
    let options = body.get("deleteOptions").cloned().unwrap_or_default();
    crate::delete::delete_one(state, &call.user, &call.ty, key, &options)?;
    Ok(Answer::value(
        201,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}),
    ))
}

/// Takes one disruption from the budget of the pod, if it has one.
fn use_budget(state: &mut State, call: &Call, pod: &Value) -> Result<(), Refusal> {
    let selects = |budget: &Value| {
        let selector = budget.pointer("/spec/selector").and_then(LabelSelector::from_object);
        selector.is_some_and(|selector| selector.matches(pod))
    };
    let budgets = state.range(POD_BUDGETS, &call.namespace);
    let mut budgets: Vec<_> = budgets
        .filter(|(_, budget)| selects(budget))
        .map(|(key, budget)| (key.clone(), (**budget).clone()))
        .collect();
    if budgets.len() > 1 {
        return Err(Refusal::internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    }
    let Some((key, mut budget)) = budgets.pop() else {
        return Ok(());
    };
    let number = |pointer: &str| budget.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let cause = |message: String| json!({"reason": "DisruptionBudget", "message": message});
    if number("/status/observedGeneration") < number("/metadata/generation") {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        let why = format!("The disruption budget {} is still being processed by the server.", key.name);
        return Err(Refusal::too_many_requests(message, 0).with_cause(cause(why)));
    }
    let (desired, healthy) = (number("/status/desiredHealthy"), number("/status/currentHealthy"));
    // A pod that is not ready does not count, so the budget does not suffer.
    let is_ready = crate::twins::kubelet::condition(pod, "Ready") == "True";
    if !is_ready && healthy >= desired && desired > 0 {
        return Ok(());
    }
    let allowed = number("/status/disruptionsAllowed");
    if allowed <= 0 {
        let why = format!(
            "The disruption budget {} needs {desired} healthy pods and has {healthy} currently",
            key.name
        );
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        return Err(Refusal::too_many_requests(message, 0).with_cause(cause(why)));
    }
    set(&mut budget, &["status", "disruptionsAllowed"], json!(allowed - 1));
    set(&mut budget, &["status", "disruptedPods", &call.name], json!(state.time()));
    state.commit("system:apiserver", key, Some(budget));
    Ok(())
}
