//! Loading from the origin.

mod limit;

pub use self::limit::{LoadLimit, Overloaded};
