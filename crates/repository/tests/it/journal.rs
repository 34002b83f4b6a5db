//! Writes that wait: what readers see of them, and what becomes of them.

use std::time::Duration;

use catalog_domain::{
    Change, Operation, ProductPatch, ProductRepository, Refusal, RepositoryError, Revised,
    Revision, StockChange, StockDelta, View,
};
use catalog_repository::{CatalogueJournal, journal_key};
use larder_postgres::{FlushOptions, Flushed, Journal, Journaled, Purpose, Write, WriteState};
use larder_stack::testing::skip_without_servers;
use sqlx::{Connection, PgConnection};

use crate::support::{Fixture, euros, filled, id, of, product, stock};

pub(crate) const OPTIONS: FlushOptions =
    FlushOptions { entries: 1_000, attempts: 2, backoff: Duration::ZERO };

pub(crate) fn price(product: i64, minor: i64) -> Write<Operation> {
    Write { key: journal_key(id(product)), operation: Operation::Price(euros(minor)) }
}

pub(crate) fn order(product: i64, sku: &str, delta: i32) -> Write<Operation> {
    let add = vec![StockDelta { sku: of(sku), delta }];
    Write { key: journal_key(id(product)), operation: Operation::Stock { set: Vec::new(), add } }
}

pub(crate) fn count(product: i64, sku: &str, pieces: i64) -> Write<Operation> {
    let set = vec![StockChange { sku: of(sku), stock: stock(pieces) }];
    Write { key: journal_key(id(product)), operation: Operation::Stock { set, add: Vec::new() } }
}

/// Appends one write that must be taken.
pub(crate) async fn append(journal: &CatalogueJournal, write: Write<Operation>) -> Journaled {
    let mut answers = journal.append(&[write]).await.expect("the journal answers");
    answers.pop().expect("an answer").expect("is taken")
}

pub(crate) async fn flush(journal: &CatalogueJournal) -> Flushed {
    journal.flush(&OPTIONS).await.expect("flushes")
}

/// A product with 5 pieces of one variant, that shows products 1 and 2, and its journal.
pub(crate) struct Shop {
    pub(crate) fixture: Fixture,
    pub(crate) journal: CatalogueJournal,
    pub(crate) lamp: i64,
}

pub(crate) const SKU: &str = "LAMP-1";

pub(crate) async fn shop() -> Shop {
    let fixture = filled().await;
    let lamp = fixture.catalogue.create(&product("LAMP")).await.expect("creates").value.get();
    Shop { journal: fixture.catalogue.journal(), fixture, lamp }
}

/// What a page shows that operations change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) minor: i64,
    pub(crate) pieces: i32,
    pub(crate) updated_us: i64,
}

impl Shop {
    pub(crate) async fn page(&self) -> Revised<Seen> {
        let page = self.fixture.catalogue.page(id(self.lamp)).await.expect("reads");
        let Revised { revision, value } = page.transpose().expect("is there");
        let updated_us = value.updated_at.as_microsecond();
        let pieces = value.variants[0].stock.get();
        Revised { revision, value: Seen { minor: value.price.minor(), pieces, updated_us } }
    }

    pub(crate) async fn sql(&self, sql: &str) {
        self.fixture.database.execute(sql).await;
    }

    /// The stock in the table, whatever is pending.
    pub(crate) async fn lower_stock_directly(&self, pieces: i32) {
        let lamp = self.lamp;
        self.sql(&format!("UPDATE variants SET stock = {pieces} WHERE product_id = {lamp}")).await;
    }
}

fn revision(journaled: &Journaled, view: View, product: i64) -> Option<Revision> {
    let key = journal_key(id(product));
    let of = |(namespace, name, version): &(String, String, larder_postgres::Version)| {
        (namespace == view.namespace() && *name == key)
            .then_some(Revision { epoch: version.epoch, counter: version.counter })
    };
    journaled.changes.iter().find_map(of)
}

#[tokio::test]
async fn a_write_that_waits_is_seen_by_every_load_and_nothing_changes_when_it_is_applied() {
    if skip_without_servers("a_write_that_waits_is_seen_by_every_load") {
        return;
    }
    let shop = shop().await;
    let catalogue = &shop.fixture.catalogue;
    let before = shop.page().await;
    // Product 1 is shown by the lamp's page.
    let on_page = async || {
        let page = catalogue.page(id(shop.lamp)).await.expect("reads").transpose().expect("there");
        (page.revision, page.value.related[0].price.minor())
    };
    let shown = on_page().await;
    let related = append(&shop.journal, price(1, 77)).await;
    assert_eq!(revision(&related, View::ProductPage, shop.lamp), Some(on_page().await.0));
    assert!(on_page().await.0.counter > shown.0.counter);
    assert_eq!(on_page().await.1, 77);

    let writes = [price(shop.lamp, 5), order(shop.lamp, SKU, -3), order(shop.lamp, SKU, 1)];
    let answers = shop.journal.append(&writes).await.expect("answers");
    let last = answers.last().expect("three").as_ref().expect("is taken");
    let pending = shop.page().await;
    assert_eq!((pending.value.minor, pending.value.pieces), (5, 3));
    assert!(pending.value.updated_us > before.value.updated_us);
    assert_eq!(Some(pending.revision), revision(last, View::ProductPage, shop.lamp));
    let summary =
        catalogue.summary(id(shop.lamp)).await.expect("reads").transpose().expect("there");
    assert_eq!(summary.value.price, euros(5));
    let first = answers[0].as_ref().expect("is taken");
    assert_eq!(Some(summary.revision), revision(first, View::ProductSummary, shop.lamp));
    assert_eq!(summary.value.updated_at.as_microsecond(), pending.value.updated_us);
    let request = catalog_domain::ListRequest { category: of("kitchen"), after: None, limit: 100 };
    let mut listed = Vec::new();
    let mut next = Some(request);
    while let Some(request) = next.take() {
        let listing = catalogue.list(&request).await.expect("lists").expect("is there");
        let cursor = listing.next.map(|c| catalog_domain::Cursor::decode(&c).expect("its own"));
        next = cursor.map(|after| catalog_domain::ListRequest { after: Some(after), ..request });
        listed.extend(listing.products);
    }
    let lamp = listed.iter().find(|product| product.id == id(shop.lamp)).expect("is listed");
    assert_eq!(*lamp, summary.value);

    let position = last.position;
    assert_eq!(shop.journal.find(position).await.expect("answers"), Some(WriteState::Pending));
    assert_eq!(shop.journal.state().await.expect("answers").depth, 4);
    let flushed = flush(&shop.journal).await;
    assert_eq!((flushed.entries, flushed.applied, flushed.failed, flushed.dead), (4, 2, 0, 0));
    assert_eq!(flushed.changes, []);
    assert_eq!(shop.page().await, pending, "value and version are as before");
    let after = catalogue.summary(id(shop.lamp)).await.expect("reads").transpose().expect("there");
    assert_eq!(after, summary);
    assert_eq!(shop.journal.find(position).await.expect("answers"), Some(WriteState::Flushed));
    assert_eq!(shop.journal.find(position + 1_000).await.expect("answers"), None);
    assert_eq!(flush(&shop.journal).await, Flushed::default());
}

#[tokio::test]
async fn a_write_that_waits_changes_the_same_views_as_one_that_does_not() {
    if skip_without_servers("a_write_that_waits_changes_the_same_views") {
        return;
    }
    let shop = shop().await;
    for write in [price(1, 3), count(1, "LD-0000001-1", 4), order(1, "LD-0000001-1", 2)] {
        let patch = match &write.operation {
            Operation::Price(price) => {
                ProductPatch { price: Some(*price), ..ProductPatch::default() }
            }
            Operation::Stock { set, add } => ProductPatch {
                stock: set.clone(),
                stock_delta: add.clone(),
                ..ProductPatch::default()
            },
        };
        let at_once = shop.fixture.catalogue.patch(id(1), &patch, None).await;
        let at_once = at_once.expect("patches").expect("is there").changes;
        let view = |change: &Change| (change.view.namespace().to_owned(), change.id.to_string());
        let mut at_once: Vec<_> = at_once.iter().map(view).collect();
        let waits = append(&shop.journal, write).await.changes;
        let mut waits: Vec<_> = waits.into_iter().map(|(space, key, _)| (space, key)).collect();
        at_once.sort();
        waits.sort();
        assert_eq!(at_once, waits);
    }
}

#[tokio::test]
async fn an_order_beyond_the_stock_is_refused_at_once_with_what_is_pending_in_mind() {
    if skip_without_servers("an_order_beyond_the_stock_is_refused_at_once") {
        return;
    }
    let shop = shop().await;
    let writes = [
        order(shop.lamp, SKU, -3),
        order(shop.lamp, SKU, -3),
        order(shop.lamp, SKU, -2),
        order(shop.lamp, "LAMP-9", 1),
        order(1_000_000, SKU, 1),
        count(shop.lamp, "LAMP-9", 1),
    ];
    let answers = shop.journal.append(&writes).await.expect("answers");
    let refused: Vec<Option<Refusal>> = answers.into_iter().map(Result::err).collect();
    let too_many = Some(Refusal::out_of_bounds("stock_delta"));
    let unknown = |list| Some(Refusal::no_variant(list, 0));
    assert_eq!(
        refused,
        [
            None,
            too_many.clone(),
            None,
            unknown("stock_delta"),
            Some(Refusal::Absent),
            unknown("stock")
        ]
    );
    let answers = shop.journal.append(&[order(shop.lamp, SKU, -1)]).await.expect("answers");
    assert_eq!(answers.into_iter().next().expect("one").err(), too_many);
    // Who asks for what is not there leaves nothing behind.
    let mut admin =
        PgConnection::connect(&shop.fixture.database.admin_url).await.expect("connects");
    let left = "SELECT count(*) FROM larder.versions WHERE key = '1000000'";
    let left: i64 = sqlx::query_scalar(left).fetch_one(&mut admin).await.expect("counts");
    assert_eq!(left, 0);
    assert_eq!(flush(&shop.journal).await.entries, 2);
    assert_eq!(shop.page().await.value.pieces, 0);
}

#[tokio::test]
async fn a_write_that_does_not_wait_applies_what_is_pending_first() {
    if skip_without_servers("a_write_that_does_not_wait_applies_what_is_pending_first") {
        return;
    }
    let shop = shop().await;
    let catalogue = &shop.fixture.catalogue;
    append(&shop.journal, count(shop.lamp, SKU, 10)).await;
    append(&shop.journal, price(shop.lamp, 7)).await;
    let add = |delta| {
        let stock_delta = vec![StockDelta { sku: of(SKU), delta }];
        ProductPatch { stock_delta, ..ProductPatch::default() }
    };
    // More than there is without what waits.
    let written = catalogue.patch(id(shop.lamp), &add(-9), None).await.expect("patches");
    let page = shop.page().await;
    assert_eq!((page.value.minor, page.value.pieces), (7, 1));
    assert_eq!(written.expect("is there").revision, page.revision);
    assert_eq!(shop.journal.state().await.expect("answers").depth, 0);
    // A refused write leaves what waits as it was.
    append(&shop.journal, count(shop.lamp, SKU, 4)).await;
    let refused = catalogue.patch(id(shop.lamp), &add(-5), None).await;
    assert!(matches!(refused, Err(RepositoryError::Invalid(_))), "{refused:?}");
    assert_eq!(shop.journal.state().await.expect("answers").depth, 1);
    assert_eq!(shop.page().await.value.pieces, 4);
    // Whatever the write is.
    let review = catalog_domain::NewReview {
        rating: catalog_domain::Rating::try_from(5).expect("valid"),
        title: of("t"),
        body: of(""),
        author: of("a"),
    };
    catalogue.add_review(id(shop.lamp), &review).await.expect("adds").expect("is there");
    assert_eq!(shop.journal.state().await.expect("answers").depth, 0);
    append(&shop.journal, price(shop.lamp, 8)).await;
    let content = product("LAMP").content;
    catalogue.replace(id(shop.lamp), &content, None).await.expect("replaces").expect("is there");
    assert_eq!(shop.page().await.value.minor, 1_999);
    append(&shop.journal, price(shop.lamp, 9)).await;
    catalogue.delete(id(shop.lamp), None).await.expect("deletes").expect("was there");
    assert_eq!(shop.journal.state().await.expect("answers").depth, 0);
    let refused = shop.journal.append(&[price(shop.lamp, 9)]).await.expect("answers");
    assert!(matches!(refused[0], Err(Refusal::Absent)));
}

#[tokio::test]
async fn what_waits_what_expects_and_what_nobody_can_refuse_meet_in_every_order() {
    if skip_without_servers("what_waits_what_expects_and_what_nobody_can_refuse") {
        return;
    }
    let shop = shop().await;
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    // 8 places for a flush between any two steps: before, between (2) and after.
    for (order_of_steps, flushes) in orders.iter().flat_map(|o| (0..8).map(move |f| (o, f))) {
        let case = format!("{order_of_steps:?}, flushes {flushes:03b}");
        shop.lower_stock_directly(100).await;
        // Each step changes the same stock in its own way; the model does so in the order of commits.
        let mut model = 100;
        let seen = shop.page().await.revision;
        let mut moved = false;
        for (index, step) in order_of_steps.iter().enumerate() {
            match step {
                // A pending order adds to whatever will be there.
                0 => {
                    append(&shop.journal, order(shop.lamp, SKU, -7)).await;
                    model -= 7;
                    moved = true;
                }
                // Conditional: done only if nothing has happened since it was read.
                1 => {
                    let set = vec![StockChange { sku: of(SKU), stock: stock(50) }];
                    let patch = ProductPatch { stock: set, ..ProductPatch::default() };
                    let patch = shop.fixture.catalogue.patch(id(shop.lamp), &patch, Some(seen));
                    match patch.await {
                        Ok(_) => {
                            assert!(!moved, "{case}");
                            model = 50;
                        }
                        Err(RepositoryError::Moved { found }) => {
                            assert!(moved && found == shop.page().await.revision, "{case}");
                        }
                        Err(other) => panic!("{case}: {other}"),
                    }
                    moved = true;
                }
                // Direct SQL knows nothing of what waits, which comes on top of it.
                _ => {
                    let waits = shop.journal.state().await.expect("answers").depth > 0;
                    shop.lower_stock_directly(20).await;
                    model = if waits { 20 - 7 } else { 20 };
                    moved = true;
                }
            }
            assert_eq!(shop.page().await.value.pieces, model, "{case}, after step {step}");
            if flushes & (1 << index) != 0 {
                let before = shop.page().await;
                flush(&shop.journal).await;
                assert_eq!(shop.page().await, before, "{case}: a flush shows nothing");
            }
        }
        // A refused write is rolled back after it was answered; until then a flush passes by.
        while shop.journal.state().await.expect("answers").depth > 0 {
            flush(&shop.journal).await;
        }
        assert_eq!(shop.page().await.value.pieces, model, "{case}");
        assert_eq!(shop.journal.state().await.expect("answers").dead, 0, "{case}");
    }
}

#[tokio::test]
async fn an_absolute_write_overwrites_what_direct_sql_did_meanwhile() {
    if skip_without_servers("an_absolute_write_overwrites_what_direct_sql_did_meanwhile") {
        return;
    }
    let shop = shop().await;
    append(&shop.journal, price(shop.lamp, 5)).await;
    append(&shop.journal, count(shop.lamp, SKU, 9)).await;
    shop.sql(&format!(
        "UPDATE products SET price_minor = 6, updated_at = now() + interval '1 hour' WHERE id = {}",
        shop.lamp
    ))
    .await;
    shop.lower_stock_directly(1).await;
    let seen = shop.page().await;
    assert_eq!((seen.value.minor, seen.value.pieces), (5, 9));
    assert_eq!(flush(&shop.journal).await.entries, 2);
    assert_eq!(shop.page().await, seen);
}

#[tokio::test]
async fn a_thousand_writes_are_appended_and_flushed_in_twenty_statements_at_most() {
    if skip_without_servers("a_thousand_writes_are_appended_and_flushed") {
        return;
    }
    let shop = shop().await;
    let ledger = shop.fixture.catalogue.database().ledger();
    let (counted, before) = (shop.fixture.database.counted().await, ledger.totals().completed);
    let writes: Vec<_> = (0..1_000_i64)
        .map(|n| {
            let product = 1 + n % 300;
            if n % 4 == 0 { price(product, n) } else { order(product, &sku(product), 1) }
        })
        .collect();
    for batch in writes.chunks(256) {
        for answer in shop.journal.append(batch).await.expect("answers") {
            answer.expect("is taken");
        }
    }
    let options = FlushOptions { entries: 256, ..OPTIONS };
    let mut entries = 0;
    while entries < 1_000 {
        entries += shop.journal.flush(&options).await.expect("flushes").entries;
    }
    let statements = shop.fixture.database.counted().await - counted;
    assert_eq!(ledger.totals().completed - before, statements, "counted as Postgres counts");
    let of = |purpose| {
        let rows = ledger.rows().into_iter().filter(|row| {
            row.statement.purpose == purpose && row.statement.collection == "larder.journal"
        });
        rows.map(|row| row.totals.completed).sum::<u64>()
    };
    assert_eq!((of(Purpose::Write), of(Purpose::Flush)), (4, 8));
    assert_eq!(statements, 12);
}

/// The first variant of a generated product.
pub(crate) fn sku(product: i64) -> String {
    format!("LD-{product:07}-1")
}
