//! The log with all that was given beside it.

use std::path::Path;

use ahash::HashMap;
use anyhow::{Result, bail, ensure};

use super::AdviseArgs;
use crate::simulate::Sizes;
use crate::trace::{BadData, Format, Op, Recording};

/// A log to look at.
#[derive(Clone, Debug)]
pub struct Input {
    /// Reads and writes, in order.
    pub recording: Recording,
    /// Bytes of the entries.
    pub sizes: Sizes,
    /// Mean bytes of a value.
    pub value_bytes: f64,
    /// What queries cost.
    pub costs: Costs,
    /// What was assumed for want of knowledge.
    pub assumptions: Vec<String>,
}

/// What a query of each key costs, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Costs {
    each: Vec<Option<f64>>,
    usual: Option<f64>,
}

impl Costs {
    /// Whether anything is known.
    #[must_use]
    pub const fn known(&self) -> bool {
        self.usual.is_some()
    }

    /// A load of `key`: the mean of all where only others are known, 0 where nothing is.
    #[must_use]
    pub fn of(&self, key: u32) -> f64 {
        let own = self.each.get(key as usize).copied().flatten();
        own.or(self.usual).unwrap_or(0.0)
    }

    fn by_key(each: Vec<Option<f64>>) -> Self {
        let known: Vec<f64> = each.iter().copied().flatten().collect();
        let usual = (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);
        Self { each, usual }
    }
}

impl Input {
    /// Reads all files that `args` name.
    ///
    /// # Errors
    ///
    /// [`BadData`] for files whose contents cannot be used; other errors for files that are not
    /// there and arguments that do not go together. Messages say what to do.
    pub fn read(args: &AdviseArgs) -> Result<Self> {
        let mut assumptions = Vec::new();
        let format = args.format.unwrap_or_else(|| Format::of(&args.log));
        let mut recording = Recording::read(&args.log, format, args.max_broken)?;
        if let Some(prefix) = &args.only {
            recording.keep_only(prefix);
        }
        if let Some(file) = &args.writes {
            merge_writes(&mut recording, file, args)?;
        }
        if recording.reads() == 0 {
            let named = args.only.as_ref().map_or(String::new(), |prefix| {
                format!(" of keys that begin with {prefix} (--only)")
            });
            let log = args.log.display();
            return Err(BadData::new(format!(
                "{log} has no reads{named}: there is nothing to cache"
            ))
            .into());
        }
        match args.rate {
            Some(_) if recording.timed => {
                bail!("--rate is for logs without times, and {} has them", args.log.display());
            }
            Some(rate) => {
                recording.pace(rate);
                assumptions.push(format!(
                    "The log tells no times: {rate} steps a second, evenly spread (--rate)."
                ));
            }
            None if !recording.timed => assumptions.push(
                "The log tells no times: what depends on them (times to live, queries a second) \
                 is left out. --rate N gives it some."
                    .to_owned(),
            ),
            None => {}
        }
        if !recording.accesses.iter().any(|access| access.op == Op::Write) {
            assumptions.push(
                "No writes are known: nothing is ever changed. --writes FILE tells of them."
                    .to_owned(),
            );
        }
        let (sizes, value_bytes) = sizes(&recording, args.value_bytes, &mut assumptions);
        let costs = costs(&recording, args)?;
        if !costs.known() {
            assumptions.push(
                "What queries cost is unknown: connections are not reckoned, and refresh-ahead, \
                 which goes by cost, is left out. --query-cost tells it."
                    .to_owned(),
            );
        }
        Ok(Self { recording, sizes, value_bytes, costs, assumptions })
    }
}

fn merge_writes(recording: &mut Recording, file: &Path, args: &AdviseArgs) -> Result<()> {
    ensure!(
        recording.timed,
        "{} tells no times, so writes cannot be placed between its reads: give it a column time, or \
         put the writes into it, as lines whose column op says write",
        args.log.display()
    );
    let mut writes = Recording::read(file, Format::Csv, args.max_broken)?;
    if let Some(prefix) = &args.only {
        writes.keep_only(prefix);
    }
    if !writes.timed || writes.reads() > 0 {
        return Err(BadData::new(format!(
            "{}: --writes needs the columns key, time and op, and op must say write on every line",
            file.display()
        ))
        .into());
    }
    recording.merge_writes(&writes);
    Ok(())
}

/// Sizes, and the mean of a value over the keys that were read.
fn sizes(recording: &Recording, usual: u32, assumptions: &mut Vec<String>) -> (Sizes, f64) {
    let known: Vec<u32> = recording.bytes.iter().copied().filter(|bytes| *bytes > 0).collect();
    if known.is_empty() {
        assumptions.push(format!(
            "The log tells no sizes: every value has {usual} bytes (--value-bytes)."
        ));
        return (Sizes::equal(usual), f64::from(usual));
    }
    let mean = known.iter().map(|bytes| f64::from(*bytes)).sum::<f64>() / known.len() as f64;
    if known.len() < recording.keys.len() {
        assumptions.push(format!(
            "{} of {} keys have no known size: they have the mean of the others, {mean:.0} bytes.",
            recording.keys.len() - known.len(),
            recording.keys.len()
        ));
    }
    (Sizes::new(recording.bytes.clone(), mean.round().max(1.0) as u32), mean)
}

fn costs(recording: &Recording, args: &AdviseArgs) -> Result<Costs> {
    let Some(given) = &args.query_cost else {
        return Ok(Costs::by_key(recording.cost_ms.clone()));
    };
    if let Ok(all) = given.parse::<f64>() {
        ensure!(all.is_finite() && all > 0.0, "--query-cost must be above 0 milliseconds");
        return Ok(Costs { each: Vec::new(), usual: Some(all) });
    }
    let file = Path::new(given);
    let table = Recording::read(file, Format::Csv, args.max_broken)?;
    if table.cost_ms.is_empty() {
        return Err(BadData::new(format!(
            "{}: --query-cost needs the columns key and cost (milliseconds)",
            file.display()
        ))
        .into());
    }
    let by_name: HashMap<&str, f64> = table
        .keys
        .iter()
        .zip(&table.cost_ms)
        .filter_map(|(key, cost)| Some((key.as_str(), (*cost)?)))
        .collect();
    let each = recording.keys.iter().map(|key| by_name.get(key.as_str()).copied()).collect();
    let costs = Costs::by_key(each);
    if !costs.known() {
        return Err(BadData::new(format!(
            "{}: none of its keys is in {}; keys of an access log are paths, such as {}",
            file.display(),
            args.log.display(),
            recording.keys[0]
        ))
        .into());
    }
    Ok(costs)
}
