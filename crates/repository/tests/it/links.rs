//! A page and what it shows, changed in two transactions that overlap: neither change is lost.

use std::time::Duration;

use catalog_domain::{ProductPage, ProductPatch, ProductRepository, Revised};
use larder_stack::testing::skip_without_servers;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::journal::{append, price};
use crate::support::{Fixture, euros, filled, id};

/// Long enough to see that somebody waits.
const A_WHILE: Duration = Duration::from_millis(300);

async fn page(fixture: &Fixture, number: i64) -> Revised<ProductPage> {
    fixture.catalogue.page(id(number)).await.expect("reads").transpose().expect("is there")
}

/// While `open` is uncommitted, `late` is written; whoever loads the page between the two commits
/// must be told of the second.
async fn overlap(fixture: &Fixture, open: &str, late: &str) {
    let open = fixture.database.begin(open).await;
    let late = async {
        fixture.database.execute(late).await;
        page(fixture, 300).await
    };
    let commit = async {
        tokio::time::sleep(A_WHILE).await;
        open.commit().await;
    };
    let (between, ()) = tokio::join!(late, commit);
    let after = page(fixture, 300).await;
    assert!(
        between.value == after.value || between.revision < after.revision,
        "the page changed unseen: {} and {}",
        between.revision,
        after.revision
    );
}

#[tokio::test]
async fn a_page_that_begins_to_show_a_product_while_that_changes_is_told_of_the_change() {
    if skip_without_servers("a_page_that_begins_to_show_a_product_while_that_changes") {
        return;
    }
    let fixture = filled().await;
    fixture.database.execute("DELETE FROM related_products WHERE product_id = 300").await;
    let link = "INSERT INTO related_products VALUES (300, 1, 2)";
    let unlink = "DELETE FROM related_products WHERE product_id = 300";
    for change in [
        "UPDATE products SET price_minor = price_minor + 1 WHERE id = 2",
        "INSERT INTO reviews (product_id, rating, title, body, author) VALUES (2, 5, 't', 'b', 'a')",
    ] {
        overlap(&fixture, change, link).await;
        fixture.database.execute(unlink).await;
        overlap(&fixture, link, change).await;
        fixture.database.execute(unlink).await;
    }
}

#[tokio::test]
async fn a_product_that_moves_while_its_category_is_renamed_is_told_of_the_name() {
    if skip_without_servers("a_product_that_moves_while_its_category_is_renamed") {
        return;
    }
    let fixture = filled().await;
    let elsewhere = "(SELECT min(id) FROM categories WHERE id <> (SELECT category_id FROM products WHERE id = 300))";
    let rename = format!("UPDATE categories SET name = name || '!' WHERE id = {elsewhere}");
    let into = format!("UPDATE products SET category_id = {elsewhere} WHERE id = 300");
    let home = "UPDATE products SET category_id = (SELECT max(id) FROM categories) WHERE id = 300";
    fixture.database.execute(home).await;
    overlap(&fixture, &rename, &into).await;
    fixture.database.execute(home).await;
    overlap(&fixture, &into, &rename).await;
}

#[tokio::test]
async fn a_page_that_begins_to_show_a_product_whose_price_waits_is_told_of_the_price() {
    if skip_without_servers("a_page_that_begins_to_show_a_product_whose_price_waits") {
        return;
    }
    let fixture = filled().await;
    fixture.database.execute("DELETE FROM related_products WHERE product_id = 300").await;
    let link = "INSERT INTO related_products VALUES (300, 1, 2)";
    let open = fixture.database.begin(link).await;
    let journal = fixture.catalogue.journal();
    let late = async {
        let journaled = append(&journal, price(2, 7)).await;
        (journaled, page(&fixture, 300).await)
    };
    let commit = async {
        tokio::time::sleep(A_WHILE).await;
        open.commit().await;
    };
    let ((journaled, after), ()) = tokio::join!(late, commit);
    assert_eq!(after.value.related[0].price.minor(), 7);
    let told = journaled.changes.iter().find(|(_, key, _)| key == "300").expect("is told");
    assert_eq!(told.2.counter, after.revision.counter);
}

#[tokio::test]
async fn a_write_that_gave_way_in_a_deadlock_is_made_again() {
    if skip_without_servers("a_write_that_gave_way_in_a_deadlock_is_made_again") {
        return;
    }
    let fixture = filled().await;
    fixture.database.execute("INSERT INTO related_products VALUES (300, 9, 2)").await;
    let url = &fixture.database.admin_url;
    let mut watch = PgConnection::connect(url).await.expect("connects");
    let mut other = PgConnection::connect(url).await.expect("connects");
    // The write is to find the deadlock, not this one.
    other.execute("SET deadlock_timeout = '20s'").await.expect("may set it");
    let mut other = other.begin().await.expect("begins");
    // It has the version of page 300, which shows product 2, and soon wants product 300 as well …
    let price = "UPDATE products SET price_minor = 3 WHERE id = ";
    other.execute(AssertSqlSafe(format!("{price} 2"))).await.expect("updates");
    let patch = ProductPatch { price: Some(euros(7)), stock: Vec::new(), stock_delta: Vec::new() };
    let (written, ()) = tokio::join!(fixture.catalogue.patch(id(300), &patch, None), async {
        // … which this write has by the time that it waits for that version.
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                     AND wait_event_type = 'Lock')";
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut watch).await.expect("tells") {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        other.execute(AssertSqlSafe(format!("{price} 300"))).await.expect("the other one wins");
        other.commit().await.expect("commits");
    });
    written.expect("is made again").expect("is there");
    assert_eq!(page(&fixture, 300).await.value.price, euros(7));
    assert!(fixture.catalogue.database().ledger().totals().failed >= 1, "there was no deadlock");
}
