//! The benchmark on real servers, and its command line.

mod chaos;
mod command_line;
mod guide;
mod load;
mod locust;
mod matrix;
mod measurements;
mod verify;
