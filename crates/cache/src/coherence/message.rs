//! What processes tell one another.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::version::Version;

/// Moves when a release writes messages that an earlier one would misread.
const FORMAT: u8 = b'1';

/// Something that makes cached values old. It never carries a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// A key has a new version.
    Key { namespace: String, key: String, epoch: u32, counter: u64 },
    /// A tag has a new version.
    Tag { namespace: String, name: String, epoch: u32, counter: u64 },
    /// Everything of an older epoch is old.
    Epoch { namespace: String, epoch: u32 },
}

impl Event {
    pub(crate) fn key(namespace: &str, key: &str, version: Version) -> Self {
        let Version { epoch, counter } = version;
        Self::Key { namespace: namespace.to_owned(), key: key.to_owned(), epoch, counter }
    }

    pub(crate) fn tag(namespace: &str, name: &str, version: Version) -> Self {
        let Version { epoch, counter } = version;
        Self::Tag { namespace: namespace.to_owned(), name: name.to_owned(), epoch, counter }
    }

    pub(crate) fn epoch(namespace: &str, epoch: u32) -> Self {
        Self::Epoch { namespace: namespace.to_owned(), epoch }
    }
}

/// One message that tells all of `events`.
pub(crate) fn encode(events: &[Event]) -> Bytes {
    let message = postcard::to_extend(events, vec![FORMAT]);
    message.expect("plain fields are encoded into memory").into()
}

/// What a message tells; `None`: this release cannot read it, so anything may have changed.
pub(crate) fn decode(message: &[u8]) -> Option<Vec<Event>> {
    postcard::from_bytes(message.strip_prefix(&[FORMAT])?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_it_was_told_and_another_formats_is_not_guessed_at() {
        let events = [
            Event::key("page", "7\n{:}", Version::new(1, u64::MAX)),
            Event::tag("page", "brand:7", Version::new(2, 3)),
            Event::epoch("page", 9),
        ];
        let message = encode(&events);
        assert_eq!(decode(&message).as_deref(), Some(&events[..]));
        for unreadable in [&b""[..], b"1", b"2", &message[..message.len() - 1]] {
            assert_eq!(decode(unreadable), None);
        }
        assert_eq!(decode(&encode(&[])), Some(vec![]));
    }
}
