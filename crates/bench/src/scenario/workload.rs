//! What is asked for: a kind of workload, as requests to the catalogue's API.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use anyhow::Result;
use catalog_domain::{Cursor, MAX_LIMIT, ProductId};
use serde::Deserialize;
use serde_json::json;

use super::faults::Fault;
use super::{Products, ReadView};
use crate::bed::MADE;
use crate::load::Request;
use crate::workload::{self, Operation, Pace, Spec, Ycsb};

/// How many times as fast as it was recorded a sequence may be sent …
const SCALES: RangeInclusive<f64> = 1e-3..=1e6;
/// … and how many requests of it a second: no slower than what ends some day.
const RATES: RangeInclusive<f64> = 1e-2..=1e6;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Which products, and what is done with them.
    pub requests: Spec,
    /// Only the so many most popular products; none: all.
    #[serde(default)]
    pub products: Option<u32>,
    /// The query efficiency that cached strategies must reach, if there is one.
    #[serde(default)]
    pub least_efficiency: Option<f64>,
}

/// A stream of requests: the same for the same seed and number.
#[derive(Debug)]
pub struct Stream {
    operations: workload::Workload,
    products: Products,
    view: ReadView,
    /// Distinguishes the names of what two streams create.
    number: u64,
    written: u32,
    /// Products from this id on may not be there yet.
    next_id: u32,
    /// An operation can be several requests.
    waiting: VecDeque<Request>,
}

impl Workload {
    /// For people.
    #[must_use]
    pub fn label(&self) -> String {
        match self.products {
            None => self.kind(),
            Some(products) => format!("{} over {products} products", self.kind()),
        }
    }

    fn kind(&self) -> String {
        let with_updates = |kind: String, updates: f64| match updates {
            0.0 => kind,
            updates => format!("{kind}, {:.0} % writes", updates * 100.0),
        };
        match &self.requests {
            Spec::Uniform { updates } => with_updates("uniform".to_owned(), *updates),
            Spec::Zipf { exponent, updates } => with_updates(format!("Zipf {exponent}"), *updates),
            Spec::HotKeyStorm { share, updates, .. } => {
                let kind = format!("a hot key with {:.0} %", share * 100.0);
                with_updates(kind, *updates)
            }
            Spec::Scan {} => "a crawler".to_owned(),
            Spec::Ycsb { workload } => format!("YCSB {workload:?}"),
            Spec::Twitter { cluster } => format!("as Twitter's {cluster}"),
            Spec::Trace { file, .. } => {
                let name = file.file_name().unwrap_or(file.as_os_str());
                format!("replay of {}", name.to_string_lossy())
            }
        }
    }

    /// The exponent of the law of popularity; 0: all alike.
    #[must_use]
    pub fn exponent(&self) -> f64 {
        match &self.requests {
            Spec::Zipf { exponent, .. } | Spec::HotKeyStorm { exponent, .. } => *exponent,
            Spec::Uniform { .. } | Spec::Scan {} | Spec::Trace { .. } => 0.0,
            Spec::Ycsb { .. } => workload::YCSB_EXPONENT,
            Spec::Twitter { cluster } => {
                workload::Preset::of(cluster).map_or(0.0, |preset| preset.zipf_exponent)
            }
        }
    }

    /// Requests of `view` for `products`, drawn from `seed`; streams of them begin with
    /// [`worker`](Stream::worker).
    ///
    /// # Errors
    ///
    /// When there are no products.
    pub fn requests(&self, view: ReadView, seed: u64, products: &Products) -> Result<Stream> {
        let (by_rank, next_id) = (self.asked_for(products).into(), products.next_id);
        let operations = workload::Workload::new(&self.requests, by_rank, seed)?;
        Ok(Stream {
            operations: operations.creating_from(next_id),
            products: products.clone(),
            view,
            number: 0,
            written: 0,
            next_id,
            waiting: VecDeque::new(),
        })
    }

    /// When its steps are due, if it is a recorded sequence.
    #[must_use]
    pub const fn pace(&self) -> Option<Pace> {
        match &self.requests {
            Spec::Trace { pace, .. } => Some(*pace),
            _ => None,
        }
    }

    /// The products that are asked for, the most popular first.
    #[must_use]
    pub fn asked_for<'a>(&self, products: &'a Products) -> &'a [u32] {
        let all = &products.by_rank;
        let most = self.products.map_or(all.len(), |most| all.len().min(most as usize));
        &all[..most]
    }

    /// Those of them that a warm cache holds: all but what a storm makes hot, which nobody has asked for
    /// before.
    #[must_use]
    pub fn warm<'a>(&self, products: &'a Products) -> &'a [u32] {
        let all = self.asked_for(products);
        match &self.requests {
            Spec::HotKeyStorm { .. } => &all[..workload::before_a_storm(all.len())],
            _ => all,
        }
    }

    /// Whether it makes new products.
    #[must_use]
    pub const fn creates(&self) -> bool {
        matches!(&self.requests, Spec::Ycsb { workload: Ycsb::D | Ycsb::E })
    }

    /// Whether it lists products: no tier keeps lists, and so there is no floor of their loads.
    #[must_use]
    pub const fn lists(&self) -> bool {
        matches!(&self.requests, Spec::Ycsb { workload: Ycsb::E })
    }

    /// Whether it changes what is cached.
    #[must_use]
    pub fn writes(&self) -> bool {
        match &self.requests {
            Spec::Uniform { updates }
            | Spec::Zipf { updates, .. }
            | Spec::HotKeyStorm { updates, .. } => *updates > 0.0,
            Spec::Scan {} | Spec::Ycsb { workload: Ycsb::C } => false,
            // Not known of a recorded sequence.
            Spec::Ycsb { .. } | Spec::Twitter { .. } | Spec::Trace { .. } => true,
        }
    }

    pub(super) fn validate(&self) -> Result<(), Fault> {
        let fault =
            |key: &str, must: String| Err(Fault { place: format!("workloads.{key}"), must });
        if let Some(pace) = self.pace() {
            return match pace {
                Pace::Scale(scale) if !SCALES.contains(&scale) => {
                    fault("requests", outside("scale", &SCALES, "times as fast as recorded", scale))
                }
                Pace::Rate(rate) if !RATES.contains(&rate) => {
                    fault("requests", outside("rate", &RATES, "requests a second", rate))
                }
                _ if self.products.is_some() => {
                    fault("products", "is not for a trace: it asks for what it asks for".to_owned())
                }
                _ => Ok(()),
            };
        }
        // Any product shows whether the specification can work.
        if let Err(error) = workload::Workload::new(&self.requests, [1].into(), 0) {
            return fault("requests", format!("cannot be: {error:#}"));
        }
        if self.products == Some(0) {
            return fault("products", "must be at least 1".to_owned());
        }
        if self.least_efficiency.is_some_and(|least| !(0.0..=1.0).contains(&least)) {
            return fault("least_efficiency", "must be from 0 to 1".to_owned());
        }
        Ok(())
    }
}

fn outside(name: &str, range: &RangeInclusive<f64>, of: &str, value: f64) -> String {
    let (least, most) = (range.start(), range.end());
    format!("pace: {name} must be from {least} to {most} {of}, not {value:?}")
}

impl Stream {
    /// The same before a storm breaks: see [`workload::Workload::calm`].
    #[must_use]
    pub fn calm(self) -> Self {
        Self { operations: self.operations.calm(), ..self }
    }

    /// Stream `number` of the same requests.
    #[must_use]
    pub fn worker(&self, number: u64) -> Self {
        Self {
            operations: self.operations.worker(number),
            products: self.products.clone(),
            waiting: VecDeque::new(),
            number,
            ..*self
        }
    }

    /// The next request.
    ///
    /// # Panics
    ///
    /// Never: a workload is endless.
    pub fn next_request(&mut self) -> Request {
        if let Some(request) = self.waiting.pop_front() {
            return request;
        }
        match self.operations.next().expect("a workload is endless") {
            Operation::Read(id) => self.read(id),
            Operation::Update(id) => self.update(id),
            Operation::Insert(_) => self.create(),
            Operation::Scan { from, count } => self.list(from, count),
            Operation::ReadModifyWrite(id) => {
                let update = self.update(id);
                self.waiting.push_back(update);
                self.read(id)
            }
        }
    }

    /// The next `count` requests.
    #[must_use]
    pub fn take(&mut self, count: usize) -> Vec<Request> {
        (0..count).map(|_| self.next_request()).collect()
    }

    fn read(&self, id: u32) -> Request {
        let request = Request::get(self.view.path(id)).about(id);
        // What another stream is just making has another id until it is there.
        if id >= self.next_id { request.perhaps_missing() } else { request }
    }

    fn update(&mut self, id: u32) -> Request {
        self.written += 1;
        let request = new_price(id, self.written);
        if id >= self.next_id { request.perhaps_missing() } else { request }
    }

    /// A new product. Its stock-keeping unit is another one in every run.
    fn create(&self) -> Request {
        let sku = format!("{MADE}{:X}-{:016X}", self.number, rand::random::<u64>());
        let body = json!({
            "sku": sku,
            "name": "A new product",
            "description": "Made by a benchmark.",
            "category": &*self.products.category,
            "price": { "minor": 1_999, "currency": "EUR" },
            "variants": [{ "sku": format!("{sku}-1"), "name": "one", "stock": 5 }],
        });
        Request::post("/products", body.to_string())
    }

    /// Products of a category from an id on.
    fn list(&self, from: u32, count: u32) -> Request {
        let limit = count.clamp(1, u32::from(MAX_LIMIT));
        let mut path = format!("/categories/{}/products?limit={limit}", self.products.category);
        if let Ok(before) = ProductId::try_from(i64::from(from) - 1) {
            path += &format!("&cursor={}", Cursor::after(before).encode());
        }
        Request::get(path)
    }
}

/// Change number `number` of a price: another one each time, for what is the same is no change.
pub(super) fn new_price(id: u32, number: u32) -> Request {
    let minor = 1_000 + (u64::from(number) * 7_919 + u64::from(id)) % 90_000;
    let body = json!({ "price": { "minor": minor, "currency": "EUR" } }).to_string();
    Request::patch(format!("/products/{id}"), body).about(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(requests: Spec, number: u64) -> Stream {
        let workload = Workload { requests, products: None, least_efficiency: None };
        let products =
            Products { by_rank: (1..=1_000).collect(), category: "kitchen".into(), next_id: 1_001 };
        let all = workload.requests(ReadView::ProductPage, 7, &products).expect("it can work");
        all.worker(number)
    }

    #[test]
    fn a_stream_is_the_same_for_the_same_seed_and_has_its_part_of_writes() {
        let shown = |number: u64| -> Vec<(String, bool, u32)> {
            let spec = Spec::Zipf { exponent: 1.0, updates: 0.05 };
            let requests = stream(spec, number).take(10_000);
            requests.into_iter().map(|r| (r.path.clone(), r.writes(), r.key)).collect()
        };
        let requests = shown(3);
        assert_eq!(requests, shown(3));
        assert_ne!(requests, shown(4));
        let writes = requests.iter().filter(|request| request.1).count();
        // Standard deviation: 22.
        assert!((410..590).contains(&writes), "{writes}");
        assert!(requests.iter().all(|(path, _, key)| *path == format!("/products/{key}")));
    }

    #[test]
    fn what_a_storm_will_ask_for_is_not_filled_in_before() {
        let workload = |requests| Workload { requests, products: None, least_efficiency: None };
        let products =
            Products { by_rank: (1..=100).collect(), category: "kitchen".into(), next_id: 101 };
        let storm = Spec::HotKeyStorm { exponent: 1.0, share: 0.5, every: 10, updates: 0.0 };
        assert_eq!(workload(storm).warm(&products), (1..=90).collect::<Vec<_>>());
        let scan = workload(Spec::Scan {});
        assert_eq!(scan.warm(&products).len(), 100);
        assert!(!scan.writes() && !scan.creates() && !scan.lists());
    }

    #[test]
    fn every_operation_of_ycsb_is_a_request() {
        let ask = |workload: Ycsb| stream(Spec::Ycsb { workload }, 0).take(1_000);
        let scans = ask(Ycsb::E);
        let listed = scans.iter().filter(|request| request.path.contains("?limit=")).count();
        let made = scans.iter().filter(|request| request.method == hyper::Method::POST).count();
        assert!(listed > 900 && made > 20 && listed + made >= 999, "{listed} {made}");
        // Who changes has read the same just before.
        let changes = ask(Ycsb::F);
        let pairs = changes.windows(2).filter(|pair| pair[1].writes());
        assert!(pairs.clone().count() > 250);
        assert!(pairs.into_iter().all(|pair| pair[0].key == pair[1].key && !pair[0].writes()));
    }
}
