//! Writes that wait outside of the database, applied by it: the contract of journals, and what is left
//! to the database of it.

use std::time::Duration;

use catalog_domain::{NewVariant, Operation, ProductPatch, ProductRepository, StockDelta};
use catalog_repository::{CatalogueSink, journal_key};
use larder_postgres::testing::{Subject, journal_contract};
use larder_postgres::{Deferred, Purpose, Sink, Statement};
use larder_postgres::{Journal, Version, VolatileJournal, Write, WriteState};
use larder_stack::testing::skip_without_servers;

use crate::journal::{OPTIONS, SKU, Shop, append as append_durably, order, price, shop};
use crate::support::{Fixture, euros, filled, id, of, product, stock};

const LOCK: Statement = Statement {
    namespace: "",
    purpose: Purpose::Admin,
    operation: "SELECT",
    collection: "products",
};

type Volatile = VolatileJournal<CatalogueSink>;

async fn flush(journal: &Volatile) -> larder_postgres::Flushed {
    journal.flush(&OPTIONS).await.expect("flushes")
}

async fn take(journal: &Volatile, write: Write<Operation>) -> u64 {
    let mut answers = journal.append(&[write]).await.expect("answers");
    answers.pop().expect("an answer").expect("is taken").position
}

/// The number of a key is the stock of a product that nobody else shows.
struct Stocks {
    journal: Volatile,
    fixture: Fixture,
    ids: Vec<i64>,
}

impl Stocks {
    async fn new() -> Self {
        let fixture = filled().await;
        let mut ids = Vec::new();
        for key in 0..8 {
            let mut lamp = product(&format!("LAMP-{key}"));
            lamp.content.variants[0].stock = stock(0);
            // Comes last, so that the first variant is the number.
            let (sku, name) = (of(&Self::poisonous(key)), of("poisonous"));
            lamp.content.variants.push(NewVariant { sku, name, stock: stock(0) });
            ids.push(fixture.catalogue.create(&lamp).await.expect("creates").value.get());
        }
        let rule =
            "ALTER TABLE variants ADD CONSTRAINT poisoned CHECK (name <> 'poisonous' OR stock = 0)";
        fixture.database.execute(rule).await;
        Self { journal: VolatileJournal::new(fixture.catalogue.sink()), fixture, ids }
    }

    fn sku(key: usize) -> String {
        format!("LAMP-{key}-1")
    }

    fn poisonous(key: usize) -> String {
        format!("LAMP-{key}-2")
    }
}

impl Subject for Stocks {
    type Journal = Volatile;

    fn journal(&self) -> &Volatile {
        &self.journal
    }

    fn put(&self, key: usize, number: i64) -> Write<Operation> {
        crate::journal::count(self.ids[key], &Self::sku(key), number)
    }

    fn add(&self, key: usize, amount: i64) -> Write<Operation> {
        let amount = i32::try_from(amount).expect("small");
        order(self.ids[key], &Self::sku(key), amount)
    }

    fn poison(&self, key: usize) -> Write<Operation> {
        let grow = |sku: &str| StockDelta { sku: of(sku), delta: 1 };
        let add = vec![grow(&Self::sku(key)), grow(&Self::poisonous(key))];
        let operation = Operation::Stock { set: Vec::new(), add };
        Write { key: journal_key(id(self.ids[key])), operation }
    }

    async fn heal(&self) {
        self.fixture.database.execute("ALTER TABLE variants DROP CONSTRAINT poisoned").await;
    }

    async fn seen(&self, key: usize) -> (i64, Version) {
        let product = id(self.ids[key]);
        let page = self.fixture.catalogue.page(product).await.expect("reads");
        let mut page = page.transpose().expect("is there");
        let version = Version::new(page.revision.epoch, page.revision.counter);
        let name = journal_key(product);
        let over = self.journal.overlay().over(&name, "product-page", &name, version).await;
        page.value.overlay(&over);
        (page.value.variants[0].stock.get().into(), version)
    }

    async fn stored(&self, key: usize) -> i64 {
        let page = self.fixture.catalogue.page(id(self.ids[key])).await.expect("reads");
        page.transpose().expect("is there").value.variants[0].stock.get().into()
    }
}

#[tokio::test]
async fn a_volatile_journal_in_front_of_postgres_holds_the_contract() {
    if skip_without_servers("a_volatile_journal_in_front_of_postgres_holds_the_contract") {
        return;
    }
    journal_contract(&Stocks::new().await).await;
}

fn volatile(shop: &Shop) -> Volatile {
    VolatileJournal::new(shop.fixture.catalogue.sink())
}

#[tokio::test]
async fn a_write_is_applied_once_however_often_it_comes_and_the_database_knows_which() {
    if skip_without_servers("a_write_is_applied_once_however_often_it_comes") {
        return;
    }
    let shop = shop().await;
    let sink = shop.fixture.catalogue.sink();
    let key = journal_key(id(shop.lamp));
    let bases = sink.bases(std::slice::from_ref(&key)).await.expect("reads");
    let [base] = <[_; 1]>::try_from(bases).expect("one");
    let before = base.version;
    let mut state = base.value;
    let mut accept = |write: Write<Operation>| {
        CatalogueSink::accept(&mut state, &write.operation).expect("is taken")
    };
    let entry = accept(order(shop.lamp, SKU, -3));
    let other = accept(price(shop.lamp, 7));
    let deferred = |id, entry: &_| Deferred { id, key: key.clone(), entry: Clone::clone(entry) };
    let writes = [deferred(4_000_000_001, &entry), deferred(4_000_000_002, &other)];
    let applied = async |page: &str| {
        sink.applied(&[4_000_000_001, 9], "product-page", page).await.expect("reads")
    };
    assert!(applied(&key).await.is_empty());

    // Two processes have it at the same time, and neither keeps both from it; and one comes again.
    let twice = tokio::join!(sink.settle(&writes), sink.settle(&writes));
    let again = sink.settle(&writes).await.expect("answers");
    let all = [twice.0.expect("answers"), twice.1.expect("answers"), again];
    assert_eq!(all.iter().map(|settled| settled.applied.len()).sum::<usize>(), 2);
    assert_eq!(all[2].repeated.len(), 2);
    assert_eq!((shop.page().await.value.pieces, shop.page().await.value.minor), (2, 7));

    let version = applied(&key).await[&4_000_000_001].expect("it changed the page");
    assert!(version > before);
    let seen = shop.page().await.revision;
    assert_eq!((version.epoch, version.counter), (seen.epoch, seen.counter));
    assert_eq!(applied("1").await[&4_000_000_001], None, "another page");
}

#[tokio::test]
async fn a_key_that_somebody_works_on_keeps_back_itself_alone() {
    if skip_without_servers("a_key_that_somebody_works_on_keeps_back_itself_alone") {
        return;
    }
    let shop = shop().await;
    let journal = volatile(&shop);
    let lamp = shop.lamp;
    take(&journal, order(lamp, SKU, -1)).await;
    take(&journal, price(3, 33)).await;
    // What an earlier mode has journaled comes first.
    let durable = append_durably(&shop.journal, order(lamp, SKU, -2)).await;
    let first = flush(&journal).await;
    assert_eq!((first.entries, first.failed, shop.page().await.value.pieces), (1, 0, 3));
    shop.journal.flush(&OPTIONS).await.expect("flushes");
    let state = shop.journal.find(durable.position).await.expect("answers");
    assert_eq!(state, Some(WriteState::Flushed));
    // A transaction of somebody else's has the row.
    let holder = shop.fixture.catalogue.database();
    let mut other = holder.begin().await.expect("begins");
    let lock = "SELECT FROM products WHERE id = $1 FOR UPDATE";
    sqlx::query(lock).bind(lamp).execute(other.counted(LOCK)).await.expect("locks");
    take(&journal, price(3, 34)).await;
    let second = tokio::time::timeout(Duration::from_secs(2), flush(&journal)).await;
    let second = second.expect("it waits for nobody");
    assert_eq!((second.entries, second.failed), (1, 0));
    other.rollback().await.expect("ends");
    assert_eq!(flush(&journal).await.entries, 1);
    assert_eq!(shop.page().await.value.pieces, 2);
}

#[tokio::test]
async fn what_is_refused_at_once_counts_what_waits_and_what_direct_sql_did() {
    if skip_without_servers("what_is_refused_at_once_counts_what_waits") {
        return;
    }
    let shop = shop().await;
    let journal = volatile(&shop);
    take(&journal, order(shop.lamp, SKU, -3)).await;
    let refused = async |write| {
        let mut answers = journal.append(&[write]).await.expect("answers");
        answers.pop().expect("an answer").is_err()
    };
    assert!(refused(order(shop.lamp, SKU, -3)).await, "two are left");
    assert!(refused(order(shop.lamp, "NO-SUCH", 1)).await);
    assert!(refused(price(999_999, 1)).await, "no such product");
    shop.lower_stock_directly(4).await;
    assert!(refused(order(shop.lamp, SKU, -2)).await, "one is left");
    // Below what waits: nobody could refuse that, and the write becomes a dead letter.
    shop.lower_stock_directly(1).await;
    let page = shop.page().await;
    let (once, behind) = (flush(&journal).await, take(&journal, price(shop.lamp, 5)).await);
    assert_eq!((once.failed, once.dead), (1, 0));
    assert_eq!(flush(&journal).await.dead, 1);
    assert_eq!(flush(&journal).await.entries, 1);
    assert_eq!(journal.find(behind).await.expect("answers"), Some(WriteState::Flushed));
    assert_eq!((shop.page().await.value.pieces, shop.page().await.value.minor), (1, 5));
    assert!(shop.page().await.revision > page.revision);
}

#[tokio::test]
async fn the_conditional_and_the_synchronous_write_come_after_what_waits() {
    if skip_without_servers("the_conditional_and_the_synchronous_write_come_after") {
        return;
    }
    let shop = shop().await;
    let journal = volatile(&shop);
    let before = shop.page().await.revision;
    take(&journal, order(shop.lamp, SKU, -3)).await;
    let key = journal_key(id(shop.lamp));
    assert_eq!(journal.settle(&key).await.expect("is free").entries, 1);
    let patch = ProductPatch { price: Some(euros(3)), ..ProductPatch::default() };
    let catalogue = &shop.fixture.catalogue;
    let moved = catalogue.patch(id(shop.lamp), &patch, Some(before)).await;
    assert!(moved.is_err(), "what waited has moved the version on: {moved:?}");
    let now = shop.page().await.revision;
    catalogue.patch(id(shop.lamp), &patch, Some(now)).await.expect("writes").expect("is there");
    assert_eq!((shop.page().await.value.pieces, shop.page().await.value.minor), (2, 3));
}
