#![doc = include_str!("../README.md")]

pub mod advise;
pub mod bed;
pub mod chaos;
pub mod commands;
pub mod compare;
pub mod floor;
pub mod guide;
pub mod load;
pub mod measure;
pub mod report;
pub mod results;
pub mod scenario;
pub mod simulate;
pub mod trace;
pub mod verify;
pub mod workload;
