//! Several API processes that share one database and one cache environment.

use std::time::Duration;

use anyhow::Result;

use super::{Api, ApiSettings, Bed};
use crate::load::{Spread, Targets};

/// How long a process that is asked no more may take for what is under way.
const DRAIN: Duration = Duration::from_millis(500);

/// The replicas of a service.
#[derive(Debug)]
pub struct Replicas {
    apis: Vec<Api>,
    settings: ApiSettings,
    environment: String,
    targets: Targets,
}

impl Replicas {
    /// Starts `count` processes as `settings` say, with a cache environment of their own.
    ///
    /// # Errors
    ///
    /// When one does not start.
    pub async fn start(
        bed: &Bed,
        settings: ApiSettings,
        count: u32,
        spread: Spread,
    ) -> Result<Self> {
        let environment = bed.new_name();
        let settings = ApiSettings { environment: Some(environment.clone()), ..settings };
        let mut apis = Vec::new();
        for _ in 0..count {
            apis.push(Api::start(bed, settings.clone()).await?);
        }
        let targets = Targets::new(apis.iter().map(Api::address).collect(), spread);
        Ok(Self { apis, settings, environment, targets })
    }

    /// The processes.
    #[must_use]
    pub fn apis(&self) -> &[Api] {
        &self.apis
    }

    /// The first part of their cache keys.
    #[must_use]
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// Whom to ask.
    #[must_use]
    pub fn targets(&self) -> Targets {
        self.targets.clone()
    }

    /// Starts one more process with the same settings, which nobody asks yet.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start_another(&self, bed: &Bed) -> Result<Api> {
        Api::start(bed, self.settings.clone()).await
    }

    /// Lets `new` take the place of process `index`, as a rolling deployment does: requests go to
    /// it, and the old one ends what is under way. The old one is handed back, still running, so
    /// that its counts can be read.
    ///
    /// # Panics
    ///
    /// When there is no such process.
    pub async fn replace(&mut self, index: usize, new: Api) -> Api {
        self.targets.replace(self.apis[index].address(), new.address());
        let old = std::mem::replace(&mut self.apis[index], new);
        tokio::time::sleep(DRAIN).await;
        old
    }

    /// Ends all processes as their supervisor would, so that nothing is left to be written.
    pub async fn stop(self) {
        for api in self.apis {
            api.stop().await;
        }
    }
}
