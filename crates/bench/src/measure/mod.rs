//! What a run cost: processor time, memory, statements.

mod counts;
mod process;
mod statistics;

pub use counts::{Counts, Snapshot};
pub use process::{Cpu, cpu_of, cpu_of_tree, rss_bytes};
pub use statistics::{Interval, bootstrap_median, median};
