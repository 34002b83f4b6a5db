//! How many connections this process may hold.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files and sockets beside those of the load.
const SPARE: u64 = 512;

/// Sees to it that this process and those it starts from now on may hold `connections`
/// connections: raises the soft limit, and the hard one where that is allowed.
///
/// # Errors
///
/// When they may not; the message says how to allow it.
pub fn allow_connections(connections: usize) -> Result<(), String> {
    let needed = connections as u64 + SPARE;
    let limit = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if enough(limit.current) {
        return Ok(());
    }
    let maximum = if enough(limit.maximum) { limit.maximum } else { Some(needed) };
    let raised = Rlimit { current: Some(needed), maximum };
    setrlimit(Resource::Nofile, raised).map_err(|error| {
        let may = limit.maximum.unwrap_or(needed);
        format!(
            "{connections} connections need {needed} open files, and this process may have {may} \
             ({error}): ulimit -Hn {needed} as root before it, LimitNOFILE= of a service, or fewer \
             connections"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_or_the_remedy_is_named() {
        allow_connections(100).expect("any machine allows so many");
        assert!(getrlimit(Resource::Nofile).current.is_none_or(|limit| limit >= 100 + SPARE));
        // More than a kernel can count.
        let message = allow_connections(usize::MAX / 2).expect_err("too many");
        assert!(message.contains("ulimit -Hn"), "{message}");
    }
}
