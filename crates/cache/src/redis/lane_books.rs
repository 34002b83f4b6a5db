//! What is kept beside a lane's stream: who flushes it, attempts, and dead letters.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use redis::{Script, Value, cmd, pipe};

use super::lane::{Lane, LaneEntry, entry, position, read};
use super::nodes::{client_error, in_time};
use crate::tier::{Position, TierError};

/// How often, and until when, in milliseconds of Redis's clock, a write waits for its next attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tries {
    pub(crate) attempts: u32,
    pub(crate) not_before: u64,
}

/// A lane at one moment.
#[derive(Debug)]
pub(crate) struct Look {
    /// The oldest entries after a place.
    pub(crate) entries: Vec<(Position, LaneEntry)>,
    /// The place of the oldest entry that is there.
    pub(crate) oldest: Option<Position>,
    /// How many entries are there.
    pub(crate) depth: usize,
    /// Dead letters.
    pub(crate) dead: u64,
    /// Of writes that could not be applied so far, by id.
    pub(crate) tries: HashMap<u64, Tries>,
    /// Redis's clock, in milliseconds.
    pub(crate) now: u64,
}

type Rows = Vec<(String, Vec<Bytes>)>;

impl Lane {
    pub(super) fn tries(&self) -> String {
        format!("{}:tries", self.key)
    }

    fn dead(&self) -> String {
        format!("{}:dead", self.key)
    }

    fn lease(&self) -> String {
        format!("{}:lease", self.key)
    }

    /// The oldest entries after `after`, at most `most`, and what else is there at that moment.
    pub(crate) async fn look(&mut self, after: Position, most: usize) -> Result<Look, TierError> {
        let mut link = self.link().await?;
        let mut asked = pipe();
        asked.atomic();
        asked.cmd("XRANGE").arg(&self.key).arg(format!("({after}")).arg("+");
        asked.arg("COUNT").arg(most);
        asked.cmd("XRANGE").arg(&self.key).arg("-").arg("+").arg("COUNT").arg(1);
        asked.cmd("XLEN").arg(&self.key);
        asked.cmd("HLEN").arg(self.dead());
        asked.cmd("HGETALL").arg(self.tries());
        asked.cmd("TIME");
        type Answer = (Rows, Rows, usize, u64, HashMap<u64, String>, (u64, u64));
        let answer = asked.query_async::<Answer>(&mut link.connection);
        let (rows, first, depth, dead, tries, time) = in_time(self.limit(), answer).await?;
        self.link = Some(link);
        Ok(Look {
            entries: rows.iter().map(entry).collect::<Result<_, _>>()?,
            oldest: first.first().map(|(id, _)| position(id)).transpose()?,
            depth,
            dead,
            tries: tries.into_iter().map(|(id, text)| (id, Tries::read(&text))).collect(),
            now: time.0 * 1_000 + time.1 / 1_000,
        })
    }

    /// Waits until something comes after `after`, not longer than `patience`.
    pub(crate) async fn wait(
        &mut self,
        after: Position,
        patience: Duration,
    ) -> Result<(), TierError> {
        let mut link = self.link().await?;
        let mut wait = cmd("XREAD");
        wait.arg("BLOCK").arg(patience.as_millis().max(1) as u64).arg("COUNT").arg(1);
        wait.arg("STREAMS").arg(&self.key).arg(after.to_string());
        let limit = patience + self.limit();
        in_time(limit, wait.query_async::<Value>(&mut link.connection)).await?;
        self.link = Some(link);
        Ok(())
    }

    /// Whether nobody else flushes the lane: from now on, for `life` at most, only who has `token` does.
    pub(crate) async fn take(&mut self, token: u64, life: Duration) -> Result<bool, TierError> {
        let mut link = self.link().await?;
        let mut set = cmd("SET");
        set.arg(self.lease()).arg(token).arg("NX").arg("PX").arg(life.as_millis() as u64);
        let set = set.query_async::<Value>(&mut link.connection);
        let is_mine = in_time(self.limit(), set).await? != Value::Nil;
        self.link = Some(link);
        Ok(is_mine)
    }

    /// Lets others flush it.
    pub(crate) async fn let_go(&mut self, token: u64) -> Result<(), TierError> {
        let script = Script::new(include_str!("yield.lua"));
        let mut call = script.key(self.lease());
        call.arg(token);
        let mut link = self.link().await?;
        in_time(self.limit(), call.invoke_async::<u64>(&mut link.connection)).await?;
        self.link = Some(link);
        Ok(())
    }

    /// Notes an attempt that was in vain.
    pub(crate) async fn tried(&mut self, id: u64, tries: Tries) -> Result<(), TierError> {
        let mut set = cmd("HSET");
        set.arg(self.tries()).arg(id).arg(format!("{} {}", tries.attempts, tries.not_before));
        let mut link = self.link().await?;
        in_time(self.limit(), set.query_async::<u64>(&mut link.connection)).await?;
        self.link = Some(link);
        Ok(())
    }

    /// Makes an entry a dead letter; whether it was still there.
    pub(crate) async fn bury(
        &mut self,
        at: Position,
        id: u64,
        letter: &[u8],
    ) -> Result<bool, TierError> {
        let script = Script::new(include_str!("bury.lua"));
        let mut call = script.key(&self.key);
        call.key(self.tries()).key(self.dead()).arg(at.to_string()).arg(id).arg(letter);
        let mut link = self.link().await?;
        let gone: u64 = in_time(self.limit(), call.invoke_async(&mut link.connection)).await?;
        self.link = Some(link);
        Ok(gone > 0)
    }

    /// All dead letters, by id.
    pub(crate) async fn buried(&mut self) -> Result<HashMap<u64, Bytes>, TierError> {
        let mut link = self.link().await?;
        let mut all = cmd("HGETALL");
        let all = all.arg(self.dead()).query_async(&mut link.connection);
        let all = in_time(self.limit(), all).await?;
        self.link = Some(link);
        Ok(all)
    }

    /// The dead letter `id`.
    pub(crate) async fn dead_letter(&mut self, id: u64) -> Result<Option<Bytes>, TierError> {
        let mut link = self.link().await?;
        let mut get = cmd("HGET");
        let get = get.arg(self.dead()).arg(id).query_async(&mut link.connection);
        let found = in_time(self.limit(), get).await?;
        self.link = Some(link);
        Ok(found)
    }

    /// Throws a dead letter away; whether it was there.
    pub(crate) async fn discard(&mut self, id: u64) -> Result<bool, TierError> {
        let mut link = self.link().await?;
        let mut gone = cmd("HDEL");
        let gone = gone.arg(self.dead()).arg(id).query_async::<u64>(&mut link.connection);
        let gone = in_time(self.limit(), gone).await?;
        self.link = Some(link);
        Ok(gone > 0)
    }

    /// Puts a dead letter back at the end, as the write `anew`, and waits until every replica has it as
    /// [`append`](Self::append) does; `None`: it was not there.
    pub(crate) async fn exhume(
        &mut self,
        dead: u64,
        anew: &LaneEntry,
    ) -> Result<Option<Position>, TierError> {
        let script = Script::new(include_str!("exhume.lua"));
        let mut call = script.key(&self.key);
        call.key(self.dead()).arg(dead).arg(anew.id).arg(&anew.body[..]);
        let mut link = self.link().await?;
        if !self.has_replicas(&link) {
            return Err(client_error("the shard has too few replicas").into());
        }
        let at: Value = in_time(self.limit(), call.invoke_async(&mut link.connection)).await?;
        if at == Value::Nil {
            self.link = Some(link);
            return Ok(None);
        }
        let at = position(&read::<String>(at)?)?;
        self.replicated(&mut link).await?;
        self.link = Some(link);
        Ok(Some(at))
    }
}

impl Tries {
    fn read(text: &str) -> Self {
        let (attempts, not_before) = text.split_once(' ').unwrap_or((text, ""));
        let not_before = not_before.parse().unwrap_or_default();
        Self { attempts: attempts.parse().unwrap_or_default(), not_before }
    }
}
