//! Reads and writes that go on while something is done to the service, each answer checked.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use larder::Version;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{KEY, eventually};

/// Products that are written, by one writer each: their prices count its writes.
const WRITERS: u64 = 4;
/// Products that each writer writes in turn.
const EACH: u64 = 5;
const READERS: u64 = 6;
/// How long after its acknowledgement a write may be unseen by others, while nodes fail over or slots
/// move. Far above what it takes; far below the life of an entry.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// Load on some processes, or on what is in front of them.
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    client: reqwest::Client,
    targets: Vec<String>,
    /// Whether each target is one process: what it has answered once it may not take back.
    alone: bool,
    stop: AtomicBool,
    reads: AtomicU64,
    writes: AtomicU64,
    /// Of each product, writes that were acknowledged: which one, and when.
    acknowledged: Mutex<HashMap<u64, Vec<(i64, Instant)>>>,
    /// Of each target and product, the newest version that was answered.
    answered: Mutex<HashMap<(usize, u64), Seen>>,
    wrong: Mutex<Vec<String>>,
}

/// A version that was answered, and what `Cache-Status` said of how it was found.
#[derive(Clone, Default)]
struct Seen {
    version: Version,
    way: String,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.version, self.way)
    }
}

impl Traffic {
    /// Readers and writers on every one of `targets`, each a process.
    pub(crate) fn on(targets: &[&str]) -> Self {
        Self::start(targets, true)
    }

    /// The same on a balancer, which asks now one process, now another.
    pub(crate) fn through(balancer: &str) -> Self {
        Self::start(&[balancer], false)
    }

    fn start(targets: &[&str], alone: bool) -> Self {
        let shared = Arc::new(Shared {
            client: reqwest::Client::builder().no_proxy().build().expect("a client"),
            targets: targets.iter().map(|url| (*url).to_owned()).collect(),
            alone,
            stop: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            acknowledged: Mutex::default(),
            answered: Mutex::default(),
            wrong: Mutex::default(),
        });
        let writers = (0..WRITERS).map(|number| tokio::spawn(write(Arc::clone(&shared), number)));
        let mut clients: Vec<_> = writers.collect();
        clients.extend((0..READERS).map(|number| tokio::spawn(read(Arc::clone(&shared), number))));
        Self { shared, clients }
    }

    /// Waits until so many more were read, and a tenth of it written.
    pub(crate) async fn more(&self, reads: u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (read, written) = (count(&self.shared.reads), count(&self.shared.writes));
        eventually(Duration::from_secs(120), "requests are answered", async || {
            count(&self.shared.reads) >= read + reads
                && count(&self.shared.writes) >= written + reads / 10
        })
        .await;
    }

    /// Ends it. Nothing may have gone wrong, and on every one of `processes` each product is to show
    /// exactly the writes that were acknowledged.
    ///
    /// # Panics
    ///
    /// When a request failed, or an answer was older than it may be.
    pub(crate) async fn end(self, processes: &[&str]) -> [u64; 2] {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no client panics");
        }
        let shared = &self.shared;
        let counts = [&shared.reads, &shared.writes].map(|count| count.load(Ordering::Relaxed));
        let wrong = locked(&shared.wrong).clone();
        assert!(wrong.is_empty(), "of {counts:?} reads and writes {}: {wrong:#?}", wrong.len());
        let acknowledged = locked(&shared.acknowledged).clone();
        let all: usize = acknowledged.values().map(Vec::len).sum();
        assert_eq!(all as u64, counts[1], "every write was acknowledged once");
        for process in processes {
            for (id, writes) in &acknowledged {
                let last = writes.last().expect("a product is noted with its first write").0;
                let what = format!("{process} shows write {last} of product {id}");
                eventually(SEEN_WITHIN, &what, async || {
                    let answer = shared.get(process, *id).await;
                    answer.is_ok_and(|(price, _)| price == last)
                })
                .await;
            }
        }
        counts
    }
}

impl Shared {
    /// The price of a product, and in which version.
    async fn get(&self, target: &str, id: u64) -> Result<(i64, Seen), String> {
        let answer = self.client.get(format!("{target}/products/{id}")).send().await;
        let (seen, body) = checked(answer).await?;
        Ok((body["price"]["minor"].as_i64().ok_or_else(|| body.to_string())?, seen))
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn wrong(&self, what: String) {
        locked(&self.wrong).push(what);
    }

    /// The write that everybody must have seen by now.
    fn must_be_seen(&self, id: u64) -> i64 {
        let acknowledged = locked(&self.acknowledged);
        let writes = acknowledged.get(&id).into_iter().flatten().rev();
        let mut old = writes.filter(|(_, at)| at.elapsed() > SEEN_WITHIN);
        old.next().map_or(0, |(write, _)| *write)
    }

    fn answered(&self, target: usize, id: u64) -> Seen {
        locked(&self.answered).get(&(target, id)).cloned().unwrap_or_default()
    }
}

/// What an answer that is 200 shows, and its body.
async fn checked(
    answer: Result<reqwest::Response, reqwest::Error>,
) -> Result<(Seen, Value), String> {
    let answer = answer.map_err(|error| format!("{error:?}"))?;
    let status = answer.status();
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let version = header("etag").and_then(|tag| tag.trim_matches('"').parse().ok());
    let way = header("cache-status").unwrap_or_default().to_owned();
    let text = answer.text().await.map_err(|error| format!("{error:?}"))?;
    if status != 200 {
        return Err(format!("{status}: {text}"));
    }
    let seen = Seen { version: version.ok_or("no entity tag")?, way };
    Ok((seen, serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?))
}

/// Raises prices by one, of its own products alone, and reads each back where it wrote it.
async fn write(shared: Arc<Shared>, number: u64) {
    for turn in 0_u64.. {
        if shared.is_over() {
            return;
        }
        let id = 1 + number * EACH + turn % EACH;
        let price = i64::try_from(1 + turn / EACH).expect("a small number");
        let target = &shared.targets[turn as usize % shared.targets.len()];
        let patch = json!({ "price": { "minor": price, "currency": "EUR" } });
        let asked = shared
            .client
            .patch(format!("{target}/products/{id}"))
            .bearer_auth(KEY)
            .json(&patch)
            .send();
        let made = match asked.await {
            Ok(answer) if answer.status() == 200 => {
                let made = answer.headers().get("larder-version");
                made.and_then(|made| made.to_str().ok()).unwrap_or_default().to_owned()
            }
            Ok(answer) => {
                let status = answer.status();
                let text = answer.text().await.unwrap_or_default();
                return shared.wrong(format!("PATCH {id} at {target}: {status}: {text}"));
            }
            Err(error) => return shared.wrong(format!("PATCH {id} at {target}: {error:?}")),
        };
        shared.writes.fetch_add(1, Ordering::Relaxed);
        let writes = (price, Instant::now());
        locked(&shared.acknowledged).entry(id).or_default().push(writes);
        let own = shared.client.get(format!("{target}/products/{id}"));
        let own = checked(own.header("larder-min-version", made).send().await).await;
        match own {
            Ok((_, body)) if body["price"]["minor"] == price => {}
            Ok((_, body)) => {
                let shown = &body["price"]["minor"];
                shared.wrong(format!("write {price} of {id} is read back as {shown}"));
            }
            Err(error) => shared.wrong(format!("GET {id} at {target}: {error}")),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn read(shared: Arc<Shared>, number: u64) {
    for turn in 0_u64.. {
        if shared.is_over() {
            return;
        }
        // Most of it is what is written.
        let range = if turn % 4 == 0 { 300 } else { WRITERS * EACH };
        let id = 1 + (turn * 7 + number * 3) % range;
        let at = (turn + number) as usize % shared.targets.len();
        let (least, before) = (shared.must_be_seen(id), shared.answered(at, id));
        match shared.get(&shared.targets[at], id).await {
            Ok((price, _)) if price < least => {
                shared.wrong(format!("{id} shows write {price}, not {least} of long ago"));
            }
            Ok((_, seen)) if shared.alone && seen.version < before.version => {
                shared.wrong(format!("{id} went back from {before} to {seen}"));
            }
            Ok((_, seen)) => {
                let mut answered = locked(&shared.answered);
                let newest = answered.entry((at, id)).or_default();
                if seen.version > newest.version {
                    *newest = seen;
                }
                drop(answered);
                shared.reads.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => shared.wrong(format!("GET {id} at {}: {error}", shared.targets[at])),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
