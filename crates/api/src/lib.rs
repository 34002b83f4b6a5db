#![doc = include_str!("../README.md")]

mod admin;
mod app;
mod auth;
mod closing;
mod coherence;
mod composition;
mod condition;
pub mod config;
mod dashboard;
mod headers;
mod input;
mod problem;
mod routes;
mod server;
mod session;
mod switching;
mod unread;
mod writes;

pub use auth::{KeyError, make_key};
pub use server::{ServeError, Server, start};
