//! How values become bytes.

use bytes::Bytes;
use thiserror::Error;

/// The encoding of a payload, declared in its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Bytes that mean what their owner says.
    Raw,
    /// JSON text.
    Json,
}

/// Why a value could not be encoded or decoded.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct CodecError(#[from] Box<dyn std::error::Error + Send + Sync>);

impl CodecError {
    /// Wraps whatever the encoder said.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl Codec {
    pub(crate) const fn tag(self) -> u8 {
        match self {
            Self::Raw => b'r',
            Self::Json => b'j',
        }
    }

    pub(crate) const fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            b'r' => Some(Self::Raw),
            b'j' => Some(Self::Json),
            _ => None,
        }
    }
}

/// A value that can be stored.
///
/// The implementor guarantees that `decode(encode(v))` is `v`, and changes
/// [`SCHEMA`](Self::SCHEMA) whenever bytes written before would be read wrongly: entries
/// of another schema are misses, so two releases can share one cluster.
pub trait CacheValue: Sized + Send + Sync {
    /// Names the type and its shape, such as `product-page/1`.
    const SCHEMA: &'static str;
    /// How [`encode`](Self::encode) writes.
    const CODEC: Codec;

    /// The bytes to store.
    ///
    /// # Errors
    ///
    /// When the value has no encoding. It is then not stored.
    fn encode(&self) -> Result<Bytes, CodecError>;

    /// The value of stored bytes, whose checksum was verified.
    ///
    /// # Errors
    ///
    /// When the bytes are none. The lookup is then a miss.
    fn decode(bytes: Bytes) -> Result<Self, CodecError>;
}

/// Bytes are stored as they are.
impl CacheValue for Bytes {
    const SCHEMA: &'static str = "bytes/1";
    const CODEC: Codec = Codec::Raw;

    fn encode(&self) -> Result<Bytes, CodecError> {
        Ok(self.clone())
    }

    fn decode(bytes: Bytes) -> Result<Self, CodecError> {
        Ok(bytes)
    }
}

/// The fingerprint of a schema's name: 32-bit FNV-1a.
///
/// Source: G. Fowler, L. C. Noll, K.-P. Vo, D. Eastlake, *The FNV Non-Cryptographic Hash
/// Algorithm*, draft-eastlake-fnv.
pub(crate) const fn fingerprint(schema: &str) -> u32 {
    let bytes = schema.as_bytes();
    let mut hash: u32 = 0x811c_9dc5;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_fnv_1a() {
        // Test vectors of the draft.
        assert_eq!(fingerprint(""), 0x811c_9dc5);
        assert_eq!(fingerprint("a"), 0xe40c_292c);
        assert_eq!(fingerprint("foobar"), 0xbf9c_f968);
    }
}
