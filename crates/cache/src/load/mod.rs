//! Loading from the origin.

mod flights;
mod limit;
mod refresh;
#[cfg(test)]
mod shuttled;
mod source;
#[cfg(test)]
mod tests;

/// The locks of the flights.
mod sync {
    pub(super) use std::sync::{Mutex, MutexGuard};
}

pub(crate) use self::flights::{Flights, Joined, Passenger, Takeoff};
pub use self::limit::{LoadLimit, Overloaded};
pub(crate) use self::refresh::is_due;
pub use self::source::{Load, Source};
