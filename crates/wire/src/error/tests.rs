use super::*;
use domain::field::FieldPath;
use serde_json::json;

#[test]
fn a_refusal_has_the_documented_members_and_lists_what_is_wrong() {
    let bare = ErrorBody::new("ModelArts.50015001", "pool not found", None);
    assert_eq!(
        serde_json::to_value(bare).unwrap(),
        json!({"error_code": "ModelArts.50015001", "error_msg": "pool not found"})
    );
    let mut errors = FieldErrors::new();
    errors.required(FieldPath::of("spec"));
    errors.immutable(FieldPath::of("kind"));
    let body = ErrorBody::new("ModelArts.50004000", "Bad request. spec is required", Some(&errors));
    assert_eq!(
        serde_json::to_value(body).unwrap(),
        json!({
            "error_code": "ModelArts.50004000",
            "error_msg": "Bad request. spec is required",
            "details": [
                {"field": "spec", "reason": "required", "message": "is required"},
                {"field": "kind", "reason": "immutable", "message": "cannot be modified"}
            ]
        })
    );
}

#[test]
fn long_messages_are_cut_between_characters() {
    let long = "ä".repeat(600);
    let errors = FieldErrors::one(FieldPath::of("spec"), Reason::Invalid, long.clone());
    let body = ErrorBody::new("ModelArts.50004000", &long, Some(&errors));
    assert_eq!(body.error_msg.chars().count(), 512);
    assert_eq!(body.details[0].message.chars().count(), 512);
}
