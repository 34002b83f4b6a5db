//! What is compared, under which load: a TOML file.

mod contender;
mod faults;
mod matrix;
mod products;
mod recorded;
mod workload;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use contender::Contender;
pub use faults::ScenarioError;
pub use matrix::{EventKind, Level, Matrix};
pub use products::Products;
pub use recorded::{Recorded, USUAL_DATA};
pub use workload::{Stream, Workload};

pub(crate) use self::faults::Fault;

/// What `larder-bench all` runs for the product page, and what with `--quick`.
const PRODUCT_PAGE: &str = include_str!("../../scenarios/product-page.toml");
const PRODUCT_PAGE_QUICK: &str = include_str!("../../scenarios/product-page-quick.toml");
/// The comparisons of `make bench` and `make bench-full`.
const QUICK: &str = include_str!("../../scenarios/quick.toml");
const FULL: &str = include_str!("../../scenarios/full.toml");

/// A comparison of strategies. Each of `curve`, `ratios` and `matrix` that is there is run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What is read.
    pub view: ReadView,
    /// Whether it is a quick look: too short for a claim.
    #[serde(default)]
    pub quick: bool,
    /// The catalogue.
    pub data: DataSet,
    /// The requests.
    pub load: LoadShape,
    /// What is asked for; curve and ratios use the first one's law.
    pub workloads: Vec<Workload>,
    /// Response time against throughput.
    pub curve: Option<Curve>,
    /// Ratios of throughputs.
    pub ratios: Option<Rounds>,
    /// Every strategy under every load.
    pub matrix: Option<Matrix>,
    /// What must hold in each run of the matrix.
    #[serde(default)]
    pub must: Must,
    /// What is compared; the first is the one to beat.
    pub strategies: Vec<Contender>,
    /// The recorded sequences of the workloads that have one, in their order.
    #[serde(skip)]
    pub recorded: Vec<Option<Arc<Recorded>>>,
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
    /// Where the generator starts.
    pub seed: u64,
    /// Connections of the generator, where users do not say how many.
    pub connections: usize,
}

/// Response time against throughput.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// Whether every page that is asked for is asked for once before: else the cache grows warmer from turn to
    /// turn, and repeats are not alike.
    #[serde(default)]
    pub fill: bool,
    /// Seconds before anything is measured.
    pub warm_up_seconds: f64,
    /// Seconds of the closed loop that finds the most a strategy can carry.
    pub saturation_seconds: f64,
    /// Seconds of each open loop.
    pub seconds: f64,
    /// Rates of the open loops, as parts of the most.
    pub fractions: Vec<f64>,
    /// How often each point is measured, in turn with those of all other strategies.
    pub repeats: u32,
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

/// What must hold in each run of a matrix, beside the counts of statements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Must {
    /// No request fails.
    #[serde(default)]
    pub no_errors: bool,
    /// But under these, each `strategy/tiers`, whose errors are shown all the same.
    #[serde(default)]
    pub except: Vec<String>,
    /// The processes hold no more connections to Postgres than their pools may.
    #[serde(default)]
    pub within_pool: bool,
}

impl Must {
    /// Whether errors under `contender` are shown and not held against it.
    #[must_use]
    pub fn may_fail(&self, contender: &Contender) -> bool {
        self.except.contains(&contender.name())
    }
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

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    ///
    /// When the file is not there, or a value cannot work; the message names file, line and what
    /// would be right, and the error is a [`ScenarioError`]. When a recorded sequence cannot be used:
    /// [`BadData`](crate::trace::BadData).
    pub fn read(file: &Path) -> Result<Self> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(|| name.clone())?;
        let mut scenario = Self::parse(&name, &text)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        for workload in &scenario.workloads {
            let recorded = recorded::open(workload, folder, &name, &text)?;
            scenario.recorded.push(recorded.map(Arc::new));
        }
        Ok(scenario)
    }

    /// How many products the recorded sequences ask for.
    #[must_use]
    pub fn least_products(&self) -> u32 {
        self.recorded.iter().flatten().map(|recorded| recorded.distinct()).max().unwrap_or(1)
    }

    /// The product page: response time against throughput, and ratios; a quick look, or enough for claims.
    ///
    /// # Panics
    ///
    /// Never: the text is part of the program, and tested.
    #[must_use]
    pub fn product_page(quick: bool) -> Self {
        let (name, text) = if quick {
            ("product-page-quick.toml", PRODUCT_PAGE_QUICK)
        } else {
            ("product-page.toml", PRODUCT_PAGE)
        };
        Self::parse(name, text).expect("the built-in scenario is valid")
    }

    /// Every strategy: a quick look, or enough for claims.
    ///
    /// # Panics
    ///
    /// Never: the text is part of the program, and tested.
    #[must_use]
    pub fn strategies(quick: bool) -> Self {
        let (name, text) = if quick { ("quick.toml", QUICK) } else { ("full.toml", FULL) };
        Self::parse(name, text).expect("the built-in scenario is valid")
    }

    fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self =
            toml::from_str(text).map_err(|error| ScenarioError::syntax(file, text, &error))?;
        scenario.validate().map_err(|fault| ScenarioError::value(file, text, &fault))?;
        Ok(scenario)
    }

    fn validate(&self) -> Result<(), Fault> {
        let need = |holds: bool, place: &str, must: &str| {
            if holds {
                return Ok(());
            }
            Err(Fault { place: place.to_owned(), must: must.to_owned() })
        };
        let span = |place: &str, seconds: f64, least: f64| {
            let must = format!("must be from {least} to 3600");
            need((least..=3_600.0).contains(&seconds), place, &must)
        };
        need(self.data.products > 0, "data.products", "must be at least 1")?;
        let connections = self.load.connections;
        need((1..=4_096).contains(&connections), "load.connections", "must be from 1 to 4096")?;
        need(!self.workloads.is_empty(), "workloads", "must name at least one")?;
        need(!self.strategies.is_empty(), "strategies", "must name at least one")?;
        if let Some(curve) = &self.curve {
            span("curve.warm_up_seconds", curve.warm_up_seconds, 0.0)?;
            span("curve.saturation_seconds", curve.saturation_seconds, 0.1)?;
            span("curve.seconds", curve.seconds, 0.1)?;
            let valid = curve.fractions.iter().all(|part| (0.01..=3.0).contains(part));
            need(valid, "curve.fractions", "must each be from 0.01 to 3")?;
            let valid = (1..=100).contains(&curve.repeats);
            need(valid, "curve.repeats", "must be from 1 to 100 (6 or more for a claim)")?;
        }
        if let Some(ratios) = &self.ratios {
            need(ratios.rounds > 0, "ratios.rounds", "must be at least 1")?;
            need(ratios.draws > 0, "ratios.draws", "must be at least 1")?;
            span("ratios.seconds", ratios.seconds, 0.1)?;
        }
        if let Some(matrix) = &self.matrix {
            matrix.validate(self.workloads.iter().all(|one| one.pace().is_some()))?;
            let waits = self.strategies.iter().any(|one| one.strategy == "write-behind");
            let must = "cannot be with write-behind, which still applies writes while it stops";
            need(matrix.events.is_empty() || !waits, "matrix.events", must)?;
        }
        let parts = self.curve.is_some() || self.ratios.is_some() || self.matrix.is_some();
        need(parts, "matrix", "must be there, or curve, or ratios: there is nothing to run")?;
        let recorded = self.workloads.first().is_some_and(|first| first.pace().is_some());
        let must = "must begin with one that has a law of popularity, for curve and ratios";
        need(!recorded || (self.curve.is_none() && self.ratios.is_none()), "workloads", must)?;
        self.workloads.iter().try_for_each(Workload::validate)?;
        self.strategies.iter().try_for_each(Contender::validate)?;
        // What results call a cell must be the name of one alone.
        let name = |one: &Workload| match one.pace() {
            Some(pace) => format!("{}, {}", one.label(), pace.label()),
            None => one.label(),
        };
        let names: Vec<String> = self.workloads.iter().map(name).collect();
        if let Some(name) = matrix::repeated(&names) {
            let must = format!("must differ in what results call them: {name} is there twice");
            need(false, "workloads.requests", &must)?;
        }
        let names: Vec<String> = self.strategies.iter().map(Contender::name).collect();
        if let Some(other) = self.must.except.iter().find(|name| !names.contains(name)) {
            let must = format!("must each be one of {}, not {other:?}", names.join(", "));
            need(false, "must.except", &must)?;
        }
        let again = |(n, one): &(usize, &Contender)| {
            self.strategies[*n..].iter().any(|other| other.is_called_as(one))
        };
        let twice = (1..).zip(&self.strategies).find(again);
        let must = "must differ from each other in strategy, tiers, ttl_ms or l1_ttl_ms";
        need(twice.is_none(), "strategies.strategy", must)?;
        let named = self.strategies.iter().filter(|one| one.headline).count();
        let must = "must be true of one strategy at the most: a verdict is about one";
        need(named <= 1, "strategies.headline", must)?;
        let must = "must not be true of the first strategy, which is the one to beat";
        need(!self.strategies[0].headline, "strategies.headline", must)
    }
}

/// `seconds` as a duration.
pub(crate) fn span(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests;
