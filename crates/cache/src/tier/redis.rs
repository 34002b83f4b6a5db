//! Entries in Redis Cluster.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, Script, ScriptInvocation};

use super::{Held, TierError, Verdict};
use crate::redis::{Link, RedisOptions, RedisOptionsError};
use crate::version::Version;

static FILL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../redis/fill.lua")));
static INVALIDATE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../redis/invalidate.lua")));

/// Entries in Redis Cluster: a hit is one plain read, changes are idempotent scripts on one
/// key.
#[derive(Debug)]
pub struct RedisTier {
    link: Link,
}

impl RedisTier {
    /// Starts to connect, in the background, on the current Tokio runtime.
    ///
    /// Until the cluster answers, and whenever it stops to, lookups are misses.
    ///
    /// # Errors
    ///
    /// If an option is unusable; never because Redis does not answer.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn connect(options: RedisOptions) -> Result<Self, RedisOptionsError> {
        Ok(Self { link: Link::new(options)? })
    }

    pub(super) async fn read(&self, key: &str, life: bool) -> Result<Option<Held>, TierError> {
        let (bytes, remaining): (Option<Vec<u8>>, i64) = self
            .link
            .run(async |mut connection| {
                if life {
                    redis::pipe().get(key).pttl(key).query_async(&mut connection).await
                } else {
                    let bytes = Cmd::get(key).query_async(&mut connection).await?;
                    Ok((bytes, -1))
                }
            })
            .await?;
        // PTTL answers -1 (no expiry) and -2 (no key) where there is nothing to tell.
        let remaining = u64::try_from(remaining).ok().map(Duration::from_millis);
        Ok(bytes.map(|bytes| Held { bytes: bytes.into(), remaining }))
    }

    pub(super) async fn fill(
        &self,
        key: &str,
        entry: &[u8],
        version: Version,
        ttl: Duration,
    ) -> Result<Verdict, TierError> {
        self.store(&FILL, key, entry, version, ttl).await
    }

    pub(super) async fn invalidate(
        &self,
        key: &str,
        tombstone: &[u8],
        version: Version,
        ttl: Duration,
    ) -> Result<Verdict, TierError> {
        self.store(&INVALIDATE, key, tombstone, version, ttl).await
    }

    pub(super) fn is_available(&self) -> bool {
        self.link.is_available()
    }

    pub(super) fn round_trips(&self) -> u64 {
        self.link.round_trips()
    }

    async fn store(
        &self,
        script: &'static Script,
        key: &str,
        entry: &[u8],
        version: Version,
        ttl: Duration,
    ) -> Result<Verdict, TierError> {
        let mut call: ScriptInvocation<'static> = script.key(key);
        call.arg(entry).arg(version.to_fixed()).arg(millis(ttl));
        let stored: u8 =
            self.link.run(async |mut connection| call.invoke_async(&mut connection).await).await?;
        Ok(if stored == 1 { Verdict::Stored } else { Verdict::Newer })
    }
}

/// Redis refuses a life of 0 ms.
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}
