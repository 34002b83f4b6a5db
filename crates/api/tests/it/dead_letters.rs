//! Writes that cannot be applied: what an operator sees of them, and does about them.

use std::time::Duration;

use hyper::{Method, StatusCode};
use larder_stack::testing::skip_without_servers;
use serde_json::{Value, json};

use crate::support::{eventually, larder};
use crate::write_behind::{SOON, behind, in_the_table, page, patch, position, price, state};

#[tokio::test]
async fn a_poisonous_write_becomes_a_dead_letter_and_is_replayed_or_dropped() {
    if skip_without_servers("a_poisonous_write_becomes_a_dead_letter_and_is_replayed") {
        return;
    }
    let service =
        behind(&[SOON, ("WRITE_BEHIND__ATTEMPTS", "2"), ("WRITE_BEHIND__BACKOFF_MS", "10")]).await;
    service
        .database
        .execute("ALTER TABLE products ADD CONSTRAINT cheap CHECK (price_minor <> 666)")
        .await;
    patch(&service, 1, &price(1)).await;
    let poison = position(&patch(&service, 1, &price(666)).await);
    let fine = position(&patch(&service, 2, &price(2)).await);
    eventually(Duration::from_secs(20), "others are flushed", async || {
        state(&service, fine).await == "flushed"
    })
    .await;
    eventually(Duration::from_secs(20), "it is a dead letter", async || {
        state(&service, poison).await == "dead"
    })
    .await;
    eventually(Duration::from_secs(5), "it is seen no more", async || {
        page(&service, 1).await.1["price"]["minor"] == 1
    })
    .await;
    let letters = service.get("/admin/dead-letters?limit=10").await.json();
    assert_eq!(letters["dead_letters"].as_array().map(Vec::len), Some(1), "{letters}");
    let letter = service.get(&format!("/admin/dead-letters/{poison}")).await.json();
    for part in ["position", "key", "operation", "error", "attempts"] {
        assert_eq!(letter[part], letters["dead_letters"][0][part], "{part}");
    }
    assert_eq!((&letter["key"], &letter["attempts"]), (&json!("1"), &json!(2)));
    assert!(letter["error"].as_str().expect("text").contains("cheap"), "{letter}");

    service.database.execute("ALTER TABLE products DROP CONSTRAINT cheap").await;
    let number = poison.to_string();
    let (listed, _) = larder(&service, &["dead-letters", "list"]).await;
    assert!(listed.contains(&number) && listed.contains("cheap"), "{listed}");
    let (shown, _) = larder(&service, &["dead-letters", "show", &number]).await;
    assert!(shown.contains("666") && shown.contains("attempts       2"), "{shown}");
    let (replayed, code) = larder(&service, &["dead-letters", "replay", &number]).await;
    assert_eq!((replayed.starts_with("It waits again"), code), (true, 0), "{replayed}");
    let replay = format!("/admin/dead-letters/{poison}/replay");
    assert_eq!(page(&service, 1).await.1["price"]["minor"], 666);
    eventually(Duration::from_secs(20), "it is flushed now", async || {
        state(&service, poison).await == "flushed"
    })
    .await;
    assert!(in_the_table(&service, 1, 666).await);
    assert_eq!(service.send(Method::POST, &replay, &[], "").await.status, StatusCode::NOT_FOUND);

    // An order that direct SQL has made impossible: refused as a new one, it can be dropped.
    let sku = page(&service, 3).await.1["variants"][0]["sku"].clone();
    let stock = json!({ "stock": [{ "sku": sku, "stock": 5 }] });
    let set = position(&patch(&service, 3, &stock).await);
    eventually(Duration::from_secs(20), "it is flushed", async || {
        state(&service, set).await == "flushed"
    })
    .await;
    // A flush waits for nobody: it leaves a locked product alone.
    let locked = service.database.begin("SELECT FROM products WHERE id = 3 FOR UPDATE").await;
    let order = json!({ "stock_delta": [{ "sku": sku, "delta": -5 }] });
    let dead = position(&patch(&service, 3, &order).await);
    let direct = format!("UPDATE variants SET stock = 1 WHERE sku = {}", literal(&sku));
    service.database.execute(&direct).await;
    locked.commit().await;
    eventually(Duration::from_secs(20), "it is a dead letter", async || {
        state(&service, dead).await == "dead"
    })
    .await;
    let replay = format!("/admin/dead-letters/{dead}/replay");
    let refused = service.send(Method::POST, &replay, &[], "").await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
    assert_eq!(state(&service, dead).await, "dead");
    let number = dead.to_string();
    assert_eq!(larder(&service, &["write", &number]).await, ("dead\n".to_owned(), 0));
    assert_eq!(larder(&service, &["dead-letters", "drop", &number]).await.1, 0);
    let (told, code) = larder(&service, &["dead-letters", "show", &number]).await;
    assert_eq!((told.as_str(), code), ("larder: there is no such dead letter\n", 1));
    let (journal, _) = larder(&service, &["journal"]).await;
    assert!(journal.contains("dead letters   0"), "{journal}");
    let (nobody, code) = larder(&service, &["journal", "--api", "http://127.0.0.1:1"]).await;
    assert!(code == 69 && nobody.contains("does not answer"), "{nobody}");
    assert_eq!(page(&service, 3).await.1["variants"][0]["stock"], 1);
}

fn literal(sku: &Value) -> String {
    format!("'{}'", sku.as_str().expect("text"))
}

#[tokio::test]
async fn dead_letters_of_an_earlier_mode_are_shown_replayed_and_dropped_in_any_other() {
    if skip_without_servers("dead_letters_of_an_earlier_mode_are_shown_replayed_and_dropped") {
        return;
    }
    let service = behind(&[SOON]).await;
    // More than are listed; the last two positions would be a new journal's, too.
    let letters = "
        INSERT INTO larder.dead_letters (position, key, operation, appended_at, attempts, error)
        SELECT n, '1', '{\"price\": {\"minor\": 7, \"currency\": \"EUR\"}}', now(), 5, 'made up'
        FROM generate_series(1, 1200) AS n";
    service.database.execute(letters).await;
    let other = service.another_with(&[("WRITE_BEHIND__MODE", "volatile")]).await;
    let journal = other.get("/admin/journal").await.json();
    assert_eq!((&journal["mode"], &journal["dead_letters"]), (&json!("volatile"), &json!(0)));
    assert_eq!(journal["left"][0]["mode"], "journaled", "{journal}");
    assert_eq!(journal["left"][0]["dead_letters"], 1200, "{journal}");
    let (told, _) = larder(&other, &["journal"]).await;
    assert!(told.contains("of the mode journaled, 1200 dead letters"), "{told}");
    let listed = other.get("/admin/dead-letters?limit=2000").await.json();
    let listed = listed["dead_letters"].as_array().expect("a list").clone();
    assert_eq!((listed.len(), &listed[0]["mode"]), (1_000, &json!("journaled")));
    for process in [&service.process, &other] {
        let letter = process.get("/admin/dead-letters/1200").await;
        assert_eq!(letter.status, StatusCode::OK, "{letter:?}");
        let letter = letter.json();
        assert_eq!((&letter["mode"], &letter["error"]), (&json!("journaled"), &json!("made up")));
    }
    let wrong = other.get("/admin/dead-letters/1200?mode=volatile").await;
    assert_eq!(wrong.status, StatusCode::NOT_FOUND, "{wrong:?}");
    let unknown = other.get("/admin/dead-letters/1200?mode=none").await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST, "{unknown:?}");
    assert_eq!(unknown.json()["errors"][0]["field"], "mode", "{unknown:?}");
    let (dropped, code) =
        larder(&other, &["dead-letters", "drop", "1200", "--mode", "journaled"]).await;
    assert_eq!(code, 0, "{dropped}");
    assert_eq!(other.get("/admin/dead-letters/1200").await.status, StatusCode::NOT_FOUND);
    let replayed = other.send(Method::POST, "/admin/dead-letters/1199/replay", &[], "").await;
    assert_eq!(replayed.status, StatusCode::ACCEPTED, "{replayed:?}");
    assert_eq!(replayed.json()["mode"], "journaled", "{replayed:?}");
    eventually(Duration::from_secs(20), "it is applied", async || {
        in_the_table(&service, 1, 7).await
    })
    .await;
}
