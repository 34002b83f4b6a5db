//! The adapter on a real Postgres.

mod links;
mod port;
mod seeding;
mod support;
