//! What the command line offers, as functions that add to a [`Session`].

mod again;
mod curve;
mod loops;
mod matrix;
mod predict;
mod progress;
mod ratios;
mod recorded;
mod replay;
mod retail;
mod session;
mod stock;

pub use curve::{CurveChoice, Part, curve};
pub use loops::loops;
pub use matrix::{Selection, matrix};
pub use predict::{Predict, predict};
pub use ratios::ratios;
pub use replay::{Replay, replay};
pub use retail::{Retail, online_retail};
pub use session::Session;
pub use stock::{Stock, stock};
