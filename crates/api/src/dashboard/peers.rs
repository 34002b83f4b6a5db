//! What each process says of itself, and what all of them come to together.
//!
//! Each says it once a second, with the statement that says that it is there (`switching.rs`). It is read
//! while somebody looks, and by the process that is looked at: one statement a second, of the relay's role
//! where that is another one. Where Postgres does not answer, the page shows this process alone.

use std::net::SocketAddr;
use std::time::Duration;

use larder_postgres::Report as Said;
use larder_telemetry::Buckets;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::counts::{Lookups, Queries, Requests};
use super::viewers::Viewers;
use crate::app::State;

/// How often the others are asked.
const SECOND: Duration = Duration::from_secs(1);
/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(2);

/// What a process says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) requests_per_second: f64,
    pub(super) queries_per_second: f64,
    /// Since it began.
    pub(super) requests: Requests,
    pub(super) queries: Queries,
    /// Of the last ten seconds, in L1 and L2.
    pub(super) lookups: [Lookups; 2],
    /// Of the last ten seconds.
    #[serde(with = "written")]
    pub(super) latency: Buckets,
}

/// All processes that are there.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Processes {
    /// This one first.
    each: Vec<Process>,
    /// The sum of those that are known.
    all: Figures,
}

#[derive(Debug, PartialEq, Serialize)]
struct Process {
    address: String,
    /// Null for one that has said nothing yet, or nothing that this release can read.
    figures: Option<Figures>,
}

/// What is shown of one process, or of all.
#[derive(Debug, PartialEq, Serialize)]
struct Figures {
    requests_per_second: f64,
    queries_per_second: f64,
    hit_ratio: [Option<f64>; 2],
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    requests: Requests,
    queries: Queries,
}

/// What the processes said when they were last asked; `None`: they have not been, or nobody knows.
pub(super) type Heard = Option<Vec<Said>>;

/// Asks what the processes say, as long as `viewers` has one.
pub(super) async fn listen(state: &State, viewers: &Viewers, heard: &watch::Sender<Heard>) {
    let mut ticks = interval(SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut said = None;
        if viewers.any() {
            said = match timeout(ANSWER, state.switching.reports()).await {
                Ok(Ok(said)) => Some(said),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "what other processes do cannot be asked at present");
                    None
                }
                Err(_elapsed) => None,
            };
        }
        heard.send_replace(said);
    }
}

impl Report {
    /// The value that the part `q` of the latencies does not exceed.
    pub(super) fn quantile_ms(&self, q: f64) -> Option<f64> {
        self.latency.quantile(q).map(|seconds| seconds * 1_000.0)
    }

    /// Hits of each tier's lookups.
    pub(super) fn hit_ratio(&self) -> [Option<f64>; 2] {
        self.lookups.each_ref().map(Lookups::ratio)
    }

    fn and(&self, other: &Self) -> Self {
        let [l1, l2] = [0, 1].map(|tier| self.lookups[tier].and(&other.lookups[tier]));
        Self {
            requests_per_second: self.requests_per_second + other.requests_per_second,
            queries_per_second: self.queries_per_second + other.queries_per_second,
            requests: self.requests.and(&other.requests),
            queries: self.queries.and(&other.queries),
            lookups: [l1, l2],
            latency: self.latency.with(&other.latency),
        }
    }

    fn figures(&self) -> Figures {
        Figures {
            requests_per_second: self.requests_per_second,
            queries_per_second: self.queries_per_second,
            hit_ratio: self.hit_ratio(),
            p50_ms: self.quantile_ms(0.5),
            p99_ms: self.quantile_ms(0.99),
            requests: self.requests,
            queries: self.queries,
        }
    }
}

impl Processes {
    /// The process `name` on `address`, of which `own` is the newest, and those of `said`.
    pub(super) fn of(name: &str, address: &str, own: &Report, said: &[Said]) -> Self {
        let mut all = own.clone();
        let address = told_apart(address, name);
        let mut each = vec![Process { address, figures: Some(own.figures()) }];
        for other in said.iter().filter(|other| other.process != name) {
            let report: Option<Report> =
                other.text.as_deref().and_then(|text| serde_json::from_str(text).ok());
            if let Some(report) = &report {
                all = all.and(report);
            }
            let figures = report.as_ref().map(Report::figures);
            let address = told_apart(&other.address, &other.process);
            each.push(Process { address, figures });
        }
        Self { each, all: all.figures() }
    }
}

/// `address`, with a part of the process's name where others may listen on the same: in containers, all do on every
/// address of theirs.
fn told_apart(address: &str, name: &str) -> String {
    let everywhere =
        address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_unspecified());
    if everywhere {
        let short: String = name.chars().take(6).collect();
        return format!("{address} ({short})");
    }
    address.to_owned()
}

/// Buckets as their finite bounds and their count, which JSON can hold.
mod written {
    use larder_telemetry::Buckets;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(of: &Buckets, to: S) -> Result<S::Ok, S::Error> {
        (of.finite(), of.count()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Buckets, D::Error> {
        let (bounds, count) = Deserialize::deserialize(from)?;
        Buckets::from_finite(bounds, count).ok_or_else(|| D::Error::custom("bounds must ascend"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_listen_everywhere_are_told_apart_by_their_names() {
        assert_eq!(told_apart("127.0.0.1:8080", "0123456789"), "127.0.0.1:8080");
        assert_eq!(told_apart("0.0.0.0:8080", "0123456789"), "0.0.0.0:8080 (012345)");
        assert_eq!(told_apart("[::]:8080", "ab"), "[::]:8080 (ab)");
    }

    fn report(requests: u64, hits: u64, quick: u64) -> Report {
        let bounds = vec![(0.005, quick), (0.1, 10)];
        Report {
            requests_per_second: requests as f64 / 10.0,
            queries_per_second: 1.5,
            requests: Requests { all: requests, failed: 1 },
            queries: Queries { completed: 7, relay: 2, ..Queries::default() },
            lookups: [Lookups { hits, all: 10 }, Lookups::default()],
            latency: Buckets::from_finite(bounds, 10).expect("they ascend"),
        }
    }

    fn said(process: &str, text: Option<String>) -> Said {
        Said { process: process.to_owned(), address: format!("host-{process}:8080"), text }
    }

    #[test]
    fn what_is_said_is_read_as_it_was_meant() {
        let own = report(100, 3, 4);
        let text = serde_json::to_string(&own).expect("JSON");
        assert_eq!(serde_json::from_str::<Report>(&text).expect("JSON"), own);
        for wrong in ["", "{}", &text.replace("0.005", "5.0"), &text.replace("requests", "asked")] {
            assert!(serde_json::from_str::<Report>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_are_the_sum_of_those_that_are_known() {
        let own = report(100, 3, 10);
        let other = serde_json::to_string(&report(300, 9, 0)).expect("JSON");
        let said = [
            // Of itself it knows something newer.
            said("here", Some(other.clone())),
            said("there", Some(other)),
            said("young", None),
            said("strange", Some("{\"format\": 7}".to_owned())),
        ];
        let Processes { each, all } = Processes::of("here", "host:1", &own, &said);
        let shown: Vec<_> = each
            .iter()
            .map(|one| (&*one.address, one.figures.as_ref().map(|of| of.requests.all)))
            .collect();
        assert_eq!(
            shown,
            [
                ("host:1", Some(100)),
                ("host-there:8080", Some(300)),
                ("host-young:8080", None),
                ("host-strange:8080", None),
            ]
        );
        assert_eq!(
            (all.requests, all.requests_per_second),
            (Requests { all: 400, failed: 2 }, 40.0)
        );
        assert_eq!(
            (all.queries.completed, all.queries.relay, all.queries_per_second),
            (14, 4, 3.0)
        );
        assert_eq!(all.hit_ratio, [Some(0.6), None]);
        // Half were quick: the median is at the quick ones' bound, and not between two medians.
        assert_eq!(all.p50_ms, Some(5.0));
        assert!(all.p99_ms > Some(90.0), "{all:?}");
    }
}
