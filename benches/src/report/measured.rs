//! What Criterion wrote of one run.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One benchmark, as it was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Its group.
    pub group: String,
    /// The function within the group, where that has several.
    pub function: Option<String>,
    /// What the function was given, where that varies.
    pub value: Option<String>,
    /// Things that one iteration does, where that is more than one.
    pub elements: Option<u64>,
    /// The median time of an iteration, in nanoseconds …
    pub median: f64,
    /// … and its confidence interval.
    pub interval: (f64, f64),
}

#[derive(Deserialize)]
struct Id {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
struct Throughput {
    #[serde(rename = "Elements")]
    elements: Option<u64>,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

impl Measured {
    /// Its name within its group.
    #[must_use]
    pub fn name(&self) -> String {
        let parts = [&self.function, &self.value];
        parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("/")
    }
}

/// Everything under Criterion's folder `root` that was measured at `since` or after, in the order
/// in which it was.
///
/// # Errors
///
/// When a folder or a file cannot be read, or a file is not what Criterion writes: names it.
pub fn measured(root: &Path, since: SystemTime) -> Result<Vec<Measured>> {
    let mut found = Vec::new();
    look(root, since, &mut found)?;
    found.sort_by_key(|(when, _)| *when);
    Ok(found.into_iter().map(|(_, row)| row).collect())
}

fn look(folder: &Path, since: SystemTime, found: &mut Vec<(SystemTime, Measured)>) -> Result<()> {
    let unreadable = || format!("{} cannot be read", folder.display());
    // "new" is the latest run's; "base", beside it, the one before.
    let estimates = folder.join("new/estimates.json");
    if let Ok(about) = fs::metadata(&estimates) {
        let when = about.modified().with_context(unreadable)?;
        if when >= since {
            let id: Id = read(&folder.join("new/benchmark.json"))?;
            let Estimates { median } = read(&estimates)?;
            let Interval { lower_bound, upper_bound } = median.confidence_interval;
            let row = Measured {
                group: id.group_id,
                function: id.function_id,
                value: id.value_str,
                elements: id.throughput.and_then(|throughput| throughput.elements),
                median: median.point_estimate,
                interval: (lower_bound, upper_bound),
            };
            found.push((when, row));
        }
    }
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.is_dir() {
            look(&path, since, found)?;
        }
    }
    Ok(())
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let text = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is not what Criterion writes", file.display()))
}
