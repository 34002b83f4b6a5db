//! The traces of the cache2k benchmarks: 32-bit keys, big-endian, signed.

use std::io::Read;

use anyhow::{Result, ensure};

pub(super) fn keys(mut source: impl Read) -> Result<Vec<i32>> {
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes)?;
    let (keys, rest) = bytes.as_chunks::<4>();
    ensure!(rest.is_empty(), "{} bytes are left after the last key", rest.len());
    Ok(keys.iter().map(|key| i32::from_be_bytes(*key)).collect())
}
