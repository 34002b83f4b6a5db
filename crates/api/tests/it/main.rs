//! The service as a process of its own, on real servers.

mod coherence;
mod counting;
mod deploy;
mod loading;
mod openapi;
mod outage;
mod replicated;
mod requests;
mod secrets;
mod session;
mod startup;
mod support;
mod telemetry;
mod tls;
mod verify;
mod volatile;
mod write_behind;
mod write_through;
