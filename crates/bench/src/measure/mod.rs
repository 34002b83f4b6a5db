//! What a run cost: processor time, memory, statements.

mod counts;
mod machine;
mod process;
mod run;
mod statistics;

pub use counts::{Counts, Snapshot};
pub use machine::machine;
pub use process::{Cpu, cpu_of, cpu_of_tree, peak_memory_bytes, rss_bytes};
pub use run::{Labels, Loaded, measured};
pub use statistics::{Interval, bootstrap_median, median};
