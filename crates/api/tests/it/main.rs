//! The service as a process of its own, on real servers.

mod coherence;
mod counting;
mod deploy;
mod keys;
mod loading;
mod operating;
mod outage;
mod replicated;
mod requests;
mod session;
mod startup;
mod support;
mod switching;
mod telemetry;
mod verify;
mod volatile;
mod write_behind;
mod write_through;
