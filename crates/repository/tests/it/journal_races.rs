//! Two at the same entries, or at the same pieces.

use std::time::{Duration, Instant};

use catalog_domain::{ProductPatch, ProductRepository, StockDelta};
use larder_postgres::Journal;
use larder_stack::testing::skip_without_servers;

use crate::journal::{OPTIONS, append, count, order, sku};
use crate::journal_model::{process, see};
use crate::support::{euros, filled, id, of};

#[tokio::test]
async fn a_flush_killed_between_taking_and_applying_leaves_everything_to_the_next() {
    if skip_without_servers("a_flush_killed_between_taking_and_applying") {
        return;
    }
    let fixture = filled().await;
    let journal = fixture.catalogue.journal();
    append(&journal, count(1, &sku(1), 9)).await;
    append(&journal, order(1, &sku(1), -2)).await;
    let before = see(&fixture.catalogue, 1).await;
    // It lets rows be locked, but not changed.
    let lock = fixture.database.begin("LOCK TABLE variants IN SHARE ROW EXCLUSIVE MODE").await;
    let flusher = process(&fixture, "flusher").journal();
    let flush = tokio::spawn(async move { flusher.flush(&OPTIONS).await.map(drop) });
    let waits = "SELECT 1 / count(*) FROM pg_stat_activity
                 WHERE application_name = 'flusher' AND wait_event_type = 'Lock'";
    let waiting = async || fixture.database.try_execute(waits).await.is_ok();
    let patience = Instant::now();
    while !waiting().await {
        assert!(patience.elapsed() < Duration::from_secs(10), "the flush does not get to its end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Whoever else flushes passes by, and readers see what they saw.
    assert_eq!(journal.flush(&OPTIONS).await.expect("flushes").entries, 0);
    assert_eq!(see(&fixture.catalogue, 1).await, before);
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE application_name = 'flusher' AND datname = current_database()";
    fixture.database.execute(kill).await;
    flush.await.expect("no panic").expect_err("was killed");
    lock.commit().await;
    assert_eq!(see(&fixture.catalogue, 1).await, before);
    assert_eq!(journal.flush(&OPTIONS).await.expect("flushes").entries, 2);
    assert_eq!(see(&fixture.catalogue, 1).await, before);
    assert_eq!(before.1.stock[&sku(1)], 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_pieces_are_sold_once_however_many_want_them() {
    if skip_without_servers("the_last_pieces_are_sold_once_however_many_want_them") {
        return;
    }
    let fixture = filled().await;
    append(&fixture.catalogue.journal(), count(1, &sku(1), 50)).await;
    let sellers: Vec<_> = (0..4)
        .map(|seller| {
            let catalogue = process(&fixture, "process");
            tokio::spawn(async move {
                let (mut sold, journal) = (0, catalogue.journal());
                for round in 0..20 {
                    let answers = journal.append(&[order(1, &sku(1), -1)]).await.expect("answers");
                    sold += i32::from(answers[0].is_ok());
                    if seller == 0 {
                        let stock_delta = vec![StockDelta { sku: of(&sku(1)), delta: -1 }];
                        let patch = ProductPatch { stock_delta, ..ProductPatch::default() };
                        sold += i32::from(catalogue.patch(id(1), &patch, None).await.is_ok());
                    }
                    if round % 4 == seller {
                        journal.flush(&OPTIONS).await.expect("flushes");
                    }
                }
                sold
            })
        })
        .collect();
    let mut sold = 0;
    for seller in sellers {
        sold += seller.await.expect("no panic");
    }
    assert_eq!(sold, 50);
    let price = ProductPatch { price: Some(euros(1)), ..ProductPatch::default() };
    fixture.catalogue.patch(id(1), &price, None).await.expect("patches");
    assert_eq!(see(&fixture.catalogue, 1).await.1.stock[&sku(1)], 0);
}
