//! Entries that cannot be applied: they are tried again, become dead letters, and are replayed.

use std::time::Duration;

use catalog_domain::{ProductPatch, ProductRepository};
use larder_postgres::{FlushOptions, Flushed, Journal, Version, WriteState};
use larder_stack::testing::skip_without_servers;

use crate::journal::{OPTIONS, SKU, append, flush, order, price, shop};
use crate::support::{euros, id};

#[tokio::test]
async fn what_direct_sql_made_impossible_becomes_a_dead_letter_and_is_seen_no_more() {
    if skip_without_servers("what_direct_sql_made_impossible_becomes_a_dead_letter") {
        return;
    }
    let shop = shop().await;
    let taken = append(&shop.journal, order(shop.lamp, SKU, -4)).await;
    let behind = append(&shop.journal, order(shop.lamp, SKU, -1)).await;
    append(&shop.journal, price(1, 42)).await;
    shop.lower_stock_directly(2).await;
    // It cannot be done, and shows nothing; what is behind it can.
    let seen = shop.page().await;
    assert_eq!(seen.value.pieces, 1);
    let first = flush(&shop.journal).await;
    assert_eq!((first.entries, first.failed, first.dead), (1, 1, 0), "others go on");
    let second = flush(&shop.journal).await;
    assert_eq!((second.entries, second.failed, second.dead), (0, 0, 1));
    let page = shop.page().await;
    assert_eq!(page.value.pieces, 1);
    assert!(page.revision.counter > seen.revision.counter, "a dead letter is a change");
    let changed = |c: &(String, String, Version)| c.2.counter;
    assert_eq!(second.changes.iter().map(changed).collect::<Vec<_>>(), [page.revision.counter]);
    assert_eq!(flush(&shop.journal).await.entries, 1);
    assert_eq!(shop.page().await, page);
    assert_eq!(
        shop.journal.find(behind.position).await.expect("answers"),
        Some(WriteState::Flushed)
    );

    let find = async |position| shop.journal.find(position).await.expect("answers");
    assert_eq!(find(taken.position).await, Some(WriteState::Dead));
    let letters = shop.journal.dead_letters(10).await.expect("answers");
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].position, letters[0].attempts), (taken.position, 2));
    assert!(letters[0].operation.contains("-4"), "{letters:?}");
    // Refused anew: there is one piece.
    shop.journal.replay(taken.position).await.expect_err("the check is made anew");
    shop.lower_stock_directly(4).await;
    let replayed = shop.journal.replay(taken.position).await.expect("answers").expect("is there");
    assert!(replayed.position > behind.position);
    assert_eq!(shop.page().await.value.pieces, 0);
    assert_eq!(find(taken.position).await, Some(WriteState::Pending));
    assert_eq!(shop.journal.replay(taken.position).await.expect("answers"), None);
    assert!(!shop.journal.discard(taken.position).await.expect("answers"));
    assert_eq!(flush(&shop.journal).await.entries, 1);
    assert_eq!(find(taken.position).await, Some(WriteState::Flushed));

    // A product deleted directly: nothing to apply it to.
    let gone = append(&shop.journal, price(shop.lamp, 1)).await;
    shop.sql(&format!("DELETE FROM products WHERE id = {}", shop.lamp)).await;
    flush(&shop.journal).await;
    assert_eq!(flush(&shop.journal).await.dead, 1);
    assert!(shop.journal.discard(gone.position).await.expect("answers"));
    assert_eq!(find(gone.position).await, Some(WriteState::Dead));
    assert_eq!(shop.journal.state().await.expect("answers").dead, 0);
}

#[tokio::test]
async fn a_poisonous_entry_keeps_back_its_own_key_alone_and_can_be_replayed() {
    if skip_without_servers("a_poisonous_entry_keeps_back_its_own_key_alone") {
        return;
    }
    let shop = shop().await;
    shop.sql("ALTER TABLE products ADD CONSTRAINT cheap CHECK (price_minor <> 666)").await;
    for minor in [1, 2, 3, 666] {
        append(&shop.journal, price(shop.lamp, minor)).await;
    }
    let others: Vec<_> = (1..200).map(|n| price(n, 10 + n)).collect();
    shop.journal.append(&others).await.expect("answers");
    let flushed = flush(&shop.journal).await;
    assert_eq!((flushed.entries, flushed.failed, flushed.dead), (199 + 3, 1, 0));
    assert_eq!(shop.page().await.value.minor, 666, "acknowledged, so seen");
    append(&shop.journal, order(shop.lamp, SKU, -1)).await;
    let before = shop.page().await;
    let flushed = flush(&shop.journal).await;
    assert_eq!((flushed.entries, flushed.failed, flushed.dead), (0, 0, 1));
    let after = shop.page().await;
    assert_eq!((after.value.minor, after.value.pieces), (3, 4));
    assert!(after.revision > before.revision);
    let named = flushed.changes.iter().map(|(space, key, _)| (space.as_str(), key.clone()));
    let lamp = shop.lamp.to_string();
    let named: Vec<_> = named.collect();
    assert!(named.contains(&("product-summary", lamp.clone())), "{named:?}");
    assert!(named.contains(&("product-page", lamp)), "{named:?}");
    assert_eq!(flush(&shop.journal).await.entries, 1, "what was behind it");

    shop.sql("ALTER TABLE products DROP CONSTRAINT cheap").await;
    let letter = shop.journal.dead_letters(1).await.expect("answers").pop().expect("one");
    assert!(letter.error.contains("cheap"), "{letter:?}");
    shop.journal.replay(letter.position).await.expect("answers").expect("is there");
    assert_eq!(flush(&shop.journal).await.entries, 1);
    assert_eq!(shop.page().await.value.minor, 666);
}

#[tokio::test]
async fn an_entry_that_failed_waits_for_its_next_attempt_with_all_that_is_behind_it() {
    if skip_without_servers("an_entry_that_failed_waits_for_its_next_attempt") {
        return;
    }
    let shop = shop().await;
    append(&shop.journal, order(shop.lamp, SKU, -4)).await;
    append(&shop.journal, order(shop.lamp, SKU, 1)).await;
    shop.lower_stock_directly(1).await;
    let options = FlushOptions { attempts: 9, backoff: Duration::from_secs(3_600), ..OPTIONS };
    let failed = shop.journal.flush(&options).await.expect("flushes");
    assert_eq!((failed.entries, failed.failed), (0, 1));
    shop.lower_stock_directly(4).await;
    assert_eq!(shop.journal.flush(&options).await.expect("flushes"), Flushed::default());
    assert_eq!(shop.page().await.value.pieces, 1, "it can be done again, and is seen again");
    // Who writes at once does not wait for it.
    let patch = ProductPatch { price: Some(euros(1)), ..ProductPatch::default() };
    shop.fixture.catalogue.patch(id(shop.lamp), &patch, None).await.expect("patches");
    assert_eq!(shop.journal.state().await.expect("answers").depth, 0);
    assert_eq!(shop.page().await.value.pieces, 1);
}
