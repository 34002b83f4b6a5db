#![doc = include_str!("../README.md")]

mod binaries;
pub mod env_file;
mod error;
pub mod exec;
mod ports;
mod postgres;
mod process;
mod redis_cluster;
mod reshard;
mod service;
mod stack;
pub mod testing;
mod topology;
mod user;

pub use error::StackError;
pub use postgres::{Postgres, PostgresOptions};
pub use redis_cluster::RedisCluster;
pub use reshard::{Resharded, reshard};
pub use service::{Service, Started};
pub use stack::{ServerStatus, Stack, StackInfo, StackOptions};
pub use topology::Topology;
