//! A recorded sequence as requests to the catalogue's API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::faults::{Fault, ScenarioError};
use super::workload::new_price;
use super::{ReadView, Workload};
use crate::load::{Request, recorded, steady};
use crate::trace::{Access, Format, MAX_BROKEN, Op, Recording};
use crate::workload::{Pace, Spec};

/// Where recorded inputs are, unless `LARDER_DATA` says otherwise.
pub const USUAL_DATA: &str = "../shared/data";

/// A recorded sequence; the nth key that appears is product n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    steps: Vec<Access>,
    distinct: u32,
    timed: bool,
}

impl Recorded {
    /// The first `limit` steps of `recording`; 0: all.
    #[must_use]
    pub fn of(recording: Recording, limit: usize) -> Self {
        let mut steps = recording.accesses;
        if limit > 0 {
            steps.truncate(limit);
        }
        // Keys are numbered from 0 in the order in which they first appear.
        let distinct = steps.iter().map(|step| step.key + 1).max().unwrap_or(0);
        Self { steps, distinct, timed: recording.timed }
    }

    /// How many keys there are.
    #[must_use]
    pub const fn distinct(&self) -> u32 {
        self.distinct
    }

    /// When each step is due; none: as soon as a connection is free.
    #[must_use]
    pub fn due(&self, pace: Pace) -> Option<Vec<Duration>> {
        let at_us = || self.steps.iter().map(|step| step.at_us).collect::<Vec<_>>();
        match pace {
            Pace::InOrder => None,
            Pace::Recorded => Some(recorded(&at_us(), 1.0)),
            Pace::Scale(speed) => Some(recorded(&at_us(), speed)),
            Pace::Rate(rate) => {
                let length = Duration::from_secs_f64((self.steps.len() as f64 + 0.5) / rate);
                Some(steady(rate, length))
            }
        }
    }

    /// Requests a second on average, where steps have times to be due at.
    #[must_use]
    pub fn offered_rps(&self, pace: Pace) -> Option<f64> {
        let last = *self.due(pace)?.last()?;
        (!last.is_zero()).then(|| self.steps.len() as f64 / last.as_secs_f64())
    }

    /// Its requests: reads of `view`, and changes of prices.
    #[must_use]
    pub fn requests(&self, view: ReadView) -> Vec<Request> {
        let mut written = 0;
        let request = |step: &Access| {
            let id = step.key + 1;
            match step.op {
                Op::Read => Request::get(view.path(id)).about(id),
                Op::Write => {
                    written += 1;
                    new_price(id, written)
                }
            }
        };
        self.steps.iter().map(request).collect()
    }
}

/// The sequence of `workload`, if it is a recorded one. A relative name is looked for in `folder`, which
/// is that of the scenario (whose file `scenario` has this `text`), and then among recorded inputs.
pub(super) fn open(
    workload: &Workload,
    folder: &Path,
    scenario: &str,
    text: &str,
) -> Result<Option<Recorded>> {
    let Spec::Trace { file, format, pace, limit } = &workload.requests else { return Ok(None) };
    let fault = |must: String| {
        let fault = Fault { place: "workloads.requests".to_owned(), must };
        ScenarioError::value(scenario, text, &fault)
    };
    let data = std::env::var_os("LARDER_DATA").map_or_else(|| USUAL_DATA.into(), PathBuf::from);
    let places = [folder.join(file), data.join(file)];
    let Some(found) = places.iter().find(|place| place.is_file()) else {
        let [beside, among] = places.map(|place| place.display().to_string());
        return Err(fault(format!(
            "must name a file that is there: neither {beside} nor {among} is; README.md says where \
             recorded inputs come from, LARDER_DATA names their folder"
        ))
        .into());
    };
    let format = format.unwrap_or_else(|| Format::of(found));
    let recording = Recording::read(found, format, MAX_BROKEN)?;
    if let Some(warning) = recording.broken.warning(found) {
        eprintln!("{warning}");
    }
    let recorded = Recorded::of(recording, *limit);
    if pace.needs_times() && !recorded.timed {
        return Err(fault(format!(
            "has a pace that {} tells no times for: use pace = \"in-order\" or {{ rate = 500 }}",
            found.display()
        ))
        .into());
    }
    Ok(Some(recorded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(text: &str, limit: usize) -> Recorded {
        let file = tempfile::NamedTempFile::with_suffix(".csv").expect("a file");
        std::fs::write(file.path(), text).expect("writes");
        let recording = Recording::read(file.path(), Format::Csv, 0.0).expect("reads");
        Recorded::of(recording, limit)
    }

    const LOG: &str =
        "time,key,op\n10,/a,read\n10.5,/b,read\n10.5,/a,write\n12,/a,read\n14,/c,read\n";

    #[test]
    fn steps_are_requests_in_their_order() {
        let all = recorded(LOG, 0);
        let requests = all.requests(ReadView::ProductSummary);
        let shown: Vec<(String, bool, u32)> =
            requests.iter().map(|r| (r.path.clone(), r.writes(), r.key)).collect();
        let read = |id: u32| (format!("/products/{id}/summary"), false, id);
        let write = ("/products/1".to_owned(), true, 1);
        assert_eq!(shown, [read(1), read(2), write, read(1), read(3)]);
        assert_eq!((all.distinct(), recorded(LOG, 3).distinct()), (3, 2));
    }

    #[test]
    fn each_pace_has_its_schedule() {
        let all = recorded(LOG, 0);
        let millis = |pace| {
            let due = all.due(pace)?;
            Some(due.iter().map(Duration::as_millis).collect::<Vec<_>>())
        };
        assert_eq!(millis(Pace::InOrder), None);
        assert_eq!(millis(Pace::Recorded), Some(vec![0, 500, 500, 2_000, 4_000]));
        assert_eq!(millis(Pace::Scale(4.0)), Some(vec![0, 125, 125, 500, 1_000]));
        assert_eq!(millis(Pace::Rate(10.0)), Some(vec![0, 100, 200, 300, 400]));
        assert_eq!(all.offered_rps(Pace::Scale(4.0)), Some(5.0));
        assert_eq!(all.offered_rps(Pace::InOrder), None);
    }

    #[test]
    fn a_trace_that_is_not_there_or_tells_no_times_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = folder.path().join("keys.csv");
        std::fs::write(&keys, "key\nx\ny\n").expect("writes");
        let scenario = |requests: &str| {
            let text = format!(
                "view = \"product-page\"\n[data]\nproducts = 9\nreviews = 9\n[load]\nseed = 1\n\
                 connections = 2\n[matrix]\nrepeats = 1\n[[workloads]]\nrequests = {requests}\n\
                 [[strategies]]\nstrategy = \"none\"\ntiers = \"none\"\n"
            );
            let file = folder.path().join("scenario.toml");
            std::fs::write(&file, text).expect("writes");
            super::super::Scenario::read(&file)
        };
        let trace = |file: &str, pace: &str| {
            format!("{{ kind = \"trace\", file = \"{file}\", pace = {pace} }}")
        };
        let read = scenario(&trace("keys.csv", "\"in-order\"")).expect("beside the scenario");
        assert_eq!(read.least_products(), 2);
        scenario(&trace("keys.csv", "{ rate = 10 }")).expect("needs no times");
        let cases = [
            (trace("no-such.csv", "\"in-order\""), "no-such.csv"),
            (trace("no-such.csv", "\"in-order\""), "LARDER_DATA"),
            (trace("keys.csv", "\"recorded\""), "tells no times for: use pace"),
            (trace("keys.csv", "{ scale = 0 }"), "pace: scale must be from 0.001 to 1000000"),
            (trace("keys.csv", "{ scale = 1e-300 }"), "not 1e-300"),
            (trace("keys.csv", "{ rate = 1e-300 }"), "pace: rate must be from 0.01 to 1000000"),
            (trace("keys.csv", "{ rate = inf }"), "not inf"),
            (trace("keys.csv", "\"soon\""), "soon"),
        ];
        for (requests, expected) in cases {
            let error = scenario(&requests).map(drop).expect_err(expected);
            assert!(error.is::<ScenarioError>(), "{error:#}");
            let message = format!("{error:#}");
            assert!(message.contains(expected), "{message}");
            assert!(message.contains("scenario.toml:1"), "{message}");
        }
    }
}
