//! Ports: free ones for tests, and clear words about taken ones.

use std::net::{Ipv4Addr, TcpListener};

use rand::RngExt;

use crate::error::StackError;

/// How far above its port a cluster node's bus listens.
pub(crate) const BUS_OFFSET: u16 = 10_000;

/// Whether nothing listens on a port of the loopback interface.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Fails with the name of the variable that moves the port.
pub(crate) fn require_free(port: u16, purpose: &str, variable: &str) -> Result<(), StackError> {
    if is_free(port) {
        return Ok(());
    }
    let (purpose, variable) = (purpose.to_owned(), variable.to_owned());
    Err(StackError::PortTaken { port, purpose, variable })
}

/// `count` free ports in a row, with their bus ports free too.
///
/// Below the range that the system gives to outgoing connections, so that none of those takes
/// one between this look and the server's start. Another test may: callers try again.
pub(crate) fn free_range(count: u16) -> u16 {
    let mut random = rand::rng();
    loop {
        let base = random.random_range(11_000..22_000 - count);
        let ports = base..base + count;
        if ports.clone().all(is_free) && ports.map(|port| port + BUS_OFFSET).all(is_free) {
            return base;
        }
    }
}
