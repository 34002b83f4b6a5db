//! Coherence: every committed change is seen by every process, whoever made it, within a bound.
//!
//! Two ways lead to the same end. The *fast path*: who writes tells L2 and the backplane before it
//! answers. The *feed*: one process relays what the origin committed, whoever wrote it, so that
//! what the fast path could not tell, or nobody told, is told all the same. The *backplane* is a
//! stream in Redis whose entries each name the one before, so that who follows it knows that he
//! has missed nothing; and because silence proves nothing, values in this process are answered
//! only for as long as the last proof holds.

mod announcer;
mod feed;
mod follower;
mod hub;
mod member;
mod message;
mod proof;
mod relay;
mod sabotage;
mod status;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use opentelemetry::metrics::Meter;
use thiserror::Error;
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval, sleep};

use self::announcer::Announcer;
pub use self::feed::{Batch, Change, Feed, FeedError, Place};
use self::hub::Hub;
pub(crate) use self::member::{Member, Source};
pub(crate) use self::message::Event;
use self::proof::Proof;
use self::relay::Relay;
pub use self::relay::RelayOptions;
pub use self::sabotage::Sabotage;
pub use self::status::RelayStatus;
use crate::key::KeySpace;
use crate::tier::L2;

/// How often this process notes that it runs.
const TICK: Duration = Duration::from_millis(50);
/// How long it waits until the epochs are asked for again.
const PAUSE: Duration = Duration::from_millis(100);

/// How coherence is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct CoherenceOptions {
    /// How long the tier in this process is used after the backplane was last heard. Too low: a
    /// busy machine asks L2 more often than it must; too high: a process that is cut off answers
    /// old values for so long.
    pub bound: Duration,
    /// How the feed is relayed, where there is one.
    pub relay: RelayOptions,
    /// For the verifier's own tests.
    #[doc(hidden)]
    pub sabotage: Sabotage,
}

/// An option that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{option}: {reason}")]
pub struct CoherenceOptionsError {
    /// The field of [`CoherenceOptions`].
    pub option: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Keeps the caches of this process coherent with those of others, and with the origin.
///
/// A [`Cache`](crate::Cache) takes part once it is made
/// [`coherent`](crate::Cache::coherent) with it. Dropped, it hears and tells nothing any more, and
/// the tiers in this process are not used any more.
pub struct Coherence {
    hub: Arc<Hub>,
    announcer: Announcer,
    status: Arc<RelayStatus>,
    resign: Option<Resign>,
    tasks: Vec<AbortHandle>,
}

/// Gives the right to relay to another process.
type Resign = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

impl std::fmt::Debug for Coherence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coherence").field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl Default for CoherenceOptions {
    /// A bound of 500 ms.
    fn default() -> Self {
        Self {
            bound: Duration::from_millis(500),
            relay: RelayOptions::default(),
            sabotage: Sabotage::None,
        }
    }
}

impl CoherenceOptions {
    /// Refuses what cannot work.
    ///
    /// # Errors
    ///
    /// Names the first option that cannot.
    pub fn validate(&self) -> Result<(), CoherenceOptionsError> {
        if self.bound < Duration::from_millis(200) {
            let reason = "must be at least 200 ms: the backplane is heard every 100 ms";
            return Err(CoherenceOptionsError { option: "bound", reason });
        }
        self.relay.validate()
    }
}

impl Coherence {
    /// The processes of `environment` tell one another what they write. What is written by
    /// others is not heard of.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn between_processes(
        environment: &str,
        l2: &Arc<L2>,
        options: &CoherenceOptions,
    ) -> Arc<Self> {
        let (mut coherence, _environment) = Self::begin(environment, l2, options);
        let hub = Arc::clone(&coherence.hub);
        coherence.spawn(async move {
            loop {
                hub.loss().await;
                // There is nobody to ask: what was missed is gone from this process.
                hub.proof().recovered(hub.proof().losses());
            }
        });
        Arc::new(coherence)
    }

    /// The same, and this process is one of those that relay `feed`.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn with_feed<F: Feed>(
        environment: &str,
        l2: &Arc<L2>,
        options: &CoherenceOptions,
        feed: Arc<F>,
    ) -> Arc<Self> {
        let (mut coherence, environment) = Self::begin(environment, l2, options);
        coherence.spawn(recover(Arc::clone(&coherence.hub), Arc::clone(&feed)));
        coherence.resign = Some(Box::new({
            let feed = Arc::clone(&feed);
            move || {
                let feed = Arc::clone(&feed);
                Box::pin(async move {
                    if let Err(error) = feed.resign().await {
                        tracing::debug!(%error, "the right to relay is left to run out");
                    }
                })
            }
        }));
        let relay = Relay {
            feed,
            hub: Arc::clone(&coherence.hub),
            l2: Arc::clone(l2),
            announcer: coherence.announcer.clone(),
            environment,
            options: options.relay.clone(),
            status: Arc::clone(&coherence.status),
        };
        coherence.spawn(relay.run());
        Arc::new(coherence)
    }

    fn begin(environment: &str, l2: &Arc<L2>, options: &CoherenceOptions) -> (Self, String) {
        let name = Bytes::from(format!("{:016x}", rand::random::<u64>()));
        let stream = KeySpace::new(environment, "larder").key(&"backplane");
        let proof = Proof::new(options.bound);
        let hub = Arc::new(Hub::new(name.clone(), proof, options.sabotage));
        let (announcer, announce) = Announcer::new(Arc::clone(l2), stream.clone(), name);
        let status = Arc::new(RelayStatus::default());
        let mut coherence =
            Self { hub: Arc::clone(&hub), announcer, status, resign: None, tasks: Vec::new() };
        coherence.spawn(announce);
        coherence.spawn(follower::follow(Arc::clone(&hub), l2.reader(&stream)));
        coherence.spawn(async move {
            let mut ticks = interval(TICK);
            loop {
                let _at = ticks.tick().await;
                hub.proof().ticked(Instant::now());
            }
        });
        (coherence, environment.to_owned())
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(tokio::spawn(task).abort_handle());
    }

    /// Whether the tier in this process can be used: the backplane is heard, and nothing that was
    /// told is missing.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.holds(Instant::now()) && self.knows_epochs()
    }

    /// Exports what the relay does under the `larder.feed.` names.
    pub fn register(&self, meter: &Meter) {
        self.status.register(meter);
    }

    /// What the relay of this process does.
    #[must_use]
    pub fn relay(&self) -> &RelayStatus {
        &self.status
    }

    /// [`close`](Self::close), and lets another process relay at once.
    pub async fn resign(&self) {
        self.close();
        if let Some(resign) = &self.resign {
            resign().await;
        }
    }

    /// Hears and tells nothing any more: the tiers in this process are used no longer, and
    /// another process may relay.
    pub fn close(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }

    pub(crate) fn holds(&self, now: Instant) -> bool {
        self.hub.proof().holds(now)
    }

    pub(crate) fn is_awake(&self, now: Instant) -> bool {
        self.hub.proof().is_awake(now)
    }

    pub(crate) fn knows_epochs(&self) -> bool {
        self.hub.proof().knows_epochs()
    }

    pub(crate) fn sabotage(&self) -> Sabotage {
        self.hub.sabotage()
    }

    /// Waits until the epoch of some namespace was told since this was last called, by one caller
    /// at a time. It may have been told before, too.
    pub async fn epoch_moved(&self) {
        self.hub.moved().await;
    }

    /// Tells this process and the others that everything of an epoch of `namespace` before `epoch`
    /// is old; whether the others were told. Where they were not, the feed tells it.
    pub async fn raise_epoch(&self, namespace: &str, epoch: u32) -> bool {
        self.hub.raise(namespace, epoch);
        self.tell(Event::epoch(namespace, epoch)).await.is_ok()
    }

    /// Whether changes of `namespace` are relayed from here also if they mean nothing to this
    /// process: for as long as others may hold values that nothing else makes old.
    pub fn heed(&self, namespace: &str, heeded: bool) {
        self.hub.heed(namespace, heeded);
    }

    pub(crate) fn join(&self, namespace: &str, member: Arc<dyn Member>, aloof: Option<u32>) {
        self.hub.join(namespace, member, aloof);
    }

    /// Tells other processes; else why that was not possible.
    pub(crate) async fn tell(&self, event: Event) -> Result<(), &'static str> {
        self.announcer.tell(event).await
    }
}

impl Drop for Coherence {
    fn drop(&mut self) {
        self.close();
    }
}

/// After each loss, reads the epochs anew: one may have moved unheard.
async fn recover<F: Feed>(hub: Arc<Hub>, feed: Arc<F>) {
    loop {
        hub.loss().await;
        loop {
            let losses = hub.proof().losses();
            match feed.epochs().await {
                Ok(epochs) => {
                    for (namespace, epoch) in epochs {
                        hub.raise(&namespace, epoch);
                    }
                    hub.proof().recovered(losses);
                    break;
                }
                Err(error) => {
                    tracing::debug!(%error, "the epochs cannot be read at present");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}
