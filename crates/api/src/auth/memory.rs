//! Keys that were found right lately, so that not every request costs a verification.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::scope::Scope;
use super::token::Fingerprint;

/// Keys that are remembered at most.
const CAPACITY: usize = 1_024;

/// Keys that were found right, by their fingerprints.
pub(super) struct Memory {
    /// How long it is taken for granted that a key has not been revoked.
    lasting: Duration,
    known: HashMap<Fingerprint, Known>,
}

/// A key whose secret was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) scope: Scope,
    /// When it was last looked up.
    pub(super) since: Instant,
}

impl Memory {
    pub(super) fn new(lasting: Duration) -> Self {
        Self { lasting, known: HashMap::new() }
    }

    /// The key, and whether it must be looked up again.
    pub(super) fn recall(&self, key: &Fingerprint, now: Instant) -> Option<(Known, bool)> {
        let known = self.known.get(key)?;
        Some((known.clone(), now.duration_since(known.since) >= self.lasting))
    }

    pub(super) fn remember(&mut self, key: Fingerprint, known: Known) {
        if self.known.len() >= CAPACITY && !self.known.contains_key(&key) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.since);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(key, known);
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.known.retain(|_, known| known.id != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Fingerprint {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&(number as u64).to_le_bytes());
        key
    }

    #[test]
    fn a_key_is_looked_up_again_after_a_while_and_forgotten_when_it_is_revoked() {
        let mut memory = Memory::new(Duration::from_secs(5));
        let since = Instant::now();
        let known = Known { id: "a".to_owned(), scope: Scope::Write, since };
        memory.remember(key(1), known.clone());
        let after = |seconds| since + Duration::from_secs(seconds);
        assert_eq!(memory.recall(&key(1), after(4)), Some((known.clone(), false)));
        assert_eq!(memory.recall(&key(1), after(5)), Some((known, true)));
        assert_eq!(memory.recall(&key(2), since), None);
        memory.forget("a");
        assert_eq!(memory.recall(&key(1), since), None);
    }

    #[test]
    fn it_stays_small_and_lets_the_oldest_go() {
        let mut memory = Memory::new(Duration::from_secs(5));
        let began = Instant::now();
        for number in 0..CAPACITY + 10 {
            let since = began + Duration::from_millis(number as u64);
            memory.remember(key(number), Known { id: String::new(), scope: Scope::Read, since });
        }
        assert_eq!(memory.known.len(), CAPACITY);
        assert!(memory.recall(&key(9), began).is_none());
        assert!(memory.recall(&key(10), began).is_some());
    }
}
