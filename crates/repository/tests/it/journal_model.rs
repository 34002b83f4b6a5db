//! Several processes append, flush, write at once and read, all at the same time. Every answer is
//! compared with a model: what was acknowledged up to its version, each write once and in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use catalog_domain::{Operation, ProductPatch, ProductRepository, RepositoryError, Revision, View};
use catalog_repository::{CatalogueJournal, PostgresCatalogue};
use larder_postgres::{Database, DatabaseOptions, FlushOptions, Journal, Write};
use larder_stack::testing::skip_without_servers;
use rand::RngExt;
use tokio::sync::Mutex;

use crate::journal::{OPTIONS, append, count, order, price, sku};
use crate::support::{Fixture, filled, id};

const PRODUCTS: i64 = 4;
const RUN: Duration = Duration::from_secs(4);

/// What happened to a page, at a version of it: the order within one is that of the journal.
type Events = BTreeMap<(i64, Revision), Vec<(u64, Event)>>;

#[derive(Clone, Debug)]
enum Event {
    Done(Operation),
    /// A product that the page shows has another price.
    Shows(i64, i64),
}

/// What a page shows that operations change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    minor: i64,
    pub(crate) stock: BTreeMap<String, i32>,
    shown: BTreeMap<i64, i64>,
}

#[derive(Default)]
struct History {
    events: Mutex<Events>,
    loads: Mutex<Vec<(i64, Revision, Seen)>>,
    refused: AtomicU64,
    /// Flushes that were killed.
    killed: AtomicU64,
    stop: AtomicBool,
}

impl History {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    async fn note(
        &self,
        product: i64,
        place: u64,
        operation: &Operation,
        pages: impl Iterator<Item = (i64, Revision)>,
    ) {
        let mut events = self.events.lock().await;
        for (page, revision) in pages {
            let event = match operation {
                operation if page == product => Event::Done(operation.clone()),
                Operation::Price(price) => Event::Shows(product, price.minor()),
                Operation::Stock { .. } => panic!("stock is shown by its own page alone"),
            };
            events.entry((page, revision)).or_default().push((place, event));
        }
    }
}

pub(crate) fn process(fixture: &Fixture, name: &str) -> PostgresCatalogue {
    let mut options = DatabaseOptions::new(fixture.database.app_url.clone());
    options.max_connections = 3;
    options.application_name = name.to_owned();
    options.acquire_timeout = Duration::from_secs(20);
    PostgresCatalogue::new(Database::new(&options).expect("valid"))
}

fn random_write() -> (i64, Write<Operation>) {
    let mut rng = rand::rng();
    let product = rng.random_range(1..=PRODUCTS);
    let write = match rng.random_range(0..10) {
        0 | 1 => price(product, rng.random_range(1..1_000)),
        2 => count(product, &sku(product), rng.random_range(0..30)),
        _ => order(product, &sku(product), rng.random_range(-6..5)),
    };
    (product, write)
}

async fn appends(history: Arc<History>, journal: CatalogueJournal) {
    while history.goes_on() {
        let size = rand::rng().random_range(1..12);
        let writes: Vec<(i64, Write<Operation>)> = (0..size).map(|_| random_write()).collect();
        let batch: Vec<_> = writes.iter().map(|(_, write)| write.clone()).collect();
        let answers = journal.append(&batch).await.expect("the journal answers");
        for ((product, write), answer) in writes.iter().zip(answers) {
            let Ok(journaled) = answer else {
                history.refused.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let pages = journaled.changes.iter().filter_map(|(namespace, key, version)| {
                let revision = Revision { epoch: version.epoch, counter: version.counter };
                (namespace == View::ProductPage.namespace())
                    .then(|| (key.parse().expect("an id"), revision))
            });
            history.note(*product, journaled.position, &write.operation, pages).await;
        }
        let pause_ms = rand::rng().random_range(0..20);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

async fn writes_at_once(history: Arc<History>, catalogue: PostgresCatalogue) {
    while history.goes_on() {
        let (product, write) = random_write();
        let patch = match &write.operation {
            Operation::Price(price) => ProductPatch { price: Some(*price), ..Default::default() },
            Operation::Stock { set, add } => {
                ProductPatch { price: None, stock: set.clone(), stock_delta: add.clone() }
            }
        };
        match catalogue.patch(id(product), &patch, None).await {
            Ok(written) => {
                let changes = written.expect("is there").changes;
                let pages = changes.iter().filter(|change| change.view == View::ProductPage);
                let pages = pages.map(|change| (change.id.get(), change.revision));
                history.note(product, 0, &write.operation, pages).await;
            }
            Err(RepositoryError::Invalid(_)) => {
                history.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(other) => panic!("{other}"),
        }
        let pause_ms = rand::rng().random_range(0..8);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

/// Flushes until everything is done; a flush that was killed is nobody's business.
async fn flushes(history: Arc<History>, journal: CatalogueJournal, killed: bool) {
    while history.goes_on() {
        let entries = rand::rng().random_range(1..40);
        let flushed = journal.flush(&FlushOptions { entries, ..OPTIONS }).await;
        assert!(killed || flushed.is_ok(), "{flushed:?}");
        match flushed {
            Ok(flushed) => assert_eq!(flushed.failed + flushed.dead, 0),
            Err(_) => drop(history.killed.fetch_add(1, Ordering::Relaxed)),
        }
        let pause_ms = rand::rng().random_range(0..15);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

pub(crate) async fn see(catalogue: &PostgresCatalogue, product: i64) -> (Revision, Seen) {
    let page = catalogue.page(id(product)).await.expect("reads").transpose().expect("is there");
    let seen = Seen {
        minor: page.value.price.minor(),
        stock: page.value.variants.iter().map(|v| (v.sku.to_string(), v.stock.get())).collect(),
        shown: page.value.related.iter().map(|r| (r.id.get(), r.price.minor())).collect(),
    };
    (page.revision, seen)
}

async fn reads(history: Arc<History>, catalogue: PostgresCatalogue) {
    while history.goes_on() {
        let product = rand::rng().random_range(1..=PRODUCTS);
        let (revision, seen) = see(&catalogue, product).await;
        history.loads.lock().await.push((product, revision, seen));
    }
}

/// Ends flushers in the middle of a transaction, wherever they are in it.
async fn kills(history: Arc<History>, fixture: Arc<Fixture>) {
    let kill = "DO $$ BEGIN FOR i IN 1 .. 200 LOOP
                    PERFORM pg_stat_clear_snapshot();
                    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE application_name = 'flusher' AND datname = current_database()
                    AND xact_start < clock_timestamp() - random() * interval '2 ms';
                    PERFORM pg_sleep(0.002);
                END LOOP; END $$";
    while history.goes_on() {
        fixture.database.execute(kill).await;
    }
}

/// What `events` make of `first`, up to and with `revision`.
fn model(events: &Events, first: &Seen, product: i64, revision: Revision) -> Seen {
    let mut seen = first.clone();
    for (_, batch) in events.range((product, Revision::default())..=(product, revision)) {
        for (_, event) in batch {
            match event {
                Event::Shows(shown, minor) => {
                    *seen.shown.get_mut(shown).expect("is shown") = *minor;
                }
                Event::Done(Operation::Price(price)) => seen.minor = price.minor(),
                Event::Done(Operation::Stock { set, add }) => {
                    for change in set {
                        seen.stock.insert(change.sku.to_string(), change.stock.get());
                    }
                    for change in add {
                        *seen.stock.get_mut(change.sku.as_str()).expect("is there") += change.delta;
                    }
                }
            }
        }
    }
    seen
}

async fn storm(killed: bool) {
    let fixture = Arc::new(filled().await);
    // Some of them show others of them.
    fixture
        .database
        .execute(
            "DELETE FROM related_products WHERE product_id <= 4;
             INSERT INTO related_products VALUES (1, 1, 2), (1, 2, 3), (2, 1, 1), (3, 1, 4)",
        )
        .await;
    let mut first = BTreeMap::new();
    for product in 1..=PRODUCTS {
        first.insert(product, see(&fixture.catalogue, product).await.1);
    }
    let history = Arc::new(History::default());
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let catalogue = process(&fixture, "process");
        tasks.push(tokio::spawn(appends(Arc::clone(&history), catalogue.journal())));
        tasks.push(tokio::spawn(reads(Arc::clone(&history), catalogue.clone())));
        let flusher = process(&fixture, "flusher").journal();
        tasks.push(tokio::spawn(flushes(Arc::clone(&history), flusher, killed)));
    }
    let at_once = process(&fixture, "process");
    tasks.push(tokio::spawn(writes_at_once(Arc::clone(&history), at_once)));
    if killed {
        tasks.push(tokio::spawn(kills(Arc::clone(&history), Arc::clone(&fixture))));
    }
    tokio::time::sleep(RUN).await;
    history.stop.store(true, Ordering::Release);
    for task in tasks {
        task.await.expect("no panic");
    }
    let journal = fixture.catalogue.journal();
    while journal.state().await.expect("answers").depth > 0 {
        let flushed = journal.flush(&OPTIONS).await.expect("flushes");
        assert_eq!(flushed.dead, 0);
    }

    let mut events = history.events.lock().await;
    for batch in events.values_mut() {
        batch.sort_by_key(|(place, _)| *place);
    }
    let mut loads = history.loads.lock().await;
    for product in 1..=PRODUCTS {
        let (revision, seen) = see(&fixture.catalogue, product).await;
        loads.push((product, revision, seen));
    }
    let mut versions = BTreeSet::new();
    for (product, revision, seen) in loads.iter() {
        let expected = model(&events, &first[product], *product, *revision);
        assert_eq!(*seen, expected, "product {product} at {revision}");
        versions.insert((product, revision));
    }
    let done: usize = events.values().map(Vec::len).sum();
    let refused = history.refused.load(Ordering::Relaxed);
    let killed_flushes = history.killed.load(Ordering::Relaxed);
    eprintln!(
        "{} loads of {} versions, {done} events, {refused} refused, {killed_flushes} killed",
        loads.len(),
        versions.len()
    );
    assert!(!killed || killed_flushes > 0, "no flush was killed");
    assert!(versions.len() > 20 && done > 100 && refused > 0, "too little happened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_seen_undone_or_twice_whoever_flushes() {
    if skip_without_servers("no_acknowledged_write_is_seen_undone_or_twice_whoever_flushes") {
        return;
    }
    storm(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushes_that_are_killed_lose_and_double_nothing() {
    if skip_without_servers("flushes_that_are_killed_lose_and_double_nothing") {
        return;
    }
    storm(true).await;
}

/// Changes stock and price behind everybody's back.
async fn writes_directly(history: Arc<History>, fixture: Arc<Fixture>) {
    while history.goes_on() {
        let product = rand::rng().random_range(1..=PRODUCTS);
        let pieces = rand::rng().random_range(20..40);
        let sql = match rand::rng().random_range(0..3) {
            0 => format!("UPDATE variants SET stock = {pieces} WHERE product_id = {product}"),
            1 => format!("UPDATE products SET price_minor = {pieces} WHERE id = {product}"),
            // Several statements: rows before versions, as everybody does.
            _ => format!(
                "SELECT FROM products WHERE id IN ({product}, {other}) ORDER BY id FOR UPDATE;
                 DELETE FROM related_products WHERE product_id = {product};
                 INSERT INTO related_products VALUES ({product}, 1, {other})",
                other = product % PRODUCTS + 1
            ),
        };
        fixture.database.try_execute(&sql).await.expect("nobody is in a circle with it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_in_a_circle_and_a_flush_shows_nothing_with_direct_sql_in_between() {
    if skip_without_servers("nobody_waits_in_a_circle_and_a_flush_shows_nothing") {
        return;
    }
    let fixture = Arc::new(filled().await);
    let history = Arc::new(History::default());
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let catalogue = process(&fixture, "process");
        tasks.push(tokio::spawn(appends(Arc::clone(&history), catalogue.journal())));
        tasks.push(tokio::spawn(writes_at_once(Arc::clone(&history), catalogue)));
        tasks.push(tokio::spawn(writes_directly(Arc::clone(&history), Arc::clone(&fixture))));
        let flusher = process(&fixture, "flusher").journal();
        let goes_on = Arc::clone(&history);
        tasks.push(tokio::spawn(async move {
            while goes_on.goes_on() {
                flusher.flush(&OPTIONS).await.expect("flushes");
            }
        }));
    }
    tokio::time::sleep(RUN).await;
    history.stop.store(true, Ordering::Release);
    for task in tasks {
        task.await.expect("no panic");
    }
    let journal = fixture.catalogue.journal();
    append(&journal, order(1, &sku(1), 1)).await;
    let see_all = async || {
        let mut all = Vec::new();
        for product in 1..=PRODUCTS {
            all.push(see(&fixture.catalogue, product).await.1);
        }
        all
    };
    let before = see_all().await;
    while journal.state().await.expect("answers").depth > 0 {
        journal.flush(&OPTIONS).await.expect("flushes");
    }
    assert_eq!(see_all().await, before);
}
