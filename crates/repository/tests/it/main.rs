//! The adapter on a real Postgres.

mod journal;
mod journal_model;
mod links;
mod port;
mod seeding;
mod support;
