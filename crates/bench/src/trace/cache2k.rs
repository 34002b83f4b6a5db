//! The traces of the cache2k benchmarks: 32-bit keys, big-endian, signed.

use std::io::BufRead;

use anyhow::{Result, ensure};

use super::recording::Builder;

pub(super) fn read(text: &mut dyn BufRead, builder: &mut Builder) -> Result<()> {
    let mut bytes = Vec::new();
    text.read_to_end(&mut bytes)?;
    let (keys, rest) = bytes.as_chunks::<4>();
    ensure!(
        rest.is_empty(),
        "{} bytes are left after the last key: it was cut off, or is of another --format",
        rest.len()
    );
    builder.push_numbers(keys.iter().map(|key| i32::from_be_bytes(*key)));
    Ok(())
}
