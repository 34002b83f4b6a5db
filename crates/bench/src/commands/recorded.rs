//! Recorded sequences in their order, shown while they are sent.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use anyhow::Result;

use super::Session;
use crate::bed::Api;
use crate::load::{Request, in_order_counted};
use crate::measure::{Labels, measured};
use crate::results::Run;

/// Sends every one of `requests` once, each when one of `connections` is free for it, and shows how many have
/// been. `command` makes the run again.
///
/// # Errors
///
/// When the load cannot begin, or a counter cannot be read.
pub(super) async fn recorded(
    session: &mut Session,
    api: &Api,
    labels: Labels,
    connections: usize,
    requests: Arc<[Request]>,
    command: String,
) -> Result<Run> {
    session.begin_requests(&labels.workload, requests.len());
    let sent: Arc<AtomicUsize> = Arc::default();
    let load = in_order_counted(api.address().into(), connections, requests, Arc::clone(&sent));
    let work = measured(&session.bed, api, labels, load);
    let run = session.progress().while_doing(&sent, work).await;
    session.end_work();
    Ok(Run { command: Some(command), ..run? })
}
