//! `refresh-ahead`: read-through, and what is asked for is reloaded in the background before it
//! goes stale, the earlier the more its load costs (XFetch); a write invalidates.
//!
//! Nobody waits for the reload of a page that is in use. What nobody asks for any more goes.

use larder::NamespaceOptions;

pub(crate) use crate::read_through::{read, written};

/// How eagerly it is reloaded where nothing else is set: as the paper finds best.
const BETA: f64 = 1.0;

/// `options` with reloads.
pub(crate) fn ahead(options: NamespaceOptions) -> NamespaceOptions {
    let refresh_beta = if options.refresh_beta > 0.0 { options.refresh_beta } else { BETA };
    NamespaceOptions { refresh_beta, ..options }
}
