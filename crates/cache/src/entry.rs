//! The envelope: what one Redis string holds besides the payload.
//!
//! | bytes | field | form |
//! | --- | --- | --- |
//! | 0 | format | `1` |
//! | 1 | state | `v` value, `t` tombstone |
//! | 2 | codec | see [`Codec`] |
//! | 3 | reserved | `0` |
//! | 4..28 | version | fixed-width hexadecimal |
//! | 28..36 | schema fingerprint | hexadecimal |
//! | 36..44 | load cost | microseconds, hexadecimal |
//! | 44..52 | CRC-32 of the payload | hexadecimal |
//! | 52.. | payload | |
//!
//! The first 28 bytes are the same in every format: scripts of one release compare the
//! versions of entries that another release wrote. Hard expiry is Redis's own (`PX`).

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::Codec;
use crate::version::Version;

/// The envelope format that this release writes.
const FORMAT: u8 = b'1';
/// Bytes of the envelope.
pub(crate) const HEADER: usize = 52;

/// A stored entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A value.
    Value(StoredValue),
    /// A mark that everything older than its version is gone.
    Tombstone(Version),
}

/// A value as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredValue {
    pub(crate) version: Version,
    pub(crate) codec: Codec,
    pub(crate) fingerprint: u32,
    /// What loading it from the origin took.
    pub(crate) load_cost: Duration,
    pub(crate) payload: Bytes,
}

/// Why stored bytes are not an entry that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Written by a release with another envelope.
    Format,
    /// Not an envelope, cut off, or damaged.
    Corrupt,
}

impl Entry {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out;
        match self {
            Self::Value(value) => {
                out = BytesMut::with_capacity(HEADER + value.payload.len());
                let micros = u32::try_from(value.load_cost.as_micros()).unwrap_or(u32::MAX);
                out.put_slice(&[FORMAT, b'v', value.codec.tag(), b'0']);
                out.put_slice(value.version.to_fixed().as_bytes());
                let crc = crc32fast::hash(&value.payload);
                for field in [value.fingerprint, micros, crc] {
                    out.put_slice(format!("{field:08x}").as_bytes());
                }
                out.put_slice(&value.payload);
            }
            Self::Tombstone(version) => {
                out = BytesMut::with_capacity(HEADER);
                out.put_slice(&[FORMAT, b't', b'-', b'0']);
                out.put_slice(version.to_fixed().as_bytes());
                out.put_bytes(b'0', HEADER - out.len());
            }
        }
        out.freeze()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Unreadable> {
        match bytes.first() {
            Some(&FORMAT) => {}
            Some(b'2'..=b'9') => return Err(Unreadable::Format),
            _ => return Err(Unreadable::Corrupt),
        }
        if bytes.len() < HEADER {
            return Err(Unreadable::Corrupt);
        }
        let version = Version::from_fixed(&bytes[4..28]).ok_or(Unreadable::Corrupt)?;
        match bytes[1] {
            b't' => Ok(Self::Tombstone(version)),
            b'v' => {
                let payload = bytes.slice(HEADER..);
                if hex(&bytes[44..52])? != crc32fast::hash(&payload) {
                    return Err(Unreadable::Corrupt);
                }
                Ok(Self::Value(StoredValue {
                    version,
                    codec: Codec::from_tag(bytes[2]).ok_or(Unreadable::Format)?,
                    fingerprint: hex(&bytes[28..36])?,
                    load_cost: Duration::from_micros(u64::from(hex(&bytes[36..44])?)),
                    payload,
                }))
            }
            _ => Err(Unreadable::Format),
        }
    }
}

fn hex(digits: &[u8]) -> Result<u32, Unreadable> {
    let text = std::str::from_utf8(digits).map_err(|_| Unreadable::Corrupt)?;
    u32::from_str_radix(text, 16).map_err(|_| Unreadable::Corrupt)
}

/// The version of any format's entry, as the scripts read it; `None` where there is none.
pub(crate) fn peek_version(bytes: &[u8]) -> Option<Version> {
    bytes.get(4..28).and_then(Version::from_fixed)
}

/// Whether any format's entry is a value, as the scripts read it.
pub(crate) fn peek_is_value(bytes: &[u8]) -> bool {
    bytes.get(1) == Some(&b'v')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(payload: &'static [u8]) -> Entry {
        Entry::Value(StoredValue {
            version: Version::new(3, 1 << 60),
            codec: Codec::Json,
            fingerprint: 0xdead_beef,
            load_cost: Duration::from_micros(7_000),
            payload: Bytes::from_static(payload),
        })
    }

    #[test]
    fn an_entry_survives_the_envelope() {
        for entry in [value(b"{}"), value(b""), Entry::Tombstone(Version::new(1, 9))] {
            let bytes = entry.encode();
            assert_eq!(Entry::decode(&bytes), Ok(entry.clone()));
            assert_eq!(peek_is_value(&bytes), matches!(entry, Entry::Value(_)));
        }
    }

    #[test]
    fn the_envelope_costs_what_it_says() {
        assert_eq!(value(b"12345").encode().len(), HEADER + 5);
        assert_eq!(Entry::Tombstone(Version::default()).encode().len(), HEADER);
    }

    #[test]
    fn another_format_is_told_from_damage() {
        let mut newer = value(b"{}").encode().to_vec();
        newer[0] = b'2';
        assert_eq!(peek_version(&newer), Some(Version::new(3, 1 << 60)));
        assert_eq!(Entry::decode(&newer.into()), Err(Unreadable::Format));
        assert_eq!(Entry::decode(&Bytes::from_static(b"hello")), Err(Unreadable::Corrupt));
    }

    proptest! {
        #[test]
        fn no_damaged_byte_goes_unnoticed(at in 0usize..60, to: u8) {
            let good = value(b"{\"id\":1}").encode();
            let mut bad = good.to_vec();
            prop_assume!(bad[at] != to);
            bad[at] = to;
            // Damage in a header field may read as another valid field; in the payload never,
            // and nothing panics.
            let read = Entry::decode(&Bytes::from(bad));
            if at >= HEADER {
                prop_assert_eq!(read, Err(Unreadable::Corrupt));
            }
        }

        #[test]
        fn no_bytes_at_all_make_it_panic(bytes: Vec<u8>) {
            let _ = Entry::decode(&Bytes::from(bytes));
        }
    }
}
