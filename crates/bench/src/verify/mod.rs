//! What readers really see.

mod audit;
pub mod check;
pub mod history;
