//! What a run cost: processor time, memory, statements.

mod connections;
mod counts;
mod floor;
mod generator;
mod machine;
mod process;
mod pulse;
mod redis;
mod run;
mod sampler;
mod staleness;
mod statistics;

pub(crate) use counts::apart;
pub use counts::{Counts, Snapshot};
pub use floor::{Dependents, Writes, fewest_loads};
pub use generator::Generator;
pub use machine::machine;
pub use process::{Cpu, cpu_of, cpu_of_tree, peak_memory_bytes, rss_bytes, tree_rss_bytes};
pub use redis::{RedisNode, forget_environment, redis_nodes};
pub use run::{Labels, Loaded, Measured, measured, measured_by, used};
pub use sampler::{ProcessUse, Sampler, Watched};
pub use staleness::{Staleness, StalenessMs};
pub use statistics::{Interval, difference_interval, median, median_interval};
