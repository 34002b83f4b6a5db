//! The guide's requests: the same in every step.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::scenario::Guide;
use crate::bed::pages_that_show;
use crate::load::{Request, poisson};
use crate::measure::Dependents;
use crate::scenario::{Products, ReadView, Workload};
use crate::workload::Spec;

/// What is asked for: pages.
const VIEW: ReadView = ReadView::ProductPage;

/// What requests are made from, and what they change.
pub(super) struct Ground {
    products: Products,
    pub(super) dependents: Dependents,
}

/// The two loads of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Calm,
    Outage,
}

/// When to send what.
pub(super) struct Schedule {
    pub(super) due: Vec<Duration>,
    pub(super) requests: Vec<Request>,
}

impl Ground {
    pub(super) async fn of(admin_url: &str, guide: &Guide) -> Result<Self> {
        let products = Products::read(admin_url).await?;
        let (has, needs) = (products.by_rank.len(), guide.data.products as usize);
        ensure!(has >= needs, "the catalogue has {has} products, not {needs}: use --stack own");
        Ok(Self { products, dependents: pages_that_show(admin_url).await? })
    }

    /// Each product that is asked for again and again, once.
    pub(super) fn each(&self, guide: &Guide) -> Vec<Request> {
        let popular = &self.products.by_rank[..guide.traffic.products as usize];
        popular.iter().map(|id| Request::get(VIEW.path(*id)).about(*id)).collect()
    }

    /// The requests of a part of a step.
    pub(super) fn schedule(&self, guide: &Guide, part: Part) -> Result<Schedule> {
        let traffic = &guide.traffic;
        let (seconds, stream) = match part {
            Part::Calm => (guide.run.calm_seconds, 0),
            Part::Outage => (guide.run.outage_seconds, 1),
        };
        let length = Duration::from_secs_f64(seconds);
        let popular = Workload {
            requests: Spec::Zipf { exponent: traffic.exponent, updates: traffic.updates },
            products: Some(traffic.products),
            least_efficiency: None,
        };
        let mut popular = popular.requests(VIEW, traffic.seed, &self.products)?.worker(stream);
        let due = poisson(traffic.rate, length, traffic.seed ^ stream);
        let mut all: Vec<(Duration, Request)> =
            due.into_iter().map(|at| (at, popular.next_request())).collect();
        // Products that are not among the popular ones, others in each part.
        let first = match part {
            Part::Calm => traffic.products,
            Part::Outage => traffic.products + guide.crowds_in(guide.run.calm_seconds),
        } as usize;
        let every = Duration::from_millis(traffic.crowds.every_ms);
        for number in 0..guide.crowds_in(seconds) {
            let at = every * number + every / 2;
            let id = self.products.by_rank[first + number as usize];
            let crowd = (0..traffic.crowds.requests).map(|_| Request::get(VIEW.path(id)).about(id));
            all.extend(crowd.map(|request| (at, request)));
        }
        all.sort_by_key(|(at, _)| *at);
        let (due, requests) = all.into_iter().unzip();
        Ok(Schedule { due, requests })
    }
}
