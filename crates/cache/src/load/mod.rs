//! Loading from the origin.

mod flights;
mod limit;
mod refresh;
mod source;

pub(crate) use self::flights::{Flights, Joined, Passenger, Takeoff};
pub use self::limit::{LoadLimit, Overloaded};
pub(crate) use self::refresh::is_due;
pub use self::source::{Load, Source};
