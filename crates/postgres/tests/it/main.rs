//! Against a real Postgres; skipped visibly where there is none.

mod choices;
mod counting;
mod feed;
mod journal;
mod relay;
mod support;
mod tracking;
mod versions;
