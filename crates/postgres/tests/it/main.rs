//! Counting and versions, against a real Postgres.

mod counting;
mod support;
mod versions;
