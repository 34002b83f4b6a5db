//! CSV: the column `key`, or the only one.

use std::io::Read;

use anyhow::{Context, Result, bail};

pub(super) fn keys(source: impl Read) -> Result<Vec<String>> {
    let mut reader = csv::Reader::from_reader(source);
    let headers = reader.headers().context("line 1")?.clone();
    let column = match headers.iter().position(|name| name == "key") {
        Some(column) => column,
        None if headers.len() == 1 => 0,
        None => bail!("line 1: there is no column named key"),
    };
    let mut keys = Vec::new();
    for record in reader.records() {
        // The error names the line.
        keys.push(record?.get(column).unwrap_or_default().to_owned());
    }
    Ok(keys)
}
