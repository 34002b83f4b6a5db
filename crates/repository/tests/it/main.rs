//! The adapter on a real Postgres.

mod dead_letters;
mod deferred;
mod journal;
mod journal_model;
mod journal_races;
mod links;
mod port;
mod rights;
mod seeding;
mod support;
