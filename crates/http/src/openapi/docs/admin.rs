//! What the document says of the operator API.

use super::{answers, dry_run, integer, paging, text};
use crate::openapi::Documentation;
use utoipa::ToSchema;

const TAG: &str = "operator";

/// An operation that gives JSON of no fixed shape.
pub(crate) fn plain(summary: &'static str) -> Documentation {
    Documentation {
        summary,
        tag: TAG,
        refusals: vec![404, 409],
        ..Documentation::default()
    }
}

pub(crate) fn create<Body: ToSchema, Answer: ToSchema>(summary: &'static str) -> Documentation {
    answers::<Answer>(TAG, summary).takes::<Body>().change()
}

/// As [`create_secret`], where an absent body asks for what is usual.
pub(crate) fn create_usual_secret<Body: ToSchema, Answer: ToSchema>(summary: &'static str) -> Documentation {
    Documentation {
        is_body_optional: true,
        ..create_secret::<Body, Answer>(summary)
    }
}

/// A create whose body or answer holds a secret: an `Idempotency-Key` plays no part, because neither is kept.
pub(crate) fn create_secret<Body: ToSchema, Answer: ToSchema>(summary: &'static str) -> Documentation {
    answers::<Answer>(TAG, summary).takes::<Body>().query([dry_run()]).refuses(&[409])
}

/// A change to the simulated fleet, which knows neither entity tags nor idempotency keys: what is done twice is done.
pub(crate) fn simulated<Body: ToSchema, Answer: ToSchema>(summary: &'static str) -> Documentation {
    answers::<Answer>(TAG, summary)
        .takes::<Body>()
        .query([dry_run()])
        .refuses(&[404, 409])
}

/// As [`simulated`], without a body.
pub(crate) fn mend<Answer: ToSchema>(summary: &'static str) -> Documentation {
    answers::<Answer>(TAG, summary).query([dry_run()]).refuses(&[404])
}

/// `filter`: a query parameter and what it is.
pub(crate) fn list<Answer: ToSchema>(summary: &'static str, filter: Option<(&'static str, &'static str)>) -> Documentation {
    let filter = filter.map(|(name, description)| text(name, description));
    answers::<Answer>(TAG, summary).query(filter).query(paging())
}

/// The record of who did what.
pub(crate) fn audit<Answer: ToSchema>(summary: &'static str) -> Documentation {
    let filters = [
        text("principal", "Id or name of a user, or a credential"),
        text("project", "Id of a project"),
        text("operation", "An operationId of this document"),
        text("outcome", "done, refused or failed"),
        integer("since", "Not before, in seconds or milliseconds"),
        integer("until", "Before, in seconds or milliseconds"),
    ];
    answers::<Answer>(TAG, summary).query(filters).query(paging())
}

pub(crate) fn show<Answer: ToSchema>(summary: &'static str) -> Documentation {
    answers::<Answer>(TAG, summary).refuses(&[404])
}

pub(crate) fn patch<Body: ToSchema, Answer: ToSchema>(summary: &'static str) -> Documentation {
    answers::<Answer>(TAG, summary).patch::<Body>().refuses(&[404])
}

/// As [`create_secret`].
pub(crate) fn patch_secret<Body: ToSchema, Answer: ToSchema>(summary: &'static str) -> Documentation {
    let mut documentation = patch::<Body, Answer>(summary);
    documentation.headers.retain(|header| header.name != "Idempotency-Key");
    documentation
}

pub(crate) fn delete<Answer: ToSchema>(summary: &'static str) -> Documentation {
    let mut documentation = answers::<Answer>(TAG, summary).change().conditional().refuses(&[404]);
    documentation.body = None;
    documentation
}
