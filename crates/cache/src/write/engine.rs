//! The engine of write-behind: it appends what is written, and flushes what was appended.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use opentelemetry::metrics::Meter;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::appender::{self, Waiting};
use super::flusher;
use super::journal::{Flushed, Journal, JournalError, Journaled, Write};
use super::level::Level;
use super::options::{Mode, WhenFull, WriteBehindOptions, WriteBehindOptionsError};
use super::status::{Counters, Sizes, WriteBehindStatus, attributes, get};
use crate::version::Version;

/// How long a drain waits before it asks again for what others may be flushing.
const PAUSE: Duration = Duration::from_millis(20);

/// Who is told of cached keys that a flush has changed: (namespace, key, version).
pub type Tell = Arc<dyn Fn(Vec<(String, String, Version)>) -> BoxFuture<'static, ()> + Send + Sync>;

/// Why a write was not journaled.
#[derive(Debug, Error)]
pub enum WriteError<R> {
    /// It would break a rule.
    #[error("the write is refused")]
    Refused(R),
    /// The journal holds as much as it may.
    #[error("the journal is full")]
    Full {
        /// When it makes sense to try again.
        retry_after: Duration,
    },
    /// The journal is full, and the caller is to write synchronously.
    #[error("the journal is full: to be written synchronously")]
    Synchronous,
    /// This process is stopping.
    #[error("the journal takes no writes any more: this process is stopping")]
    Closed,
    /// The journal did not answer: it may hold the write or not.
    #[error(transparent)]
    Journal(Arc<JournalError>),
    /// The append panicked: a defect. The journal may hold the write or not.
    #[error("the append ended without an answer")]
    Lost,
}

/// What a writer is answered.
pub(super) type Answer<J> = Result<Journaled, WriteError<<J as Journal>::Refusal>>;

/// Write-behind over the journal `J`. Clones share it.
///
/// A write is acknowledged once its append has answered, and applied later, with others. A caller
/// who stops waiting neither loses nor cancels anybody's write.
pub struct WriteBehind<J: Journal> {
    inner: Arc<Inner<J>>,
    queue: mpsc::Sender<Waiting<J>>,
}

pub(super) struct Inner<J> {
    pub(super) journal: Arc<J>,
    pub(super) options: WriteBehindOptions,
    pub(super) level: Level,
    pub(super) counters: Counters,
    pub(super) closing: watch::Sender<bool>,
    /// Whether the journal is asked now and then what others have left in it.
    pub(super) watch: watch::Sender<bool>,
    /// Whether the journal has once said what it holds: until then it is asked, whoever writes behind.
    pub(super) known: AtomicBool,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl<J: Journal> Clone for WriteBehind<J> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), queue: self.queue.clone() }
    }
}

impl<J: Journal> std::fmt::Debug for WriteBehind<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteBehind").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl<J: Journal> WriteBehind<J> {
    /// Takes writes from now on. Nothing is applied before [`start`](Self::start).
    ///
    /// # Errors
    ///
    /// Names the first option that cannot work.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn new(journal: J, options: WriteBehindOptions) -> Result<Self, WriteBehindOptionsError> {
        options.validate()?;
        let (queue, waiting) = mpsc::channel(options.queue);
        let inner = Arc::new(Inner {
            journal: Arc::new(journal),
            options,
            level: Level::default(),
            counters: Counters::default(),
            closing: watch::Sender::new(false),
            watch: watch::Sender::new(false),
            known: AtomicBool::new(false),
            tasks: Mutex::default(),
        });
        inner.keep(tokio::spawn(appender::run(Arc::clone(&inner), waiting)));
        Ok(Self { inner, queue })
    }

    /// Asks once what the journal holds, begins to apply it, and tells `tell` which cached keys that
    /// changes. A journal that does not answer is asked again.
    pub async fn start(&self, tell: Tell) {
        if let Err(error) = flusher::look(&self.inner).await {
            tracing::warn!(%error, "what waits in the journal is not known yet");
        }
        let flusher = flusher::run(Arc::clone(&self.inner), tell);
        self.inner.keep(tokio::spawn(flusher));
    }

    /// Whether this process looks after what others leave in the journal when they die: so it
    /// should while it writes behind. Once a second it asks the journal then. Without it, it
    /// applies what it knows of: what it has appended, and what it has found at its start.
    pub fn watch(&self, watching: bool) {
        self.inner.watch.send_if_modified(|now| std::mem::replace(now, watching) != watching);
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> &J {
        &self.inner.journal
    }

    /// Journals `write`. When this answers, it is as safe as the mode promises.
    ///
    /// # Errors
    ///
    /// When it is refused, there is no room for it, or the journal does not answer.
    pub async fn write(&self, write: Write<J::Operation>) -> Answer<J> {
        let inner = &self.inner;
        if *inner.closing.borrow() {
            return Err(WriteError::Closed);
        }
        if !inner.level.enter(inner.options.max_depth) {
            return Err(inner.full());
        }
        let (answer, answered) = oneshot::channel();
        match self.queue.try_send(Waiting { write, answer }) {
            Ok(()) => answered.await.unwrap_or(Err(WriteError::Lost)),
            Err(refused) => {
                inner.level.answered(1, 0, inner.options.flush.entries);
                Err(match refused {
                    mpsc::error::TrySendError::Full(_) => inner.full(),
                    mpsc::error::TrySendError::Closed(_) => WriteError::Closed,
                })
            }
        }
    }

    /// Applies what waits for `key`, before a write that does not wait, and tells `tell` what that
    /// changes. What cannot be applied becomes a dead letter at once.
    ///
    /// # Errors
    ///
    /// When that is not possible at present.
    pub async fn settle(&self, key: &str, tell: &Tell) -> Result<(), JournalError> {
        let flushed = self.inner.journal.settle(key).await?;
        if flushed != Flushed::default() {
            flusher::note(&self.inner, flushed, tell).await;
        }
        Ok(())
    }

    /// Takes no more writes, and applies what is in the journal, for `limit` at most; whether
    /// nothing of it is left to other processes, or to a later start.
    ///
    /// What is left is as safe as the mode promises.
    pub async fn drain(&self, limit: Duration, tell: &Tell) -> bool {
        let inner = &self.inner;
        inner.closing.send_replace(true);
        let tasks =
            std::mem::take(&mut *inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let drained = timeout(limit, async {
            for task in tasks {
                // It ends by itself; if it has panicked, it has ended, too.
                let _ = task.await;
            }
            loop {
                match flusher::flush(inner, tell).await {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => tracing::debug!(%error, "a flush before the end failed"),
                }
                // What is not applied by now others are applying, or it waits for another attempt.
                match inner.journal.state().await {
                    Ok(state) if state.depth == 0 => break,
                    Ok(_) => {}
                    Err(error) => tracing::debug!(%error, "the journal does not answer"),
                }
                sleep(PAUSE).await;
            }
        });
        drained.await.is_ok()
    }

    /// What it has done so far, and how much the journal holds as far as is known here.
    #[must_use]
    pub fn status(&self) -> WriteBehindStatus {
        self.inner.status()
    }

    /// Exports its metrics under the `larder.write_behind.` names. Call it once.
    pub fn register(&self, meter: &Meter) {
        let gauge = |name: &'static str, unit, description, read: fn(&WriteBehindStatus) -> f64| {
            let inner = Arc::downgrade(&self.inner);
            meter
                .f64_observable_gauge(name)
                .with_unit(unit)
                .with_description(description)
                .with_callback(move |observer| {
                    if let Some(inner) = inner.upgrade() {
                        observer.observe(read(&inner.status()), &attributes(J::MODE));
                    }
                })
                .build();
        };
        gauge(
            "larder.write_behind.depth",
            "{write}",
            "Writes that were acknowledged and wait to be applied.",
            |status| status.depth as f64,
        );
        gauge(
            "larder.write_behind.oldest_age",
            "s",
            "How long the oldest of them has waited.",
            |status| status.oldest.as_secs_f64(),
        );
        gauge(
            "larder.write_behind.dead_letters",
            "{write}",
            "Writes that could not be applied and wait for somebody to decide.",
            |status| status.dead_letters as f64,
        );
        let counter = |name: &'static str, description, read: fn(&WriteBehindStatus) -> u64| {
            let inner = Arc::downgrade(&self.inner);
            meter
                .u64_observable_counter(name)
                .with_unit("{write}")
                .with_description(description)
                .with_callback(move |observer| {
                    if let Some(inner) = inner.upgrade() {
                        observer.observe(read(&inner.status()), &attributes(J::MODE));
                    }
                })
                .build();
        };
        counter("larder.write_behind.appended", "Writes acknowledged by the journal.", |status| {
            status.appended
        });
        counter("larder.write_behind.flushed", "Writes applied by this process.", |status| {
            status.flushed
        });
        counter(
            "larder.write_behind.coalesced",
            "Of the writes applied, those that needed no change of their own.",
            |status| status.coalesced,
        );
        counter(
            "larder.write_behind.full",
            "Writes not taken because the journal was full.",
            |status| status.full,
        );
        let size = |name: &'static str, description| {
            meter.u64_histogram(name).with_unit("{write}").with_description(description).build()
        };
        let _again = self.inner.counters.sizes.set(Sizes {
            append: size("larder.write_behind.append_size", "Writes journaled by one append."),
            flush: size("larder.write_behind.flush_size", "Writes applied by one flush."),
        });
    }
}

impl<J: Journal> Inner<J> {
    fn full<R>(&self) -> WriteError<R> {
        self.counters.full.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match self.options.when_full {
            // A second at least: clients round it to whole seconds.
            WhenFull::Refuse => WriteError::Full {
                retry_after: self.options.flush_after.max(Duration::from_secs(1)),
            },
            WhenFull::Synchronous => WriteError::Synchronous,
        }
    }

    fn status(&self) -> WriteBehindStatus {
        let (level, counters) = (self.level.show(), &self.counters);
        WriteBehindStatus {
            mode: self.mode(),
            depth: level.depth,
            oldest: level.oldest,
            dead_letters: level.dead,
            appended: get(&counters.appended),
            appends: get(&counters.appends),
            full: get(&counters.full),
            flushed: get(&counters.flushed),
            flushes: get(&counters.flushes),
            coalesced: get(&counters.coalesced),
            failed: get(&counters.failed),
        }
    }

    const fn mode(&self) -> Mode {
        J::MODE
    }

    fn keep(&self, task: JoinHandle<()>) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }
}
