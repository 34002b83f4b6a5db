//! The runner on real servers, and the workspace's arrows.

mod arrows;
mod clusters;
mod exec;
mod lifecycle;
mod regions;
mod reshard;
mod services;
