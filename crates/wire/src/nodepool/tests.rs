use super::*;

#[test]
fn paths_of_elements_are_told_as_the_client_wrote_them() {
    let mut errors = FieldErrors::new();
    errors.invalid(FieldPath::of("spec.resources[3].count"), "is odd");
    errors.invalid(FieldPath::of("spec.resources"), "is empty");
    let told: Vec<String> = renamed(&errors).iter().map(|error| error.path.to_string()).collect();
    assert_eq!(told, ["spec.resources.count", "spec.resources"]);
}
