//! Files, packed or not, and what is wrong with them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use thiserror::Error;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

/// Input that was found and cannot be used; the message names file, place and remedy.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct BadData(String);

impl BadData {
    /// Data of which `message` says what is wrong.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// The text of `file`. How it is packed is seen from its first bytes.
pub(super) fn open(file: &Path) -> Result<Box<dyn BufRead>> {
    let mut packed = BufReader::with_capacity(1 << 16, File::open(file)?);
    let start = packed.fill_buf()?;
    let (gzip, xz) = (start.starts_with(&GZIP), start.starts_with(&XZ));
    let text: Box<dyn Read> = if gzip {
        Box::new(MultiGzDecoder::new(packed))
    } else if xz {
        Box::new(XzDecoder::new_multi_decoder(packed))
    } else {
        Box::new(packed)
    };
    Ok(Box::new(BufReader::with_capacity(1 << 16, text)))
}

/// Hands each line to `take` with its number from 1, whatever bytes are in it.
pub(super) fn lines(text: &mut dyn BufRead, mut take: impl FnMut(u64, &str)) -> Result<()> {
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let read = text.read_until(b'\n', &mut bytes);
        if read.with_context(|| format!("line {number}"))? == 0 {
            break;
        }
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end_matches(['\n', '\r']);
        if !line.trim().is_empty() {
            take(number, line);
        }
    }
    Ok(())
}

/// `error`, which came up while `file` was read, with its name. What the file itself cannot be
/// blamed for (it is not there, or may not be read) stays an ordinary error.
pub(super) fn blame(error: anyhow::Error, file: &Path) -> anyhow::Error {
    use std::io::ErrorKind::{IsADirectory, NotFound, PermissionDenied};
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    match kind {
        Some(NotFound | PermissionDenied | IsADirectory) => {
            error.context(file.display().to_string())
        }
        _ => BadData::new(format!("{}: {error:#}", file.display())).into(),
    }
}
