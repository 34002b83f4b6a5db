//! A recorded sequence of reads, replayed in its order.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;

use clap::ValueEnum;

use super::Session;
use super::again::{command, options, path, strategy};
use super::recorded::recorded;
use crate::load::Request;
use crate::measure::Labels;
use crate::scenario::{Contender, DataSet, ReadView};
use crate::trace::{Format, Trace};

/// What to replay, and how.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The file.
    pub trace: PathBuf,
    /// Its format.
    pub format: Format,
    /// Only its first requests; 0: all.
    pub limit: usize,
    /// Requests under way at once; with 1 the order is exact.
    pub connections: usize,
    /// The strategy, from an empty cache.
    pub contender: Contender,
    /// The catalogue, if the database is empty.
    pub data: DataSet,
}

impl Replay {
    /// Reads the trace.
    ///
    /// # Errors
    ///
    /// When it cannot be read; the message names file and line.
    pub fn read(&self) -> Result<Trace> {
        Ok(Trace::read(&self.trace, self.format)?.limited(self.limit))
    }

    /// The command line that makes it again.
    fn command(&self) -> String {
        let Self { trace, format, limit, connections, contender, data } = self;
        let words = ["replay".into(), "--trace".into(), path(trace), "--format".into()];
        let format = format.to_possible_value().expect("each format has a name");
        let format = format.get_name().to_owned().into();
        let options = options([
            ("--connections", connections.to_string()),
            ("--limit", limit.to_string()),
            ("--products", data.products.to_string()),
            ("--reviews", data.reviews.to_string()),
        ]);
        command(words.into_iter().chain([format]).chain(strategy(contender)).chain(options))
    }
}

/// Asks for the page of each key of `trace`, the nth key that appears being product n. A cache
/// that never forgets must load each key exactly once, however many ask at a time: that is
/// checked.
///
/// # Errors
///
/// When a process does not start or the counts disagree.
pub async fn replay(session: &mut Session, replay: &Replay, trace: &Trace) -> Result<()> {
    let url = session.bed.admin_url().to_owned();
    let api = session.api(&replay.contender, &url).await?;
    let requests: Arc<[Request]> =
        trace.requests.iter().map(|id| Request::get(ReadView::ProductPage.path(*id))).collect();
    let name = replay.trace.file_name().map_or("trace".into(), |name| name.to_string_lossy());
    let workload = format!("replay of {name}, {} at a time", replay.connections);
    let floor = Some(u64::from(trace.distinct));
    let labels = Labels { workload: workload.clone(), floor, ..Labels::default() };
    let run =
        recorded(session, &api, labels, replay.connections, requests, replay.command()).await?;

    session.check(
        &format!("{workload} under {}: every request is answered", run.strategy),
        format!("{} errors in {} requests", run.errors, run.requests),
        run.errors == 0,
    );
    let unbounded = replay.contender.ttl_ms == 0 && replay.contender.tiers != "none";
    if unbounded {
        let queries = &run.db_queries;
        let distinct = u64::from(trace.distinct);
        let holds = queries.loads == distinct
            && queries.counted == distinct
            && queries.pg_stat_statements == distinct;
        session.check(
            &format!("{workload} under {}: database loads = distinct keys", run.strategy),
            format!(
                "{} keys, {} loads, {} statements by the application's count, {} by Postgres's",
                distinct, queries.loads, queries.counted, queries.pg_stat_statements
            ),
            holds,
        );
    }
    session.run(run);
    Ok(())
}
