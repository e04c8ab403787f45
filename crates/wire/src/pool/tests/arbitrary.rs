//! Any body at all: decoded, or refused with errors that say where.

use super::sample::{full_pool, logical_body, logical_pool, physical_body};
use super::{decode_create, decode_patch, decode_retry_scope};
use crate::testing::{any_json, check_errors, near};
use domain::pool::{Pool, validate};
use proptest::prelude::*;
use serde_json::Value;

fn check_patch(pool: &Pool, patch: &Value) {
    let edit = decode_patch(pool, patch);
    check_errors(patch, &edit);
    if let Ok(edit) = edit {
        check_errors(patch, &validate::apply_edit(pool, &edit));
    }
}

fn check_create(body: &Value) {
    let draft = decode_create(body);
    check_errors(body, &draft);
    if let Ok(draft) = draft {
        let _errors = validate::check_create(&draft);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_json_is_a_request_or_told_why_not(body in any_json()) {
        check_create(&body);
        check_patch(&full_pool(), &body);
        check_patch(&logical_pool(), &body);
        check_errors(&body, &decode_retry_scope(&body));
    }

    #[test]
    fn a_damaged_request_for_a_physical_pool_is_a_request_or_told_why_not(body in near(physical_body())) {
        check_create(&body);
        check_patch(&full_pool(), &body);
    }

    #[test]
    fn a_damaged_request_for_a_logical_pool_is_a_request_or_told_why_not(body in near(logical_body())) {
        check_create(&body);
        check_patch(&logical_pool(), &body);
    }

    #[test]
    fn a_damaged_object_is_a_patch_or_told_why_not(body in near(serde_json::to_value(super::super::Pool::from(&full_pool())).unwrap())) {
        check_patch(&full_pool(), &body);
    }
}
