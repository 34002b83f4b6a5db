//! The envelope: what one Redis string holds besides the payload.
//!
//! | bytes | field | form |
//! | --- | --- | --- |
//! | 0 | format | `2` |
//! | 1 | state | `v` value, `n` negative, `t` tombstone, `l` lease only |
//! | 2 | codec | see [`Codec`]; upper case: tags come before the payload |
//! | 3 | compression | `0` none, `4` LZ4 block |
//! | 4..28 | version | fixed-width hexadecimal |
//! | 28..36 | schema fingerprint | hexadecimal |
//! | 36..44 | load cost | microseconds, hexadecimal |
//! | 44..52 | CRC-32 of tags and payload as stored | hexadecimal |
//! | 52..60 | life at the fill | milliseconds, hexadecimal |
//! | 60..68 | of which the last part is stale | milliseconds, hexadecimal |
//! | 68 | lease | `0` none, `L` held, `W` held and somebody waits |
//! | 69..97 | only with a lease: token (16), deadline in Redis's time (12; zero: ended by an invalidation) | hexadecimal |
//! | 69.. or 97.. | tags, where there are any: their number (4), and of each its version (24), the length of its name (4), its name | hexadecimal, UTF-8 |
//! | after that | payload | |
//!
//! The first 28 bytes are the same in every format: scripts of one release compare the
//! versions of entries that another release wrote. Hard expiry is Redis's own (`PX`); an
//! entry is stale when Redis keeps it for less than the stale part of its life, so that no
//! two machines' clocks are compared. The lease's deadline is judged by scripts alone.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{Codec, Compression};
use crate::tag::{Tag, Tags};
use crate::version::Version;

/// The envelope format that this release writes.
const FORMAT: u8 = b'2';
/// Bytes of the envelope without a lease.
pub(crate) const HEADER: usize = 69;
/// Bytes of a lease.
pub(crate) const LEASE: usize = 28;
/// Where the lease's flag is.
pub(crate) const FLAG: usize = 68;

/// Whether somebody holds the lease of an encoded entry.
pub(crate) fn is_leased(entry: &[u8]) -> bool {
    let deadline = entry.get(HEADER + LEASE - 12..HEADER + LEASE);
    matches!(entry.get(FLAG), Some(b'L' | b'W'))
        && deadline.is_some_and(|digits| digits.iter().any(|digit| *digit != b'0'))
}

/// A stored entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A value, or that the origin has none.
    Value(StoredValue),
    /// A mark that everything older than its version is gone.
    Tombstone(Version),
    /// Nothing but a lease; what is filled must not be older than this.
    Lease(Version),
}

/// A value as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredValue {
    pub(crate) version: Version,
    /// Whether it says that the origin has no such value; the payload is then empty.
    pub(crate) negative: bool,
    pub(crate) codec: Codec,
    pub(crate) compression: Compression,
    pub(crate) fingerprint: u32,
    /// What loading it from the origin took.
    pub(crate) load_cost: Duration,
    pub(crate) life: Duration,
    /// The last part of its life, in which it is stale.
    pub(crate) stale: Duration,
    pub(crate) tags: Tags,
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
        match self {
            Self::Value(value) => {
                let state = if value.negative { b'n' } else { b'v' };
                let mut codec = value.codec.tag();
                let mut body = value.payload.clone();
                if let Some(tags) = &value.tags {
                    codec = codec.to_ascii_uppercase();
                    body = with_tags(tags, &value.payload);
                }
                let marks = [FORMAT, state, codec, value.compression.tag()];
                let mut out = BytesMut::with_capacity(HEADER + body.len());
                let fields = [
                    value.fingerprint,
                    clamp(value.load_cost.as_micros()),
                    crc32fast::hash(&body),
                    clamp(value.life.as_millis()),
                    clamp(value.stale.as_millis()),
                ];
                head(&mut out, marks, value.version, fields);
                out.put_slice(&body);
                out.freeze()
            }
            Self::Tombstone(version) => bare(b't', *version),
            Self::Lease(version) => bare(b'l', *version),
        }
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Unreadable> {
        match bytes.first() {
            Some(&FORMAT) => {}
            Some(b'1'..=b'9') => return Err(Unreadable::Format),
            _ => return Err(Unreadable::Corrupt),
        }
        if bytes.len() < HEADER {
            return Err(Unreadable::Corrupt);
        }
        let version = Version::from_fixed(&bytes[4..28]).ok_or(Unreadable::Corrupt)?;
        let start = match bytes[FLAG] {
            b'0' => HEADER,
            b'L' | b'W' => HEADER + LEASE,
            _ => return Err(Unreadable::Corrupt),
        };
        if bytes.len() < start {
            return Err(Unreadable::Corrupt);
        }
        let negative = match bytes[1] {
            b't' => return Ok(Self::Tombstone(version)),
            b'l' => return Ok(Self::Lease(version)),
            b'v' => false,
            b'n' => true,
            _ => return Err(Unreadable::Format),
        };
        let mut payload = bytes.slice(start..);
        if hex(&bytes[44..52])? != crc32fast::hash(&payload) {
            return Err(Unreadable::Corrupt);
        }
        let tags = bytes[2].is_ascii_uppercase().then(|| take_tags(&mut payload)).transpose()?;
        let millis = |at: usize| Ok(Duration::from_millis(hex(&bytes[at..at + 8])?.into()));
        Ok(Self::Value(StoredValue {
            version,
            negative,
            codec: Codec::from_tag(bytes[2].to_ascii_lowercase()).ok_or(Unreadable::Format)?,
            compression: Compression::from_tag(bytes[3]).ok_or(Unreadable::Format)?,
            fingerprint: hex(&bytes[28..36])?,
            load_cost: Duration::from_micros(hex(&bytes[36..44])?.into()),
            life: millis(52)?,
            stale: millis(60)?,
            tags,
            payload,
        }))
    }
}

fn bare(state: u8, version: Version) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER);
    head(&mut out, [FORMAT, state, b'-', b'0'], version, [0; 5]);
    out.freeze()
}

/// Tags and payload. The tags must be such as [`fits`] accepts.
fn with_tags(tags: &[Tag], payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + 64 * tags.len());
    out.put_slice(format!("{:04x}", tags.len()).as_bytes());
    for tag in tags {
        out.put_slice(tag.version.to_fixed().as_bytes());
        out.put_slice(format!("{:04x}", tag.name.len()).as_bytes());
        out.put_slice(tag.name.as_bytes());
    }
    out.put_slice(payload);
    out.freeze()
}

/// Whether the envelope can hold `tags`: fewer than 65,536, with names of fewer bytes than that.
pub(crate) fn fits(tags: &Tags) -> bool {
    let most = usize::from(u16::MAX);
    tags.as_deref()
        .is_none_or(|tags| tags.len() <= most && tags.iter().all(|tag| tag.name.len() <= most))
}

fn take_tags(body: &mut Bytes) -> Result<std::sync::Arc<[Tag]>, Unreadable> {
    let mut take = |count: usize| {
        if body.len() < count { Err(Unreadable::Corrupt) } else { Ok(body.split_to(count)) }
    };
    let number = hex(&take(4)?)?;
    (0..number)
        .map(|_| {
            let version = Version::from_fixed(&take(Version::WIDTH)?).ok_or(Unreadable::Corrupt)?;
            let length = hex(&take(4)?)? as usize;
            let name = take(length)?;
            let name = std::str::from_utf8(&name).map_err(|_| Unreadable::Corrupt)?;
            Ok(Tag::new(name, version))
        })
        .collect()
}

fn head(out: &mut BytesMut, marks: [u8; 4], version: Version, fields: [u32; 5]) {
    out.put_slice(&marks);
    out.put_slice(version.to_fixed().as_bytes());
    for field in fields {
        for shift in (0..8).rev() {
            out.put_u8(b"0123456789abcdef"[(field >> (4 * shift)) as usize & 0xf]);
        }
    }
    out.put_u8(b'0');
}

fn clamp(number: u128) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn hex(digits: &[u8]) -> Result<u32, Unreadable> {
    let text = std::str::from_utf8(digits).map_err(|_| Unreadable::Corrupt)?;
    u32::from_str_radix(text, 16).map_err(|_| Unreadable::Corrupt)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(payload: &'static [u8]) -> StoredValue {
        StoredValue {
            version: Version::new(3, 1 << 60),
            negative: false,
            codec: Codec::Json,
            compression: Compression::None,
            fingerprint: 0xdead_beef,
            load_cost: Duration::from_micros(7_000),
            life: Duration::from_secs(90),
            stale: Duration::from_secs(30),
            tags: None,
            payload: Bytes::from_static(payload),
        }
    }

    #[test]
    fn an_entry_survives_the_envelope() {
        let negative = StoredValue { negative: true, ..value(b"") };
        let tags = ["lamps", "", "ü:{}"].map(|name| Tag::new(name, Version::new(1, 7)));
        let tagged = StoredValue { tags: Some(tags.into()), ..value(b"{}") };
        let version = Version::new(1, 9);
        for entry in [
            Entry::Value(value(b"{}")),
            Entry::Value(value(b"")),
            Entry::Value(negative),
            Entry::Value(tagged),
            Entry::Tombstone(version),
            Entry::Lease(version),
        ] {
            assert_eq!(Entry::decode(&entry.encode()), Ok(entry.clone()));
        }
    }

    #[test]
    fn a_lease_lies_between_header_and_payload() {
        let entry = Entry::Value(value(b"{}"));
        let mut bytes = entry.encode().to_vec();
        bytes[FLAG] = b'L';
        bytes.splice(HEADER..HEADER, [b'7'; LEASE]);
        assert_eq!(Entry::decode(&bytes.into()), Ok(entry));
    }

    #[test]
    fn the_envelope_costs_what_it_says() {
        assert_eq!(Entry::Value(value(b"12345")).encode().len(), HEADER + 5);
        assert_eq!(Entry::Tombstone(Version::default()).encode().len(), HEADER);
    }

    #[test]
    fn another_format_is_told_from_damage() {
        let mut older = Entry::Value(value(b"{}")).encode().to_vec();
        older[0] = b'1';
        assert_eq!(Entry::decode(&older.into()), Err(Unreadable::Format));
        assert_eq!(Entry::decode(&Bytes::from_static(b"hello")), Err(Unreadable::Corrupt));
    }

    proptest! {
        #[test]
        fn no_damaged_byte_goes_unnoticed(at in 0usize..77, to: u8) {
            let good = Entry::Value(value(b"{\"id\":1}")).encode();
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
