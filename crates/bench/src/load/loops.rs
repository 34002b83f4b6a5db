//! Both loops on the same server, with the same stall: what one shows and the other hides.

use std::time::Duration;

use anyhow::Result;

use super::client::Request;
use super::{ClosedLoop, OpenLoop, Outcome, Targets, closed_loop, open_loop, steady};

/// Users of the closed loop. As many requests meet the stall, however long it is: too few for a
/// percentile.
const USERS: usize = 2;

/// What each loop met with.
#[derive(Clone, Debug)]
pub struct LoopsCompared {
    /// Timed from when requests were due.
    pub open: OpenLoop,
    /// Timed from when they were sent.
    pub closed: Outcome,
}

/// Asks `targets` in a closed loop and then in an open one, each for `length`, while
/// `stall(after)` brings the server to a stop at that time of each.
///
/// # Errors
///
/// As either loop.
pub async fn compare_loops(
    targets: &Targets,
    rate: f64,
    length: Duration,
    request: &Request,
    stall: impl AsyncFn(Duration),
) -> Result<LoopsCompared> {
    let after = length / 3;
    let users =
        ClosedLoop { targets: targets.clone(), connections: USERS, length, think: Duration::ZERO };
    let ask = |_worker| {
        let request = request.clone();
        move || request.clone()
    };
    let (closed, ()) = tokio::join!(closed_loop(users, ask), stall(after));
    let due = steady(rate, length);
    let requests = vec![request.clone(); due.len()];
    // As many as the stall can leave waiting.
    let connections = (rate * 2.0).clamp(64.0, 2_048.0) as usize;
    let (open, ()) =
        tokio::join!(open_loop(targets.clone(), connections, due, requests), stall(after));
    Ok(LoopsCompared { open: open?, closed: closed? })
}
