//! Entries in Redis Cluster.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Script, ScriptInvocation, Value};

use super::stream::ENTRIES_KEPT;
use super::{Acquire, Acquired, Enough, Store, Stored, TierError, Token, Verdict, Wakes};
use crate::entry::Entry;
use crate::redis::{Histories, Link, RedisOptions, RedisOptionsError, StreamReader, WAKE_CHANNEL};
use crate::version::Version;

/// The scripts' texts; each is sent by its hash.
macro_rules! script {
    ($name:ident, $file:literal) => {
        static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("../redis/", $file, ".lua"))));
    };
}
script!(ACQUIRE, "acquire");
script!(FILL, "fill");
script!(PUBLISH, "publish");
script!(INVALIDATE, "invalidate");
script!(RENEW, "renew");
script!(RELEASE, "release");
script!(APPEND, "append");

/// What no entry lives for: milliseconds that a double holds exactly.
const NEVER: i64 = 1 << 53;

/// Keys of [`RedisTier::bare_get`], and how long they are kept.
const BARE_KEYS: u32 = 256;
const BARE_SECONDS: u32 = 3_600;

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

    /// `body`, by one GET on a shared connection, with no envelope, breaker or deadline around
    /// it; kept under one of some keys on all shards. `None`: Redis does not answer.
    ///
    /// It is the yardstick of benchmarks: what a cache in Redis cannot be quicker than.
    pub async fn bare_get(&self, body: &Bytes) -> Option<Bytes> {
        let mut connection = self.link.connection().await?;
        let key = format!("larder:bare:{}:{}", body.len(), rand::random_range(0..BARE_KEYS));
        let held: Option<Vec<u8>> = Cmd::get(&key).query_async(&mut connection).await.ok()?;
        if let Some(held) = held {
            return Some(held.into());
        }
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(&body[..]).arg("EX").arg(BARE_SECONDS);
        set.query_async::<()>(&mut connection).await.ok()?;
        Some(body.clone())
    }

    pub(super) fn wakes(&self) -> &Wakes {
        self.link.wakes()
    }

    pub(super) async fn read(&self, key: &str, life: bool) -> Result<Option<Stored>, TierError> {
        let (bytes, remaining): (Option<Vec<u8>>, i64) = self
            .link
            .run(key, async |mut connection| {
                if life {
                    redis::pipe().get(key).pttl(key).query_async(&mut connection).await
                } else {
                    let bytes = Cmd::get(key).query_async(&mut connection).await?;
                    Ok((bytes, -1))
                }
            })
            .await?;
        Ok(bytes.map(|bytes| Stored { bytes: bytes.into(), remaining: life_left(remaining) }))
    }

    pub(super) async fn acquire(&self, wish: &Acquire<'_>) -> Result<Acquired, TierError> {
        let enough = match wish.enough {
            Enough::Fresh => -1,
            Enough::LongerThan(seen) => i64::try_from(millis(seen)).unwrap_or(NEVER),
            Enough::Nothing => NEVER,
        };
        let mut call = ACQUIRE.key(wish.key);
        call.arg(wish.token.as_str())
            .arg(millis(wish.lease))
            .arg(format!("{:08x}", wish.floor))
            .arg(enough)
            .arg(&Entry::Lease(Version::default()).encode()[..]);
        let answer: Vec<Value> = self.call(wish.key, call).await?;
        let span = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        Ok(match &answer[..] {
            [Value::BulkString(kind), Value::BulkString(bytes), Value::Int(left)]
                if kind == b"h" =>
            {
                let bytes = Bytes::copy_from_slice(bytes);
                Acquired::Hit(Stored { bytes, remaining: Some(span(*left)) })
            }
            [Value::BulkString(kind), Value::Int(rest)] if kind == b"w" => {
                Acquired::Wait(span(*rest))
            }
            _ => Acquired::Granted,
        })
    }

    pub(super) async fn fill(&self, store: &Store<'_>) -> Result<Verdict, TierError> {
        self.verdict(store.key, storing(&FILL, store)).await
    }

    pub(super) async fn publish(
        &self,
        store: &Store<'_>,
        tombstone: &Bytes,
        tombstone_life: Duration,
    ) -> Result<Verdict, TierError> {
        let mut call = storing(&PUBLISH, store);
        call.arg(&tombstone[..]).arg(millis(tombstone_life));
        self.verdict(store.key, call).await
    }

    pub(super) async fn invalidate(
        &self,
        key: &str,
        tombstone: &Bytes,
        version: Version,
        life: Duration,
    ) -> Result<Verdict, TierError> {
        let mut call = INVALIDATE.key(key);
        call.arg(&tombstone[..]).arg(version.to_fixed()).arg(millis(life)).arg(WAKE_CHANNEL);
        self.verdict(key, call).await
    }

    pub(super) async fn renew(
        &self,
        key: &str,
        token: &Token,
        lease: Duration,
    ) -> Result<bool, TierError> {
        let mut call = RENEW.key(key);
        call.arg(token.as_str()).arg(millis(lease));
        let renewed: u8 = self.call(key, call).await?;
        Ok(renewed == 1)
    }

    pub(super) async fn release(&self, key: &str, token: &Token) -> Result<(), TierError> {
        let mut call = RELEASE.key(key);
        call.arg(token.as_str()).arg(WAKE_CHANNEL);
        let _released: u8 = self.call(key, call).await?;
        Ok(())
    }

    pub(super) async fn prolong(&self, key: &str, life: Duration) -> Result<(), TierError> {
        self.may_write()?;
        let _prolonged: u8 = self
            .link
            .run(key, async |mut connection| {
                let mut command = redis::cmd("PEXPIRE");
                command.arg(key).arg(millis(life)).arg("GT").query_async(&mut connection).await
            })
            .await?;
        Ok(())
    }

    pub(super) async fn append(
        &self,
        key: &str,
        sender: &Bytes,
        message: &Bytes,
    ) -> Result<(), TierError> {
        let mut call = APPEND.key(key);
        call.arg(&sender[..]).arg(&message[..]).arg(ENTRIES_KEPT);
        let _id: String = self.call(key, call).await?;
        Ok(())
    }

    pub(super) fn reader(&self, key: &str) -> StreamReader {
        StreamReader::new(self.link.options().clone(), key.to_owned())
    }

    pub(super) fn histories(&self) -> Histories {
        Histories::new(self.link.options().clone())
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.link.is_read_only()
    }

    pub(super) fn is_available(&self) -> bool {
        self.link.is_available()
    }

    pub(super) fn breakers_open(&self) -> usize {
        self.link.breakers_open()
    }

    pub(super) fn round_trips(&self) -> u64 {
        self.link.round_trips()
    }

    pub(super) fn evictions(&self) -> Vec<(String, u64)> {
        self.link.evictions().sums()
    }

    async fn verdict(
        &self,
        key: &str,
        call: ScriptInvocation<'static>,
    ) -> Result<Verdict, TierError> {
        let answer: String = self.call(key, call).await?;
        Ok(match answer.as_str() {
            "s" => Verdict::Stored,
            "t" => Verdict::Guarded,
            "n" => Verdict::Newer,
            _ => Verdict::LeaseLost,
        })
    }

    fn may_write(&self) -> Result<(), TierError> {
        if self.is_read_only() { Err(TierError::ReadOnly) } else { Ok(()) }
    }

    /// Runs a script: all of them change something.
    async fn call<T: redis::FromRedisValue>(
        &self,
        key: &str,
        call: ScriptInvocation<'static>,
    ) -> Result<T, TierError> {
        self.may_write()?;
        self.link.run(key, async |mut connection| call.invoke_async(&mut connection).await).await
    }
}

fn storing(script: &'static Script, store: &Store<'_>) -> ScriptInvocation<'static> {
    let mut call = script.key(store.key);
    call.arg(&store.entry[..])
        .arg(store.version.to_fixed())
        .arg(millis(store.life))
        .arg(store.token.as_str())
        .arg(WAKE_CHANNEL);
    call
}

/// PTTL answers -1 (no expiry) and -2 (no key) where there is nothing to tell.
fn life_left(pttl: i64) -> Option<Duration> {
    u64::try_from(pttl).ok().map(Duration::from_millis)
}

/// Redis refuses a life of 0 ms.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1)
}
