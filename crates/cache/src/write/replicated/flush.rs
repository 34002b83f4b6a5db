//! Applying what waits in the lanes, and taking it off.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::books::{Books, Claim};
use super::lanes::{Letter, TAGS};
use super::shared::{Shared, failed};
use crate::redis::Tries;
use crate::tier::{Position, TierError};
use crate::write::journal::{FlushOptions, Flushed, JournalError};
use crate::write::sink::{Deferred, Settled, Sink};

/// For how long a process has a lane for itself.
const LEASE: Duration = Duration::from_secs(5);
/// How often the database is asked which of all that waits in a lane is applied: much more often than
/// it forgets that.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// Ids asked for in one statement, at most.
const IDS: usize = 5_000;
/// How long a settlement waits before it looks again whether a key is free.
const PAUSE: Duration = Duration::from_millis(2);
/// How long it does so.
const PATIENCE: Duration = Duration::from_secs(2);

impl<S: Sink> Shared<S> {
    /// One transaction for all lanes that nobody else flushes.
    pub(super) async fn flush(&self, options: &FlushOptions) -> Result<Flushed, JournalError> {
        let token = rand::random::<u64>();
        let first = self.first.fetch_add(1, Ordering::Relaxed);
        let (mut claims, mut held, mut last) = (Vec::new(), Vec::new(), None);
        let mut answered = 0;
        let until = Instant::now() + LEASE;
        for turn in 0..TAGS.len() {
            let left = options.entries - claims.len();
            if left == 0 {
                break;
            }
            let lane = first.wrapping_add(turn) % TAGS.len();
            match self.claim(lane, token, left).await {
                Ok(Some(more)) => {
                    held.push(lane);
                    claims.extend(more);
                    answered += 1;
                }
                Ok(None) => answered += 1,
                Err(error) => last = Some(error),
            }
        }
        let flushed = match last {
            Some(error) if answered == 0 => Err(error),
            // Too slow: somebody else may have the first lanes by now.
            _ if Instant::now() >= until || claims.is_empty() => Ok(Flushed::default()),
            _ => self.apply(claims, options).await,
        };
        for lane in held {
            self.let_go(lane, token).await;
        }
        flushed
    }

    async fn let_go(&self, lane: usize, token: u64) {
        if let Err(error) = self.lanes[lane].lock().await.lane.let_go(token).await {
            tracing::debug!(%error, lane, "the lane is free when its lease has ended");
        }
    }

    /// The oldest entries of a lane; `None`: there is nothing, or somebody else flushes it.
    async fn claim(
        &self,
        lane: usize,
        token: u64,
        most: usize,
    ) -> Result<Option<Vec<Claim<S::Entry>>>, JournalError> {
        self.sync(lane).await.map_err(failed)?;
        {
            let mut books = self.lanes[lane].lock().await;
            if books.depth() == 0 || !books.lane.take(token, LEASE).await.map_err(failed)? {
                return Ok(None);
            }
            // What a former holder took off before it let go must not be applied from memory.
            books.sync::<S>(&self.overlay).await.map_err(failed)?;
        }
        if let Err(error) = self.check(lane).await {
            self.let_go(lane, token).await;
            return Err(error);
        }
        Ok(Some(self.lanes[lane].lock().await.claim(lane, most)))
    }

    /// Takes off what is applied already: a process died before it did so. The database forgets after
    /// a while what it has applied, and must be asked before.
    async fn check(&self, lane: usize) -> Result<(), JournalError> {
        let all: Vec<(Position, u64, String)> = {
            let books = self.lanes[lane].lock().await;
            if books.checked.is_some_and(|at| at.elapsed() < CHECK_EVERY) {
                return Ok(());
            }
            books.all().map(|(at, item)| (at, item.id, item.key.clone())).collect()
        };
        for some in all.chunks(IDS) {
            let ids: Vec<u64> = some.iter().map(|(_, id, _)| *id).collect();
            let made = self.sink.made(&ids).await?;
            let mut gone = Vec::new();
            for (at, id, key) in some {
                if let Some(made) = made.get(id) {
                    self.overlay.applied(key, *id, Some(made));
                    gone.push((*at, *id));
                }
            }
            if !gone.is_empty() {
                self.lanes[lane].lock().await.take_off(&gone).await.map_err(failed)?;
            }
        }
        self.lanes[lane].lock().await.checked = Some(Instant::now());
        Ok(())
    }

    /// Applies all that waits for `key`, whoever has accepted it.
    pub(super) async fn settle(&self, lane: usize, key: &str) -> Result<Flushed, JournalError> {
        // Nobody waits for a second attempt: what cannot be applied becomes a dead letter.
        let once = FlushOptions { entries: usize::MAX, attempts: 1, backoff: Duration::ZERO };
        let until = Instant::now() + PATIENCE;
        let mut total = Flushed::default();
        loop {
            self.sync(lane).await.map_err(failed)?;
            let claims = self.lanes[lane].lock().await.claim_key(lane, key);
            if claims.is_empty() {
                return Ok(total);
            }
            total.add(self.apply(claims, &once).await?);
            if Instant::now() >= until {
                return Err(JournalError("somebody else works on what is pending".into()));
            }
            sleep(PAUSE).await;
        }
    }

    /// Applies entries, those of one key in their order, and then takes them off.
    async fn apply(
        &self,
        claims: Vec<Claim<S::Entry>>,
        options: &FlushOptions,
    ) -> Result<Flushed, JournalError> {
        let (mut writes, mut refused) = (Vec::new(), Vec::new());
        for Claim { item, .. } in &claims {
            match &item.entry {
                Ok(entry) => writes.push(Deferred {
                    id: item.id,
                    key: item.key.clone(),
                    entry: entry.clone(),
                }),
                // It will be no more readable the next time.
                Err(error) => refused.push((item.id, error.clone(), 1)),
            }
        }
        let settled =
            if writes.is_empty() { Settled::default() } else { self.sink.settle(&writes).await? };
        let by_id: HashMap<u64, &Claim<S::Entry>> =
            claims.iter().map(|claim| (claim.item.id, claim)).collect();
        let mut flushed = Flushed { applied: settled.changes, ..Flushed::default() };
        let mut gone: Vec<Vec<(Position, u64)>> = TAGS.iter().map(|_| Vec::new()).collect();
        let made = Arc::new(settled.made);
        for id in &settled.applied {
            let Some(claim) = by_id.get(id) else { continue };
            self.overlay.applied(&claim.item.key, *id, Some(&made));
            gone[claim.lane].push((claim.at, *id));
        }
        for id in &settled.repeated {
            let Some(claim) = by_id.get(id) else { continue };
            self.overlay.applied(&claim.item.key, *id, None);
            gone[claim.lane].push((claim.at, *id));
        }
        for (lane, gone) in gone.iter().enumerate().filter(|(_, gone)| !gone.is_empty()) {
            match self.lanes[lane].lock().await.take_off(gone).await {
                Ok(taken) => flushed.entries += taken as u64,
                // It will be found applied the next time.
                Err(error) => tracing::debug!(%error, lane, "what was applied is still there"),
            }
        }
        refused.extend(settled.refused.into_iter().map(|(id, why)| (id, why, options.attempts)));
        for (id, why, attempts) in refused {
            let Some(claim) = by_id.get(&id) else { continue };
            let mut books = self.lanes[claim.lane].lock().await;
            match note(&mut books, claim, &why, attempts, options.backoff).await {
                Ok(Some(true)) => {
                    self.overlay.remove(&claim.item.key, id);
                    flushed.dead += 1;
                }
                Ok(Some(false)) => flushed.failed += 1,
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "a failed attempt was not noted"),
            }
        }
        let named =
            made.iter().map(|((space, key), version)| (space.clone(), key.clone(), *version));
        flushed.changes = named.collect();
        Ok(flushed)
    }
}

/// Notes an attempt that was in vain; whether the entry is a dead letter now, or `None`: it is not
/// there any more.
async fn note<E: Clone>(
    books: &mut Books<E>,
    claim: &Claim<E>,
    why: &str,
    most: u32,
    backoff: Duration,
) -> Result<Option<bool>, TierError> {
    let id = claim.item.id;
    let attempts = books.tries(id).attempts + 1;
    if attempts < most {
        let doubled = backoff.saturating_mul(2_u32.saturating_pow(attempts - 1));
        let not_before = books.now() + u64::try_from(doubled.as_millis()).unwrap_or(u64::MAX);
        books.lane.tried(id, Tries { attempts, not_before }).await?;
        return Ok(Some(false));
    }
    let letter = Letter {
        body: claim.item.body.to_vec(),
        error: why.to_owned(),
        attempts,
        since_ms: claim.at.millis,
    };
    let is_dead = books.lane.bury(claim.at, id, &letter.write()).await?;
    books.remove(claim.at, id);
    Ok(is_dead.then_some(true))
}
