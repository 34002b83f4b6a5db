//! The generator's catalogue and the importer's, in Postgres.

use catalog_domain::ProductRepository;
use catalog_repository::seed::online_retail::OnlineRetail;
use catalog_repository::seed::{SeedError, SeedOptions, generate, import, is_empty};
use catalog_repository::{migrate, pending_migrations};
use larder_stack::testing::{data_file, skip_without_servers};
use sqlx::{Connection, PgConnection};

use crate::support::{Fixture, SEED, empty, filled, id};

async fn number(fixture: &Fixture, sql: &'static str) -> i64 {
    let mut admin = PgConnection::connect(&fixture.database.admin_url).await.expect("connects");
    sqlx::query_scalar(sql).fetch_one(&mut admin).await.expect("counts")
}

#[tokio::test]
async fn migrations_apply_once() {
    if skip_without_servers("migrations_apply_once") {
        return;
    }
    let fixture = empty().await;
    let url = &fixture.database.admin_url;
    migrate(url).await.expect("nothing to do");
    assert_eq!(pending_migrations(url).await.expect("counts"), 0);
    // What `migrate` would refuse is no mere number that is missing.
    let changed = "UPDATE _sqlx_migrations SET checksum = ''::bytea WHERE version = 1";
    fixture.database.execute(changed).await;
    let refused = pending_migrations(url).await.expect_err("it was changed").to_string();
    assert_eq!(refused, migrate(url).await.expect_err("it was changed").to_string());
    fixture.database.execute("DELETE FROM _sqlx_migrations WHERE version = 1").await;
    assert_eq!(pending_migrations(url).await.expect("counts"), 1);
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'of a newer program', true, ''::bytea, 0)";
    fixture.database.execute(newer).await;
    let refused = pending_migrations(url).await.expect_err("it is not known").to_string();
    assert!(refused.contains("9999"), "{refused}");
}

#[tokio::test]
async fn the_generated_catalogue_is_whole_and_made_once() {
    if skip_without_servers("the_generated_catalogue_is_whole_and_made_once") {
        return;
    }
    let fixture = filled().await;
    let url = &fixture.database.admin_url;
    assert_eq!(number(&fixture, "SELECT count(*) FROM products").await, 400);
    assert_eq!(number(&fixture, "SELECT count(*) FROM reviews").await, 4_000);
    assert_eq!(number(&fixture, "SELECT count(*) FROM related_products").await, 400 * 8);
    let without = "SELECT count(*) FROM products p
                   WHERE NOT EXISTS (SELECT FROM variants v WHERE v.product_id = p.id)";
    assert_eq!(number(&fixture, without).await, 0);
    // By the Zipf law: the most reviewed product has 1 / H(400) of all reviews.
    let most = "SELECT max(n) FROM (SELECT count(*) AS n FROM reviews GROUP BY product_id) c";
    assert_eq!(number(&fixture, most).await, 609);
    // Every page can be read: what COPY wrote keeps the domain's rules.
    for product in 1..=400 {
        let page = fixture.catalogue.page(id(product)).await.expect("reads");
        assert_eq!(page.value.expect("is there").related.len(), 8);
    }
    // New rows get ids of their own.
    let next = "SELECT nextval(pg_get_serial_sequence('products', 'id'))";
    assert_eq!(number(&fixture, next).await, 401);
    assert!(!is_empty(url).await.expect("answers"));
    let again = generate(url, &SEED, |_| ()).await;
    assert!(matches!(again, Err(SeedError::NotEmpty)), "{again:?}");
    let none = SeedOptions { products: 0, ..SEED };
    let none = generate(url, &none, |_| ()).await;
    assert!(matches!(&none, Err(error) if error.to_string().contains("products")), "{none:?}");
}

#[tokio::test]
async fn the_real_shop_is_imported_whole() {
    let test = "the_real_shop_is_imported_whole";
    let Some(file) = data_file(test, "online-retail/products.csv") else { return };
    if skip_without_servers(test) {
        return;
    }
    let shop = OnlineRetail::open(file.parent().expect("a folder")).expect("reads");
    // As the data set's description says.
    assert_eq!(shop.orders().len(), 541_909);
    assert_eq!(shop.products().len(), 4_070);
    let fixture = empty().await;
    let mut rows = 0;
    import(&fixture.database.admin_url, &shop, |p| rows = p.rows).await.expect("imports");
    assert_eq!(rows, 1 + 2 * 4_070);
    assert_eq!(number(&fixture, "SELECT count(*) FROM products").await, 4_070);
    let first = &shop.orders()[0];
    let page =
        fixture.catalogue.page(first.product).await.expect("reads").transpose().expect("is there");
    assert_eq!(page.value.sku, shop.product(first).sku);
    assert_eq!(page.value.sku.as_str(), "85123A");
}
