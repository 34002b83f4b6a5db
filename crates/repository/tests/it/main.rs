//! The adapter on a real Postgres.

mod port;
mod seeding;
mod support;
