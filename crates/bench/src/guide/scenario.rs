//! The guide's scenario file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::figures::Watched;
use crate::scenario::{DataSet, Fault, ScenarioError};

/// Settings of a namespace of `larder.toml`, by their keys.
pub type Settings = BTreeMap<String, toml::Value>;

/// What the guide does, and what it says beside the figures.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guide {
    /// The document's title.
    pub title: String,
    /// What is said before all steps.
    pub introduction: String,
    /// What is said after them.
    pub conclusion: String,
    /// The catalogue.
    pub data: DataSet,
    /// What is asked for, the same in every step.
    pub traffic: Traffic,
    /// How each step runs.
    pub run: Run,
    /// The settings of both namespaces before the first step.
    pub settings: Settings,
    /// One after the other; each changes what the ones before have left.
    pub steps: Vec<Step>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Where the draws start.
    pub seed: u64,
    /// Connections of the generator to each process.
    pub connections: usize,
    /// Requests a second, crowds apart.
    pub rate: f64,
    /// The so many most popular products are asked for …
    pub products: u32,
    /// … by a Zipf law of this exponent.
    pub exponent: f64,
    /// The part of the requests that change a price.
    pub updates: f64,
    /// Many who ask for one product at one moment.
    pub crowds: Crowds,
}

/// Many who ask for one product, which nobody has asked for before, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crowds {
    /// How often.
    pub every_ms: u64,
    /// How many.
    pub requests: u32,
}

/// How each step runs.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// API processes.
    pub replicas: u32,
    /// What a round trip to Postgres takes, as if it were elsewhere.
    pub db_latency_ms: f64,
    /// The part of the cache's answers whose age is found out.
    pub sample: f64,
    /// Seconds with everything up, just after all products were asked for once.
    pub calm_seconds: f64,
    /// Seconds with an outage of Postgres in them …
    pub outage_seconds: f64,
    /// … which begins then …
    pub cut_after_seconds: f64,
    /// … and lasts so long.
    pub cut_seconds: f64,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// The settings that it changes.
    pub set: Settings,
    /// The figures that it is for.
    pub watch: Vec<Watched>,
    /// What it does.
    pub text: String,
}

impl Guide {
    /// Reads a scenario.
    ///
    /// # Errors
    ///
    /// As [`Scenario::read`](crate::scenario::Scenario::read).
    pub fn read(file: &Path) -> Result<Self> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(|| name.clone())?;
        let guide: Self =
            toml::from_str(&text).map_err(|error| ScenarioError::syntax(&name, &text, &error))?;
        guide.validate().map_err(|fault| ScenarioError::value(&name, &text, &fault))?;
        Ok(guide)
    }

    /// The settings of each step, with what the ones before it have left.
    #[must_use]
    pub fn settings(&self) -> Vec<Settings> {
        let mut settings = self.settings.clone();
        let after = self.steps.iter().map(|step| {
            settings.extend(step.set.clone());
            settings.clone()
        });
        after.collect()
    }

    fn validate(&self) -> Result<(), Fault> {
        let need = |holds: bool, place: &str, must: &str| match holds {
            true => Ok(()),
            false => Err(Fault { place: place.to_owned(), must: must.to_owned() }),
        };
        let Traffic { connections, rate, exponent, updates, crowds, .. } = self.traffic;
        let Run { replicas, db_latency_ms, sample, calm_seconds, outage_seconds, .. } = self.run;
        need(self.data.products > 0, "data.products", "must be at least 1")?;
        need((1..=4_096).contains(&connections), "traffic.connections", "must be from 1 to 4096")?;
        need((1.0..=1e5).contains(&rate), "traffic.rate", "must be from 1 to 100000")?;
        let products = (1..=self.data.products).contains(&self.traffic.products);
        need(products, "traffic.products", "must be from 1 to data.products")?;
        need((0.0..=5.0).contains(&exponent), "traffic.exponent", "must be from 0 to 5")?;
        need((0.0..=1.0).contains(&updates), "traffic.updates", "must be from 0 to 1")?;
        need(crowds.every_ms > 0, "traffic.crowds", "must have every_ms of at least 1")?;
        need((1..=4).contains(&replicas), "run.replicas", "must be from 1 to 4")?;
        let latency = (0.1..=1_000.0).contains(&db_latency_ms);
        need(latency, "run.db_latency_ms", "must be from 0.1 to 1000")?;
        need((0.0..=1.0).contains(&sample), "run.sample", "must be from 0 to 1")?;
        need((1.0..=600.0).contains(&calm_seconds), "run.calm_seconds", "must be from 1 to 600")?;
        let outage = (1.0..=600.0).contains(&outage_seconds);
        need(outage, "run.outage_seconds", "must be from 1 to 600")?;
        let (after, cut) = (self.run.cut_after_seconds, self.run.cut_seconds);
        let within = after >= 0.0 && cut > 0.0 && after + cut <= outage_seconds;
        let must = "must be above 0, and end within run.outage_seconds after run.cut_after_seconds";
        need(within, "run.cut_seconds", must)?;
        for crowds in [self.crowds_in(calm_seconds), self.crowds_in(outage_seconds)] {
            let left = self.data.products - self.traffic.products;
            let must = "is too small: each crowd wants a product that nobody has asked for";
            need(crowds <= left / 2, "data.products", must)?;
        }
        need(!self.steps.is_empty(), "steps", "must name at least one")?;
        let mut names: Vec<&str> = self.steps.iter().map(|step| step.name.as_str()).collect();
        names.sort_unstable();
        need(names.windows(2).all(|two| two[0] != two[1]), "steps", "must have different names")?;
        for settings in self.settings() {
            let has =
                |key: &str, what: fn(&toml::Value) -> bool| settings.get(key).is_some_and(what);
            need(has("strategy", toml::Value::is_str), "settings.strategy", "must be a name")?;
            need(has("tiers", toml::Value::is_str), "settings.tiers", "must be a name")?;
            let ttl = settings.get("ttl_ms").and_then(toml::Value::as_integer);
            let must = "must be a number of milliseconds above 0";
            need(ttl.is_some_and(|ttl| ttl > 0), "settings.ttl_ms", must)?;
        }
        Ok(())
    }

    /// How many crowds come within `seconds`.
    pub(super) fn crowds_in(&self, seconds: f64) -> u32 {
        (seconds * 1e3 / self.traffic.crowds.every_ms as f64) as u32
    }
}

/// How long an entry is fresh.
pub(super) fn ttl(settings: &Settings) -> Duration {
    let ttl = settings.get("ttl_ms").and_then(toml::Value::as_integer).unwrap_or(0);
    Duration::from_millis(ttl.unsigned_abs())
}

/// A setting that is a word; empty where there is none.
pub(super) fn word<'a>(settings: &'a Settings, key: &str) -> &'a str {
    settings.get(key).and_then(toml::Value::as_str).unwrap_or_default()
}

/// A setting that is a number, or `default`.
pub(super) fn number(settings: &Settings, key: &str, default: f64) -> f64 {
    match settings.get(key) {
        Some(toml::Value::Float(number)) => *number,
        Some(toml::Value::Integer(number)) => *number as f64,
        _ => default,
    }
}
