//! Which lane a write is in, and how it is spelled there.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::redis::slot;

/// The hash tags of the lanes: their slots lie so that a cluster of three shards has two on each.
/// Never to be changed: what waits in a lane is looked for by its key alone.
pub(super) const TAGS: [&str; 6] = ["b", "c", "d", "f", "g", "a"];

/// A position is `8 * sequence + lane`, and the id by which the database knows what was applied.
const SPREAD: u64 = 8;

/// The lane of a key, the same in every process.
pub(super) fn lane_of(key: &str) -> usize {
    slot(key) % TAGS.len()
}

/// The lane of a position; `None`: no write has it.
pub(super) fn lane_at(position: u64) -> Option<usize> {
    usize::try_from(position % SPREAD).ok().filter(|lane| *lane < TAGS.len())
}

/// A process's write number `sequence`, in `lane`.
pub(super) const fn position(sequence: u64, lane: usize) -> u64 {
    sequence * SPREAD + lane as u64
}

/// Where a process begins to count. Two processes must not meet; and a position must fit into a number
/// of JSON (2^53).
pub(super) fn first_sequence() -> u64 {
    rand::random::<u64>() >> 15
}

/// The stream of `lane`.
pub(super) fn stream(environment: &str, lane: usize) -> String {
    format!("{environment}:write-behind:{{{}}}", TAGS[lane])
}

#[derive(Deserialize, Serialize)]
struct Body<'a> {
    key: &'a str,
    entry: &'a [u8],
}

/// What a lane keeps of a write: its key, and its entry as the sink spells it.
pub(super) fn body(key: &str, entry: &[u8]) -> Bytes {
    postcard::to_allocvec(&Body { key, entry }).expect("plain data is written to memory").into()
}

/// The key, and the entry as the sink spells it.
pub(super) fn parts(body: &[u8]) -> Result<(&str, &[u8]), String> {
    let body: Body<'_> = postcard::from_bytes(body).map_err(|error| error.to_string())?;
    Ok((body.key, body.entry))
}

/// A dead letter, as it is kept.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Letter {
    pub(super) body: Vec<u8>,
    pub(super) error: String,
    pub(super) attempts: u32,
    /// When it was accepted, by Redis's clock.
    pub(super) since_ms: u64,
}

impl Letter {
    pub(super) fn write(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("plain data is written to memory")
    }

    pub(super) fn read(kept: &[u8]) -> Result<Self, String> {
        postcard::from_bytes(kept).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_spread_over_the_shards() {
        let mut by_shard = [0; 3];
        for lane in 0..TAGS.len() {
            by_shard[slot(&stream("test", lane)) * 3 / 16_384] += 1;
        }
        assert_eq!(by_shard, [2, 2, 2]);
    }

    #[test]
    fn keys_are_spread_over_the_lanes() {
        let mut by_lane = [0; TAGS.len()];
        for key in 1..=6_000 {
            by_lane[lane_of(&key.to_string())] += 1;
        }
        assert!(by_lane.iter().all(|keys| (700..=1_300).contains(keys)), "{by_lane:?}");
    }

    #[test]
    fn a_position_names_its_lane_and_fits_into_json() {
        for lane in 0..TAGS.len() {
            let at = position(first_sequence() + 1_000_000_000, lane);
            assert_eq!(lane_at(at), Some(lane));
            assert!(at < 1 << 53);
        }
        assert_eq!((lane_at(6), lane_at(7)), (None, None));
    }

    #[test]
    fn what_a_lane_keeps_is_read_as_it_was() {
        let kept = body("key", b"entry");
        assert_eq!(parts(&kept), Ok(("key", &b"entry"[..])));
        parts(&kept[..3]).expect_err("it is cut off");
    }
}
