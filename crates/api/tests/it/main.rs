//! The service as a process of its own, on real servers.

mod browser;
mod coherence;
mod counting;
mod dashboard;
mod deploy;
mod export;
mod limits;
mod load;
mod loading;
mod outage;
mod replicated;
mod requests;
mod rolling;
mod secrets;
mod session;
mod startup;
mod support;
mod switching;
mod telemetry;
mod tls;
mod traffic;
mod verify;
mod volatile;
mod write_behind;
mod write_through;
