#![doc = include_str!("../README.md")]

pub mod bed;
pub mod commands;
pub mod compare;
pub mod load;
pub mod measure;
pub mod report;
pub mod results;
pub mod scenario;
pub mod trace;
pub mod verify;
