//! Which shard a key is on, and whether that shard is being asked.

use std::sync::Arc;

use redis::{FromRedisValue, ParsingError, Value};

use super::breaker::Breaker;

/// Slots of a Redis Cluster.
const SLOTS: usize = 16_384;

/// The cluster's shards, each with a breaker of its own: a dead one costs its own keys only.
#[derive(Debug)]
pub(crate) struct Shards {
    /// The shard of each slot.
    slots: Box<[u16; SLOTS]>,
    shards: Vec<Shard>,
}

#[derive(Debug)]
struct Shard {
    /// The id of its primary.
    primary: String,
    breaker: Arc<Breaker>,
}

/// One row of `CLUSTER SLOTS`.
#[derive(Debug)]
pub(crate) struct SlotRange {
    first: u16,
    last: u16,
    primary: String,
    host: String,
    port: u16,
}

impl SlotRange {
    pub(crate) fn holds(&self, slot: u16) -> bool {
        (self.first..=self.last).contains(&slot)
    }

    /// The id of its primary.
    pub(crate) fn primary(&self) -> &str {
        &self.primary
    }

    /// Where its primary is reached; an empty host is that of the node that was asked.
    pub(crate) fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

impl FromRedisValue for SlotRange {
    fn from_redis_value(row: Value) -> Result<Self, ParsingError> {
        let wrong = || ParsingError::from("not a row of CLUSTER SLOTS");
        let Value::Array(row) = row else { return Err(wrong()) };
        let mut row = row.into_iter();
        let (Some(first), Some(last), Some(Value::Array(primary))) =
            (row.next(), row.next(), row.next())
        else {
            return Err(wrong());
        };
        let mut primary = primary.into_iter();
        let (Some(host), Some(port), Some(id)) = (primary.next(), primary.next(), primary.next())
        else {
            return Err(wrong());
        };
        Ok(Self {
            first: u16::from_redis_value(first)?,
            last: u16::from_redis_value(last)?,
            primary: String::from_redis_value(id)?,
            host: Option::from_redis_value(host)?.unwrap_or_default(),
            port: u16::from_redis_value(port)?,
        })
    }
}

impl Shards {
    /// One shard that has never answered: before the cluster was asked.
    pub(crate) fn unknown() -> Self {
        let breaker = Arc::new(Breaker::open());
        let shards = vec![Shard { primary: String::new(), breaker }];
        Self { slots: Box::new([0; SLOTS]), shards }
    }

    /// The shards of `ranges`. A shard whose primary was known keeps its breaker; another
    /// primary begins with a closed one.
    pub(crate) fn of(ranges: &[SlotRange], before: &Self) -> Self {
        let mut slots = Box::new([0; SLOTS]);
        let mut shards: Vec<Shard> = Vec::new();
        for range in ranges {
            let known = shards.iter().position(|shard| shard.primary == range.primary);
            let index = known.unwrap_or_else(|| {
                let same = before.shards.iter().find(|shard| shard.primary == range.primary);
                let breaker = same.map_or_else(
                    || Arc::new(Breaker::closed()),
                    |shard| Arc::clone(&shard.breaker),
                );
                shards.push(Shard { primary: range.primary.clone(), breaker });
                shards.len() - 1
            });
            for slot in range.first..=range.last.min(SLOTS as u16 - 1) {
                slots[usize::from(slot)] = index as u16;
            }
        }
        if shards.is_empty() {
            return Self::unknown();
        }
        Self { slots, shards }
    }

    /// The breaker of the shard that `key` is on.
    pub(crate) fn breaker(&self, key: &str) -> &Arc<Breaker> {
        &self.shards[usize::from(self.slots[slot(key)])].breaker
    }

    /// For each shard that is not being asked, a key on it and its breaker.
    pub(crate) fn open(&self) -> Vec<(String, Arc<Breaker>)> {
        let open = self.shards.iter().enumerate().filter(|(_, shard)| shard.breaker.is_open());
        open.filter_map(|(index, shard)| {
            let keys = (0..SLOTS).map(|n| format!("larder:probe:{{{n}}}"));
            let mut here = keys.filter(|key| usize::from(self.slots[slot(key)]) == index);
            here.next().map(|key| (key, Arc::clone(&shard.breaker)))
        })
        .collect()
    }

    /// Whether any shard is not being asked.
    pub(crate) fn any_open(&self) -> bool {
        self.shards.iter().any(|shard| shard.breaker.is_open())
    }

    /// How many shards are not being asked.
    pub(crate) fn count_open(&self) -> usize {
        self.shards.iter().filter(|shard| shard.breaker.is_open()).count()
    }

    /// Whether any shard is being asked.
    pub(crate) fn any_closed(&self) -> bool {
        self.shards.iter().any(|shard| !shard.breaker.is_open())
    }
}

/// The slot of `key`: of what is between its first braces, if that is something.
///
/// Source: Redis Cluster Specification, "Hash tags"; CRC-16/XMODEM.
pub(crate) fn slot(key: &str) -> usize {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    let crc = hashed.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    usize::from(crc) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(primaries: [&str; 2]) -> [SlotRange; 2] {
        let [low, high] = primaries.map(str::to_owned);
        [
            SlotRange { first: 0, last: 8_191, primary: low, host: String::new(), port: 1 },
            SlotRange { first: 8_192, last: 16_383, primary: high, host: String::new(), port: 2 },
        ]
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        // The specification's check value of the CRC, and `CLUSTER KEYSLOT` of a 7.0 server.
        assert_eq!(slot("123456789"), 0x31C3);
        assert_eq!(slot("{user1000}.following"), slot("user1000"));
        assert_eq!(slot("foo{}{bar}"), slot("foo{}{bar}"));
        assert_eq!(slot("{a}"), 15_495);
        assert_eq!(slot("larder:probe:{b}"), 3_300);
    }

    #[test]
    fn a_dead_shard_costs_its_own_keys_until_another_primary_has_them() {
        let unknown = Shards::unknown();
        assert!(!unknown.any_closed());
        let shards = Shards::of(&ranges(["one", "two"]), &unknown);
        // Slots 15495 and 3300.
        let (high, low) = ("{a}", "{b}");
        while !shards.breaker(high).failed() {}
        assert!(shards.breaker(high).is_open() && !shards.breaker(low).is_open());
        assert_eq!(shards.count_open(), 1);
        let open = shards.open();
        assert_eq!(open.len(), 1);
        assert!(slot(&open[0].0) >= 8_192);
        let same = Shards::of(&ranges(["one", "two"]), &shards);
        assert!(same.breaker(high).is_open());
        let promoted = Shards::of(&ranges(["one", "three"]), &same);
        assert!(!promoted.breaker(high).is_open());
        assert!(!Shards::of(&[], &promoted).any_closed());
    }
}
