//! The cache through its public face: on the in-memory twin, and on a real Redis Cluster
//! where the servers are installed.

mod memory;
mod outage;
mod reads;
mod support;
