//! The clients of one product: many that count at the same time, one that sets a stock, one that
//! sets the price, and one that reads. They stop at the first write whose outcome they do not know.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::Response;
use serde::Deserialize;
use tokio::time::sleep;

use super::check::counted;
use super::fleet::{counted_sku, set_sku};
use super::load::Shared;
use super::record::{BASE, Found, Outcome, Record, Sent, WAVE, WHOLE};
use super::sender::{Ports, Sender};
use crate::load::Request;
use crate::scenario::ReadView;
use crate::verify::history::Version;
use crate::verify::reader::{MIN_VERSION, version, version_of};

/// How long the reader waits between two reads.
const BETWEEN_READS: Duration = Duration::from_millis(2);

/// The clients of one product at a time.
#[derive(Debug)]
pub(super) struct Crew {
    wave: Vec<Sender>,
    stock: Sender,
    price: Sender,
    reader: Sender,
}

/// What the clients of a product know together.
struct Scene<'a> {
    shared: &'a Shared,
    product: u32,
    over: AtomicBool,
    page: Mutex<Known>,
    summary: Mutex<Known>,
}

/// What was acknowledged or seen of a view: who names its version is not to see less.
#[derive(Clone, Copy, Debug)]
struct Known {
    version: Version,
    stock: i64,
    price: i64,
}

/// What a view shows.
#[derive(Deserialize)]
struct Body {
    price: Price,
    #[serde(default)]
    variants: Vec<Variant>,
}

#[derive(Deserialize)]
struct Price {
    minor: i64,
}

#[derive(Deserialize)]
struct Variant {
    sku: String,
    stock: i64,
}

impl Crew {
    pub(super) fn new(ports: &Ports, seed: u64, number: u64) -> Self {
        let each = u64::from(WAVE) + 3;
        let sender = |place: u64| Sender::new(ports, seed, number * each + place);
        Self {
            wave: (3..each).map(sender).collect(),
            stock: sender(0),
            price: sender(1),
            reader: sender(2),
        }
    }

    /// Writes and reads `product` until the load ends, or something becomes unknown.
    pub(super) async fn work(&mut self, shared: &Shared, product: u32) -> Record {
        let scene = Scene {
            shared,
            product,
            over: AtomicBool::new(false),
            page: Mutex::new(Known::default()),
            summary: Mutex::new(Known::default()),
        };
        let sku = set_sku(product);
        let (deltas, stocks, prices, ()) = tokio::join!(
            scene.count(&mut self.wave),
            scene.ascend(&mut self.stock, Found::FIRST.stock, Known::of_stock, |stock| {
                format!(r#"{{"stock": [{{"sku": "{sku}", "stock": {stock}}}]}}"#)
            }),
            scene.ascend(&mut self.price, Found::FIRST.price, Known::of_price, |price| {
                format!(r#"{{"price": {{"minor": {price}, "currency": "EUR"}}}}"#)
            }),
            scene.watch(&mut self.reader),
        );
        Record { product, deltas, stocks, prices }
    }
}

impl Default for Known {
    fn default() -> Self {
        let Found { stock, price, .. } = Found::FIRST;
        Self { version: Version { epoch: 0, counter: 0 }, stock, price }
    }
}

impl Known {
    fn of_stock(stock: i64) -> Self {
        Self { stock, ..Self::default() }
    }

    fn of_price(price: i64) -> Self {
        Self { price, ..Self::default() }
    }

    fn learn(&mut self, other: Self) {
        self.version = self.version.max(other.version);
        self.stock = self.stock.max(other.stock);
        self.price = self.price.max(other.price);
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scene<'_> {
    fn goes_on(&self) -> bool {
        !self.shared.is_over() && !self.over.load(Ordering::Relaxed)
    }

    fn known(&self, view: ReadView) -> &Mutex<Known> {
        match view {
            ReadView::ProductPage => &self.page,
            ReadView::ProductSummary => &self.summary,
        }
    }

    /// One write; `None`: it was not sent. `made` is what will be seen of it.
    async fn write(
        &self,
        sender: &mut Sender,
        value: i64,
        made: Known,
        body: String,
    ) -> Option<Sent> {
        let request = Request::patch(format!("/products/{}", self.product), body);
        let answer = sender.write(self.shared, &request).await?;
        if !matches!(answer.outcome, Outcome::Acknowledged(_)) {
            self.over.store(true, Ordering::Relaxed);
        }
        for view in [ReadView::ProductPage, ReadView::ProductSummary] {
            if let Some(version) = version_of(&answer.versions, view.namespace()) {
                lock(self.known(view)).learn(Known { version, ..made });
            }
        }
        Some(Sent { value, outcome: answer.outcome })
    }

    async fn add(&self, sender: &mut Sender, delta: i64) -> Option<Sent> {
        let sku = counted_sku(self.product);
        let body = format!(r#"{{"stock_delta": [{{"sku": "{sku}", "delta": {delta}}}]}}"#);
        self.write(sender, delta, Known::default(), body).await
    }

    /// Adds waves of deltas, all of one at the same time, looks, and takes them off again.
    async fn count(&self, wave: &mut [Sender]) -> Vec<Sent> {
        let mut sent = Vec::new();
        while self.goes_on() {
            let places = (0..).zip(wave.iter_mut());
            let adds = places.map(|(place, sender)| self.add(sender, BASE.pow(place)));
            let answers = join_all(adds).await;
            sent.extend(answers.iter().flatten());
            let first = &mut wave[0];
            self.look(first, &sent).await;
            if !answers.iter().all(|sent| sent.is_some_and(|sent| sent.is_acknowledged())) {
                break;
            }
            match self.add(first, -WHOLE).await {
                Some(off) => sent.push(off),
                None => break,
            }
        }
        sent
    }

    /// Reads what is counted: all that was acknowledged must be seen, once.
    async fn look(&self, sender: &mut Sender, sent: &[Sent]) {
        let Some((_, body)) = self.read(sender, ReadView::ProductPage).await else { return };
        let sku = counted_sku(self.product);
        let Some(seen) = body.variants.iter().find(|variant| variant.sku == sku) else { return };
        let wrong = counted(sent, seen.stock);
        self.shared.undone(wrong.total(), || {
            format!("product {}: {} counted, {wrong:?} after {sent:?}", self.product, seen.stock)
        });
    }

    /// Sets one value after the other, each more than the last.
    async fn ascend(
        &self,
        sender: &mut Sender,
        first: i64,
        made: impl Fn(i64) -> Known,
        body: impl Fn(i64) -> String,
    ) -> Vec<Sent> {
        let (mut sent, mut value) = (Vec::new(), first);
        while self.goes_on() {
            value += 1;
            match self.write(sender, value, made(value), body(value)).await {
                Some(write) => sent.push(write),
                None => break,
            }
        }
        sent
    }

    /// Reads both views in turn. What was acknowledged, or seen once, must be seen.
    async fn watch(&self, sender: &mut Sender) {
        let mut views = [ReadView::ProductPage, ReadView::ProductSummary].into_iter().cycle();
        while self.goes_on() {
            let view = views.next().unwrap_or(ReadView::ProductPage);
            let known = *lock(self.known(view));
            if let Some((version, body)) = self.read(sender, view).await {
                let sku = set_sku(self.product);
                let of_it = body.variants.iter().find(|variant| variant.sku == sku);
                let stock = of_it.map_or(known.stock, |variant| variant.stock);
                let seen = Known { version, stock, price: body.price.minor };
                let less = seen.price < known.price || seen.stock < known.stock;
                self.shared.undone(less.into(), || {
                    format!("product {}: {seen:?} in {view:?} after {known:?}", self.product)
                });
                lock(self.known(view)).learn(seen);
            }
            sleep(BETWEEN_READS).await;
        }
    }

    /// Reads as one who knows of all that was acknowledged and seen.
    async fn read(&self, sender: &mut Sender, view: ReadView) -> Option<(Version, Body)> {
        let Version { epoch, counter } = lock(self.known(view)).version;
        let least = format!("{}={epoch}-{counter}", view.namespace());
        let header = (counter > 0).then_some((MIN_VERSION, least.as_str()));
        let request = Request::get(view.path(self.product));
        let response = sender.ask(self.shared, &request, header).await??;
        self.shared.reads.fetch_add(1, Ordering::Relaxed);
        shown(&response)
    }
}

/// What an answer shows; `None`: nothing.
fn shown(response: &Response<Bytes>) -> Option<(Version, Body)> {
    let version = version(response.headers().get("etag")?.to_str().ok()?)?;
    let body = serde_json::from_slice(response.body()).ok()?;
    (response.status() == 200).then_some((version, body))
}
