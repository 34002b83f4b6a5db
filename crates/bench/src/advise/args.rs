//! What `larder-bench advise` is asked.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::scenario::ReadView;
use crate::simulate::JITTER;
use crate::trace::{Format, MAX_BROKEN};

/// What caching would do for the traffic of a log.
#[derive(Clone, Debug, Args)]
pub struct AdviseArgs {
    /// An access log, a CSV of keys or a recorded trace; packed by gzip or xz, or not.
    pub log: PathBuf,
    /// What it is [default: by its name: .trace = cache2k, .csv = csv, all else = combined]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// The part of its lines that may be unreadable.
    #[arg(long, default_value_t = MAX_BROKEN, value_parser = part)]
    pub max_broken: f64,
    /// Only keys (paths, in an access log) that begin with this, such as /products/.
    #[arg(long)]
    pub only: Option<String>,
    /// What was changed when: a CSV with the columns key, time and op (write). Not needed where the
    /// log tells of writes itself.
    #[arg(long)]
    pub writes: Option<PathBuf>,
    /// What a query costs: milliseconds, or a CSV with the columns key and cost. Not needed where
    /// the log has a column cost.
    #[arg(long, allow_hyphen_values = true)]
    pub query_cost: Option<String>,
    /// Requests a second, for a log without times; none: what depends on times is left out.
    #[arg(long, value_parser = positive)]
    pub rate: Option<f64>,
    /// Bytes of a value whose size the log does not tell.
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..))]
    pub value_bytes: u32,
    /// API processes, each with a first tier of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub replicas: u32,
    /// Times to live to compare, where times are known.
    #[arg(long, value_delimiter = ',', default_value = "1s,10s,1m,10m,1h", value_parser = duration)]
    pub ttl: Vec<Duration>,
    /// The part of a time to live that is taken off at random, as the service's setting of that name
    /// does.
    #[arg(long, default_value_t = JITTER, value_parser = jitter)]
    pub jitter: f64,
    /// Sizes of L1 to compare, such as 16MiB [default: 0.5 % to all of what all keys take]
    #[arg(long, value_delimiter = ',', value_parser = bytes)]
    pub l1_sizes: Vec<u64>,
    /// The hit ratio to reach [default: 95 % of what any cache could]
    #[arg(long, value_parser = part)]
    pub target: Option<f64>,
    /// The namespace that the recommended larder.toml is for.
    #[arg(long, value_enum, default_value = "product-page")]
    pub namespace: ReadView,
    /// L1 is simulated on a sample of the keys if there are more steps than this.
    #[arg(long, default_value_t = 20_000_000)]
    pub exact_up_to: usize,
}

fn part(text: &str) -> Result<f64, String> {
    let part = text.parse::<f64>().ok().filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| "must be from 0 to 1".to_owned())
}

fn jitter(text: &str) -> Result<f64, String> {
    let part = text.parse::<f64>().ok().filter(|part| (0.0..=0.9).contains(part));
    part.ok_or_else(|| "must be from 0 to 0.9".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "must be a number above 0".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let span = text.parse::<jiff::SignedDuration>().ok();
    let span = span.and_then(|span| Duration::try_from(span).ok()).filter(|span| !span.is_zero());
    span.ok_or_else(|| format!("{text:?} is no time like 500ms, 10s, 5m or 1h"))
}

/// A number of bytes, with or without a unit.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => Some(1),
        "KiB" | "K" => Some(1_u64 << 10),
        "MiB" | "M" => Some(1 << 20),
        "GiB" | "G" => Some(1 << 30),
        _ => None,
    };
    let number = digits.parse::<u64>().ok().filter(|number| *number > 0);
    let bytes = number.zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    bytes.ok_or_else(|| format!("{text:?} is no size like 65536, 512KiB, 64MiB or 1GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_with_their_units() {
        assert_eq!(bytes("65536"), Ok(65_536));
        assert_eq!(
            (bytes("512KiB"), bytes("64MiB"), bytes("1G")),
            (Ok(1 << 19), Ok(1 << 26), Ok(1 << 30))
        );
        for wrong in ["", "0", "-1", "5 apples", "MiB", "99999999999GiB"] {
            assert!(bytes(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "0s", "-1s", "soon", "5"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
        assert!(jitter("0.3").is_ok() && jitter("0.95").is_err() && jitter("NaN").is_err());
        assert!(part("1.1").is_err() && part("NaN").is_err() && positive("0").is_err());
    }
}
