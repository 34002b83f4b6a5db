#![doc = include_str!("../README.md")]

pub mod bed;
pub mod chaos;
pub mod commands;
pub mod load;
pub mod measure;
pub mod report;
pub mod results;
pub mod scenario;
pub mod trace;
pub mod verify;
