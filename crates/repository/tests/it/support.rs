//! A migrated database with the catalogue in it.

use catalog_domain::{
    Currency, NewProduct, NewVariant, Price, ProductId, ProductReplacement, Stock,
};
use catalog_repository::seed::{SeedOptions, generate};
use catalog_repository::{PostgresCatalogue, migrate};
use larder_postgres::{Database, DatabaseOptions};
use larder_stack::testing::{self, TestDatabase, TestPostgres};

/// Dropped in this order: the pool, the database, the server.
pub(crate) struct Fixture {
    pub(crate) catalogue: PostgresCatalogue,
    pub(crate) database: TestDatabase,
    _server: TestPostgres,
}

pub(crate) const SEED: SeedOptions =
    SeedOptions { products: 400, reviews: 4_000, exponent: 1.0, seed: 1 };

/// An empty catalogue.
pub(crate) async fn empty() -> Fixture {
    let server = testing::postgres().await;
    let database = server.database().await;
    migrate(&database.admin_url).await.expect("the migrations apply");
    let db = Database::new(&DatabaseOptions::new(database.app_url.clone())).expect("valid");
    Fixture { catalogue: PostgresCatalogue::new(db), database, _server: server }
}

/// One filled by the generator.
pub(crate) async fn filled() -> Fixture {
    let fixture = empty().await;
    generate(&fixture.database.admin_url, &SEED, |_| ()).await.expect("fills");
    fixture
}

pub(crate) fn id(number: i64) -> ProductId {
    ProductId::try_from(number).expect("positive")
}

/// A value of the domain from a text.
pub(crate) fn of<T: TryFrom<String, Error: std::fmt::Debug>>(text: &str) -> T {
    T::try_from(text.to_owned()).expect("valid")
}

pub(crate) fn euros(minor: i64) -> Price {
    let currency: Currency = of("EUR");
    Price::new(minor, currency).expect("valid")
}

pub(crate) fn stock(pieces: i64) -> Stock {
    Stock::try_from(pieces).expect("valid")
}

/// A product with one variant that shows products 1 and 2.
pub(crate) fn product(sku: &str) -> NewProduct {
    let attributes = std::collections::BTreeMap::from([("colour".to_owned(), "red".to_owned())]);
    NewProduct {
        sku: of(sku),
        content: ProductReplacement {
            name: of("A lamp"),
            description: of("It shines."),
            category: of("kitchen"),
            price: euros(1_999),
            attributes: attributes.try_into().expect("valid"),
            variants: vec![NewVariant {
                sku: of(&format!("{sku}-1")),
                name: of("small"),
                stock: stock(5),
            }],
            related: vec![id(1), id(2)],
        },
    }
}
