//! How values become bytes.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The encoding of a payload, declared in its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Bytes that mean what their owner says.
    Raw,
    /// JSON text.
    Json,
    /// MessagePack, structs as maps: fields can be added.
    MessagePack,
    /// Postcard: the smallest, but any change of the type is another schema.
    Postcard,
}

/// How a payload was made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    /// An LZ4 block behind its length.
    Lz4,
}

/// What a payload may become when it is expanded: what claims more is damage.
const MOST_EXPANDED: usize = 256 << 20;

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
            Self::MessagePack => b'm',
            Self::Postcard => b'p',
        }
    }

    pub(crate) const fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            b'r' => Some(Self::Raw),
            b'j' => Some(Self::Json),
            b'm' => Some(Self::MessagePack),
            b'p' => Some(Self::Postcard),
            _ => None,
        }
    }
}

impl Compression {
    pub(crate) const fn tag(self) -> u8 {
        match self {
            Self::None => b'0',
            Self::Lz4 => b'4',
        }
    }

    pub(crate) const fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            b'0' => Some(Self::None),
            b'4' => Some(Self::Lz4),
            _ => None,
        }
    }

    /// `payload` in its smaller form, if it has `above` bytes at least and one is smaller.
    pub(crate) fn shrink(payload: Bytes, above: Option<usize>) -> (Self, Bytes) {
        if above.is_none_or(|above| payload.len() < above) {
            return (Self::None, payload);
        }
        let small = lz4_flex::compress_prepend_size(&payload);
        if small.len() < payload.len() { (Self::Lz4, small.into()) } else { (Self::None, payload) }
    }

    pub(crate) fn expand(self, stored: Bytes) -> Result<Bytes, CodecError> {
        match self {
            Self::None => Ok(stored),
            Self::Lz4 => {
                let (length, block) =
                    lz4_flex::block::uncompressed_size(&stored).map_err(CodecError::new)?;
                if length > MOST_EXPANDED {
                    return Err(CodecError::new("an expanded payload would be too large"));
                }
                Ok(lz4_flex::decompress(block, length).map_err(CodecError::new)?.into())
            }
        }
    }
}

/// A value that can be stored.
///
/// The implementor guarantees that `decode(encode(v))` is `v`, and changes
/// [`SCHEMA`](Self::SCHEMA) whenever bytes written before would be read wrongly: entries
/// of another schema are misses, so two releases can share one cluster.
///
/// Clones are handed out on every hit from L1: they should be as cheap as those of [`Bytes`]
/// or an [`Arc`].
pub trait CacheValue: Clone + Send + Sync + 'static {
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

    /// About how many bytes it holds in memory: what L1 is bounded by.
    fn size(&self) -> usize;
}

/// A type whose values are cached through serde, in one of [`Json`], [`MessagePack`] and
/// [`Postcard`].
pub trait Schema: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Names the type and its shape, such as `session/1`; see [`CacheValue::SCHEMA`].
    const SCHEMA: &'static str;
}

/// Defines a wrapper that is a `CacheValue` for every `Schema`.
macro_rules! serde_value {
    ($(#[$doc:meta])* $name:ident, $encode:expr, $decode:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<T> {
            value: Arc<T>,
            size: usize,
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                Self { value: Arc::clone(&self.value), size: self.size }
            }
        }

        impl<T> std::ops::Deref for $name<T> {
            type Target = T;

            fn deref(&self) -> &T {
                &self.value
            }
        }

        impl<T> From<T> for $name<T> {
            fn from(value: T) -> Self {
                Self { value: Arc::new(value), size: size_of::<T>() }
            }
        }

        impl<T: Schema> CacheValue for $name<T> {
            const SCHEMA: &'static str = T::SCHEMA;
            const CODEC: Codec = Codec::$name;

            fn encode(&self) -> Result<Bytes, CodecError> {
                let encode: fn(&T) -> _ = $encode;
                Ok(encode(&self.value).map_err(CodecError::new)?.into())
            }

            fn decode(bytes: Bytes) -> Result<Self, CodecError> {
                let decode: fn(&[u8]) -> Result<T, _> = $decode;
                let value = decode(&bytes).map_err(CodecError::new)?;
                Ok(Self { value: Arc::new(value), size: size_of::<T>().max(bytes.len()) })
            }

            fn size(&self) -> usize {
                self.size
            }
        }
    };
}

serde_value!(
    /// A shared value, stored as JSON text.
    Json,
    |value| serde_json::to_vec(value),
    |bytes| serde_json::from_slice(bytes)
);
serde_value!(
    /// A shared value, stored as MessagePack with named fields.
    MessagePack,
    |value| rmp_serde::to_vec_named(value),
    |bytes| rmp_serde::from_slice(bytes)
);
serde_value!(
    /// A shared value, stored as Postcard.
    Postcard,
    |value| postcard::to_allocvec(value),
    |bytes| postcard::from_bytes(bytes)
);

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

    fn size(&self) -> usize {
        self.len()
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
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct Session {
        user: u64,
        cart: Vec<String>,
    }

    impl Schema for Session {
        const SCHEMA: &'static str = "session/1";
    }

    fn survives<V: CacheValue + From<Session> + std::ops::Deref<Target = Session>>() {
        let session = || Session { user: 7, cart: vec!["lamp".into(), "bowl".into()] };
        let bytes = V::from(session()).encode().expect("encodes");
        let read = V::decode(bytes.clone()).expect("decodes");
        assert_eq!(*read, session());
        assert!(V::decode(bytes.slice(..bytes.len() / 2)).is_err());
        assert_eq!(Codec::from_tag(V::CODEC.tag()), Some(V::CODEC));
    }

    #[test]
    fn values_survive_every_codec() {
        survives::<Json<Session>>();
        survives::<MessagePack<Session>>();
        survives::<Postcard<Session>>();
    }

    #[test]
    fn payloads_are_compressed_where_it_helps() {
        let long = Bytes::from(vec![b'a'; 4_000]);
        let (how, small) = Compression::shrink(long.clone(), Some(1_000));
        assert!(how == Compression::Lz4 && small.len() < 100);
        assert_eq!(how.expand(small.clone()).expect("expands"), long);
        assert_eq!(Compression::shrink(long.clone(), None), (Compression::None, long.clone()));
        let short = long.slice(..999);
        assert_eq!(Compression::shrink(short.clone(), Some(1_000)), (Compression::None, short));
        // Cut off, or with a length that nobody wrote.
        assert!(Compression::Lz4.expand(small.slice(..2)).is_err());
        assert!(Compression::Lz4.expand(Bytes::from_static(&[0xff; 8])).is_err());
    }

    #[test]
    fn the_fingerprint_is_fnv_1a() {
        // Test vectors of the draft.
        assert_eq!(fingerprint(""), 0x811c_9dc5);
        assert_eq!(fingerprint("a"), 0xe40c_292c);
        assert_eq!(fingerprint("foobar"), 0xbf9c_f968);
    }
}
