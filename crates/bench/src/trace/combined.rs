//! Access logs: `host - user [time] "GET /path HTTP/1.1" status size …`

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result, bail};

pub(super) fn keys(source: impl Read) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(BufReader::new(source).lines()) {
        let line = line.with_context(|| format!("line {number}"))?;
        if line.trim().is_empty() {
            continue;
        }
        let Some(request) = line.split('"').nth(1) else {
            bail!("line {number}: there is no request in quotes");
        };
        let mut words = request.split(' ');
        match (words.next(), words.next()) {
            (Some("GET"), Some(target)) => {
                // Pages are told apart by their path.
                let path = target.split(['?', '#']).next().unwrap_or(target);
                keys.push(path.to_owned());
            }
            // Other methods are no reads; a torn request is logged as "-".
            (Some(_), _) => {}
            (None, _) => bail!("line {number}: the request is empty"),
        }
    }
    Ok(keys)
}
