//! What is compared, under which load: a TOML file.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// What `larder-bench all` runs.
const DEFAULT: &str = include_str!("../scenarios/product-page.toml");

/// A comparison of strategies.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What is read.
    pub view: ReadView,
    /// The catalogue.
    pub data: DataSet,
    /// The requests.
    pub load: LoadShape,
    /// Response time against throughput.
    pub curve: Curve,
    /// Ratios of throughputs.
    pub ratios: Rounds,
    /// What is compared; the first is the one to beat.
    pub strategies: Vec<Contender>,
}

/// What is read.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Deserialize,
    Serialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum ReadView {
    /// The full page: joins and aggregates.
    ProductPage,
    /// The cheap read by primary key.
    ProductSummary,
}

/// The catalogue, if the database is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSet {
    /// Products.
    pub products: u32,
    /// Reviews, spread by a Zipf law.
    pub reviews: u32,
}

/// The requests.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadShape {
    /// Exponent of the law of popularity.
    pub zipf_exponent: f64,
    /// Where the generator starts.
    pub seed: u64,
    /// Connections of the generator.
    pub connections: usize,
}

/// Response time against throughput.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// Seconds before anything is measured.
    pub warm_up_seconds: f64,
    /// Seconds of the closed loop that finds the most a strategy can carry.
    pub saturation_seconds: f64,
    /// Seconds of each open loop.
    pub seconds: f64,
    /// Rates of the open loops, as parts of the most.
    pub fractions: Vec<f64>,
}

/// Paired rounds.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rounds {
    /// How many.
    pub rounds: u32,
    /// Seconds of each measurement in a round.
    pub seconds: f64,
    /// Requests drawn beforehand.
    pub draws: usize,
}

/// A strategy to compare.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contender {
    /// `none`, `cache-aside`, `read-through`, `write-through`, `write-behind`, `refresh-ahead`, `ttl`.
    pub strategy: String,
    /// `none`, `l1`, `l2`, `l1+l2`.
    pub tiers: String,
    /// Life of an entry in milliseconds; 0: unbounded.
    #[serde(default)]
    pub ttl_ms: u64,
    /// How many milliseconds L1 serves an entry without asking L2.
    #[serde(default = "default_l1_ttl_ms")]
    pub l1_ttl_ms: u64,
}

const fn default_l1_ttl_ms() -> u64 {
    1_000
}

impl ReadView {
    /// The path of a product's view.
    #[must_use]
    pub fn path(self, id: u32) -> String {
        match self {
            Self::ProductPage => format!("/products/{id}"),
            Self::ProductSummary => format!("/products/{id}/summary"),
        }
    }

    /// The cache namespace.
    #[must_use]
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::ProductPage => "product-page",
            Self::ProductSummary => "product-summary",
        }
    }
}

impl Contender {
    /// `cache-aside` in `l2`, without a bound in time.
    #[must_use]
    pub fn cache_aside() -> Self {
        Self::new("cache-aside", "l2")
    }

    /// `read-through` in both tiers, with entries in L1 that outlive any run: every answer is
    /// from there.
    #[must_use]
    pub fn l1() -> Self {
        Self { l1_ttl_ms: 3_600_000, ..Self::new("read-through", "l1+l2") }
    }

    fn new(strategy: &str, tiers: &str) -> Self {
        let (strategy, tiers) = (strategy.to_owned(), tiers.to_owned());
        Self { strategy, tiers, ttl_ms: 0, l1_ttl_ms: default_l1_ttl_ms() }
    }

    /// No cache at all.
    #[must_use]
    pub fn none() -> Self {
        Self::new("none", "none")
    }
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    ///
    /// When the file is not there, or a value cannot work; the message names it.
    pub fn read(file: &Path) -> Result<Self> {
        let what = || file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(what)?;
        Self::parse(&text).with_context(what)
    }

    /// What `larder-bench all` runs: the product page, `none` against `cache-aside` and `ttl`.
    ///
    /// # Panics
    ///
    /// Never: the text is part of the program, and tested.
    #[must_use]
    pub fn product_page() -> Self {
        Self::parse(DEFAULT).expect("the built-in scenario is valid")
    }

    /// The same comparison in about two minutes: shorter, and so with wider intervals.
    #[must_use]
    pub fn quick(mut self) -> Self {
        self.curve.warm_up_seconds = 5.0;
        self.curve.saturation_seconds = 2.0;
        self.curve.seconds = 2.0;
        self.curve.fractions = vec![0.5, 0.9];
        self.ratios = Rounds { rounds: 7, seconds: 1.0, draws: 10_000 };
        self
    }

    fn parse(text: &str) -> Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        scenario.validate()?;
        Ok(scenario)
    }

    fn validate(&self) -> Result<()> {
        let span = |name: &str, seconds: f64, least: f64| {
            ensure!((least..=3_600.0).contains(&seconds), "{name} must be from {least} to 3600");
            Ok(())
        };
        ensure!(self.data.products > 0, "data.products must be at least 1");
        let law = self.load.zipf_exponent;
        ensure!((0.0..=5.0).contains(&law), "load.zipf_exponent must be from 0 to 5");
        let connections = self.load.connections;
        ensure!((1..=4_096).contains(&connections), "load.connections must be from 1 to 4096");
        span("curve.warm_up_seconds", self.curve.warm_up_seconds, 0.0)?;
        span("curve.saturation_seconds", self.curve.saturation_seconds, 0.1)?;
        span("curve.seconds", self.curve.seconds, 0.1)?;
        let valid = self.curve.fractions.iter().all(|part| (0.01..=3.0).contains(part));
        ensure!(valid, "curve.fractions must each be from 0.01 to 3");
        ensure!(self.ratios.rounds > 0, "ratios.rounds must be at least 1");
        ensure!(self.ratios.draws > 0, "ratios.draws must be at least 1");
        span("ratios.seconds", self.ratios.seconds, 0.1)?;
        ensure!(!self.strategies.is_empty(), "strategies must name at least one");
        Ok(())
    }
}

/// `seconds` as a duration.
pub(crate) fn span(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_scenario_is_valid_and_faults_are_named() {
        let scenario = Scenario::product_page();
        assert_eq!(scenario.strategies[1], Contender::cache_aside());
        assert!(scenario.ratios.rounds >= 7 && scenario.quick().ratios.rounds >= 7);
        let faults = [
            ("view = \"product-page\"", "view = \"page\"", "product-summary"),
            ("seed = 7", "sede = 7", "sede"),
            ("connections = 64", "connections = 0", "load.connections must be from 1"),
            ("zipf_exponent = 1.0", "zipf_exponent = -1.0", "load.zipf_exponent must be"),
            ("[0.25,", "[0.0,", "curve.fractions must each"),
            ("rounds = 9", "rounds = 0", "ratios.rounds must be"),
            ("warm_up_seconds = 20", "warm_up_seconds = nan", "curve.warm_up_seconds must be"),
        ];
        for (right, wrong, expected) in faults {
            let text = DEFAULT.replace(right, wrong);
            assert_ne!(text, DEFAULT, "{right}");
            let message = format!("{:#}", Scenario::parse(&text).expect_err(wrong));
            assert!(message.contains(expected), "{message}");
        }
    }
}
