//! What is read out of the registry: the same series as at `/metrics`.

use catalog_domain::View;
use larder_telemetry::{Buckets, Labels, Readings};
use serde::{Deserialize, Serialize};

const REQUESTS: &str = "http_server_request_duration_seconds";
const QUERIES: &str = "larder_db_queries_total";
const LOOKUPS: &str = "larder_cache_lookups_total";
const STALENESS: &str = "larder_staleness_seconds";

/// The tiers, as metrics name them.
pub(super) const TIERS: [&str; 2] = ["l1", "l2"];
/// Where the catalogue's routes begin: its requests are those that could cost a statement.
const CATALOGUE: [&str; 3] = ["/products", "/categories", "/writes"];

/// Requests for the catalogue; those for this page, `/metrics` and administration are none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Requests {
    pub(super) all: u64,
    /// Of those, the ones that were answered 5xx.
    pub(super) failed: u64,
}

/// Statements, by what became of them; those of the relay, which has a role of its own, apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Queries {
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) unknown: u64,
    pub(super) relay: u64,
}

/// Lookups in one tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lookups {
    /// Those it answered, be it with a stale value or with "there is none".
    pub(super) hits: u64,
    pub(super) all: u64,
}

/// Reads of a namespace and writes, and the statements that they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Cost {
    pub(super) reads: u64,
    pub(super) read_queries: u64,
    pub(super) writes: u64,
    pub(super) write_queries: u64,
}

/// All that grows, at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: Requests,
    pub(super) queries: Queries,
    /// As [`TIERS`].
    pub(super) lookups: [Lookups; 2],
    pub(super) costs: [Cost; View::ALL.len()],
    pub(super) latency: Buckets,
    pub(super) staleness: Buckets,
    pub(super) stale: u64,
}

impl Requests {
    pub(super) const fn and(&self, other: &Self) -> Self {
        Self { all: self.all + other.all, failed: self.failed + other.failed }
    }
}

impl Queries {
    /// All of the application's, whatever became of them.
    pub(super) const fn all(&self) -> u64 {
        self.completed + self.failed + self.unknown
    }

    pub(super) const fn and(&self, other: &Self) -> Self {
        Self {
            completed: self.completed + other.completed,
            failed: self.failed + other.failed,
            unknown: self.unknown + other.unknown,
            relay: self.relay + other.relay,
        }
    }
}

impl Lookups {
    /// The part that the tier answered; `None` where it was not asked.
    pub(super) fn ratio(&self) -> Option<f64> {
        (self.all > 0).then(|| self.hits as f64 / self.all as f64)
    }

    pub(super) const fn since(&self, earlier: &Self) -> Self {
        Self {
            hits: self.hits.saturating_sub(earlier.hits),
            all: self.all.saturating_sub(earlier.all),
        }
    }

    pub(super) const fn and(&self, other: &Self) -> Self {
        Self { hits: self.hits + other.hits, all: self.all + other.all }
    }
}

impl Cost {
    pub(super) const fn since(&self, earlier: &Self) -> Self {
        Self {
            reads: self.reads.saturating_sub(earlier.reads),
            read_queries: self.read_queries.saturating_sub(earlier.read_queries),
            writes: self.writes.saturating_sub(earlier.writes),
            write_queries: self.write_queries.saturating_sub(earlier.write_queries),
        }
    }
}

impl Counts {
    /// What `readings` say.
    pub(super) fn of(readings: &Readings) -> Self {
        let requests = |keep: &dyn Fn(Labels<'_>) -> bool| {
            readings.histogram(REQUESTS, |of| is_catalogue(of) && keep(of)).count()
        };
        let queries = |keep: &dyn Fn(Labels<'_>) -> bool| whole(readings.sum(QUERIES, keep));
        let outcome = |name: &str| queries(&|of| !is_relay(of) && of.get("larder_outcome") == name);
        let staleness = readings.histogram(STALENESS, |_| true);
        let purposes = |of: Labels<'_>| ["write", "flush"].contains(&of.get("larder_purpose"));
        let (writes, write_queries) = (requests(&|of| !is_read(of)), queries(&|of| purposes(of)));
        Self {
            requests: Requests {
                all: requests(&|_| true),
                failed: requests(&|of| of.get("http_response_status_code").starts_with('5')),
            },
            queries: Queries {
                completed: outcome("completed"),
                failed: outcome("failed"),
                unknown: outcome("unknown"),
                relay: queries(&|of| is_relay(of)),
            },
            lookups: TIERS.map(|tier| lookups(readings, tier)),
            costs: View::ALL.map(|view| Cost {
                reads: requests(&|of| is_read(of) && of.get("http_route") == route(view)),
                read_queries: queries(&|of| {
                    of.get("larder_namespace") == view.namespace()
                        && of.get("larder_purpose") == "load"
                }),
                writes,
                write_queries,
            }),
            latency: readings.histogram(REQUESTS, is_catalogue),
            // The first bucket holds the answers that were right.
            stale: staleness.count() - staleness.at_most(0.0),
            staleness,
        }
    }
}

/// A counter's value: whole, whatever the registry keeps it in.
fn whole(value: f64) -> u64 {
    value as u64
}

fn lookups(readings: &Readings, tier: &str) -> Lookups {
    let of_tier = |of: Labels<'_>| of.get("larder_tier") == tier;
    let missed = |of: Labels<'_>| of_tier(of) && of.get("larder_outcome") == "miss";
    let all = whole(readings.sum(LOOKUPS, of_tier));
    Lookups { hits: all.saturating_sub(whole(readings.sum(LOOKUPS, missed))), all }
}

/// Where a view is read.
const fn route(view: View) -> &'static str {
    match view {
        View::ProductPage => "/products/{id}",
        View::ProductSummary => "/products/{id}/summary",
    }
}

fn is_catalogue(of: Labels<'_>) -> bool {
    CATALOGUE.iter().any(|start| of.get("http_route").starts_with(start))
}

fn is_read(of: Labels<'_>) -> bool {
    ["GET", "HEAD"].contains(&of.get("http_request_method"))
}

fn is_relay(of: Labels<'_>) -> bool {
    of.get("larder_purpose") == "feed"
}
