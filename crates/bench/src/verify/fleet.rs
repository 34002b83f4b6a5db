//! What is verified: API processes that share one database and one cache environment.

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::Result;

use super::audit;
use crate::bed::{Api, ApiSettings, Bed};

/// Lives of entries, in milliseconds: far longer than a run. What is seen in time is seen
/// because somebody was told, not because an entry expired.
const TTL_MS: u64 = 3_600_000;
/// Refresh-ahead has to refresh within a run; still far longer than the bound.
const REFRESHED_TTL_MS: u64 = 10_000;

/// How many of what, and how they are configured.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) strategy: String,
    pub(super) tiers: String,
    pub(super) processes: u8,
    pub(super) products: u32,
    pub(super) reviews: u32,
    /// Nodes of the Redis Cluster of each region; none: that of the bed.
    pub(super) regions: Vec<Option<String>>,
    /// A fault to build into the feed, by its name.
    pub(super) sabotage: Option<String>,
}

/// The processes, and their database.
#[derive(Debug)]
pub(super) struct Fleet {
    apis: Vec<Api>,
    /// The region of each process.
    pub(super) regions: Vec<u8>,
    pub(super) admin_url: String,
}

impl Fleet {
    /// Makes and fills a database with the record of all steps in it, and starts the processes.
    pub(super) async fn start(bed: &Bed, setup: &Setup) -> Result<Self> {
        let admin_url = bed.database().await?;
        bed.administer(&admin_url, &["migrate"])?;
        let (products, reviews) = (setup.products.to_string(), setup.reviews.to_string());
        let seed = ["seed", "--products", &products, "--reviews", &reviews];
        bed.administer(&admin_url, &seed)?;
        audit::install(&admin_url).await?;
        let environment = bed.new_name();
        let mut fleet = Self { apis: Vec::new(), regions: Vec::new(), admin_url };
        for process in 0..setup.processes {
            let region = process % u8::try_from(setup.regions.len()).unwrap_or(1);
            let refreshed = setup.strategy == "refresh-ahead";
            let settings = ApiSettings {
                strategy: setup.strategy.clone(),
                tiers: setup.tiers.clone(),
                ttl_ms: if refreshed { REFRESHED_TTL_MS } else { TTL_MS },
                l1_ttl_ms: TTL_MS,
                admin_url: fleet.admin_url.clone(),
                environment: Some(environment.clone()),
                redis_nodes: setup.regions[usize::from(region)].clone(),
                connections: 0,
                more: feed_settings(setup, region),
            };
            fleet.apis.push(Api::start(bed, settings).await?);
            fleet.regions.push(region);
        }
        Ok(fleet)
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.apis.iter().map(Api::address).collect()
    }

    /// The number of each process, by its database role.
    pub(super) fn roles(&self) -> HashMap<String, u8> {
        (0..).zip(&self.apis).map(|(number, api)| (api.role().to_owned(), number)).collect()
    }
}

/// What a process needs to take part in the change feed of its region.
fn feed_settings(setup: &Setup, region: u8) -> Vec<(String, String)> {
    let region = if region == 0 { "main" } else { "second" };
    let mut settings = vec![("LARDER__FEED__REGION".to_owned(), region.to_owned())];
    if let Some(name) = &setup.sabotage {
        settings.push(("LARDER_SABOTAGE".to_owned(), name.clone()));
    }
    settings
}
