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
