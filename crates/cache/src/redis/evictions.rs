//! How many keys each primary has evicted.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use tokio::time::sleep;

use super::nodes::{Primaries, line};
use super::options::RedisOptions;

/// How often the primaries are asked, beside what requests send them.
const PAUSE: Duration = Duration::from_secs(10);

/// What the primaries have evicted since this process first asked them, by their addresses.
#[derive(Debug, Default)]
pub(crate) struct Evictions(Mutex<BTreeMap<String, Followed>>);

/// A node whose count is followed, over its restarts.
#[derive(Debug)]
struct Followed {
    last: Told,
    sum: u64,
}

/// What a node says of itself.
#[derive(Clone, Debug)]
struct Told {
    /// Another one after each start.
    run: String,
    /// Keys evicted in this run.
    evicted: u64,
}

impl Evictions {
    /// Each node that has answered, and how many keys it has evicted since.
    pub(crate) fn sums(&self) -> Vec<(String, u64)> {
        let nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.iter().map(|(address, node)| (address.clone(), node.sum)).collect()
    }

    fn follow(&self, address: String, told: Told) {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match nodes.entry(address) {
            // What was before is nobody's business here: it would look like news.
            Entry::Vacant(place) => {
                place.insert(Followed { last: told, sum: 0 });
            }
            Entry::Occupied(mut node) => node.get_mut().follow(told),
        }
    }
}

impl Followed {
    fn follow(&mut self, told: Told) {
        // CONFIG RESETSTAT starts the count anew, too, within the same run.
        let goes_on = told.run == self.last.run && told.evicted >= self.last.evicted;
        let before = if goes_on { self.last.evicted } else { 0 };
        self.sum += told.evicted - before;
        self.last = told;
    }
}

/// Follows what the primaries have evicted, until it is aborted.
pub(crate) async fn watch(options: RedisOptions, evictions: Arc<Evictions>) {
    let mut primaries = Primaries::new(options);
    loop {
        for answer in primaries.ask(told).await {
            evictions.follow(answer.address, answer.told);
        }
        sleep(PAUSE).await;
    }
}

async fn told(mut connection: MultiplexedConnection) -> RedisResult<Told> {
    let mut both = redis::pipe();
    both.cmd("INFO").arg("server").cmd("INFO").arg("stats");
    let (server, stats): (String, String) = both.query_async(&mut connection).await?;
    let evicted = line(&stats, "evicted_keys").and_then(|count| count.parse().ok());
    Ok(Told {
        run: line(&server, "run_id").unwrap_or_default().to_owned(),
        evicted: evicted.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_follows_a_node_over_its_restarts() {
        let evictions = Evictions::default();
        let expect = |run: &str, evicted, sum| {
            evictions.follow("a:1".to_owned(), Told { run: run.to_owned(), evicted });
            assert_eq!(evictions.sums(), [("a:1".to_owned(), sum)], "{evicted} in {run}");
        };
        expect("first", 692, 0);
        expect("first", 700, 8);
        expect("first", 700, 8);
        // Its count began anew, and is beyond the one before already.
        expect("second", 900, 908);
        expect("second", 901, 909);
        expect("third", 0, 909);
        expect("third", 5, 914);
        // CONFIG RESETSTAT.
        expect("third", 2, 916);
        evictions.follow("b:2".to_owned(), Told { run: "other".to_owned(), evicted: 3 });
        assert_eq!(evictions.sums(), [("a:1".to_owned(), 916), ("b:2".to_owned(), 0)]);
    }
}
