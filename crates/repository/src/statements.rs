//! Shorthand for declaring what a statement is counted as.

use catalog_domain::View;
use larder_postgres::{Purpose, Statement};

/// A read of `view`.
pub(crate) const fn load(view: View, collection: &'static str) -> Statement {
    Statement {
        namespace: view.namespace(),
        purpose: Purpose::Load,
        operation: "SELECT",
        collection,
    }
}

/// A write: it is of no view, for it changes several.
pub(crate) const fn write(operation: &'static str, collection: &'static str) -> Statement {
    Statement { namespace: "", purpose: Purpose::Write, operation, collection }
}

/// The sub-select of what is pending for the product whose row is named, in the order in which it was
/// taken; null: nothing.
macro_rules! pending {
    ($row:literal) => {
        concat!(
            "(SELECT jsonb_agg(jsonb_build_object('operation', j.operation,
                'at', (extract(epoch FROM j.appended_at) * 1000000)::bigint) ORDER BY j.position)
     FROM larder.journal j WHERE j.key = ",
            $row,
            ".id::text)"
        )
    };
}

pub(crate) use pending;
