//! What the port promises: snapshots, versions, and the changes of a write.

use catalog_domain::{
    Change, ListRequest, NewReview, ProductPatch, ProductRepository, Rating, RepositoryError,
    Revision, StockChange, StockDelta, View,
};
use larder_stack::testing::skip_without_servers;

use crate::support::{Fixture, euros, filled, id, of, product, stock};

async fn revision(fixture: &Fixture, number: i64) -> Revision {
    fixture.catalogue.page(id(number)).await.expect("reads").transpose().expect("is there").revision
}

fn change(changes: &[Change], view: View, number: i64) -> Option<Revision> {
    changes.iter().find(|c| c.view == view && c.id == id(number)).map(|c| c.revision)
}

#[tokio::test]
async fn what_is_created_is_read_back_and_changed() {
    if skip_without_servers("what_is_created_is_read_back_and_changed") {
        return;
    }
    let fixture = filled().await;
    let catalogue = &fixture.catalogue;
    let created = catalogue.create(&product("LAMP")).await.expect("creates");
    let new = created.value;
    let read = catalogue.page(new).await.expect("reads").transpose().expect("is there");
    assert_eq!(read.revision, created.revision);
    assert_eq!(change(&created.changes, View::ProductPage, new.get()), Some(read.revision));
    let page = read.value;
    assert_eq!((page.sku.as_str(), page.price), ("LAMP", euros(1_999)));
    assert_eq!(page.category_path.len(), 1);
    assert_eq!(page.category_path[0].slug.as_str(), "kitchen");
    let related: Vec<i64> = page.related.iter().map(|r| r.id.get()).collect();
    assert_eq!(related, [1, 2]);
    let first = catalogue.page(id(1)).await.expect("reads").transpose().expect("is there").value;
    assert_eq!(page.related[0].rating_count, first.rating.count);
    assert_eq!(page.related[0].rating_average, first.rating.average);

    let patch = ProductPatch {
        price: Some(euros(5)),
        stock: Vec::new(),
        stock_delta: vec![StockDelta { sku: of("LAMP-1"), delta: -3 }],
    };
    let patched = catalogue.patch(new, &patch, None).await.expect("patches").expect("is there");
    assert!(patched.revision.counter > read.revision.counter);
    let read = catalogue.page(new).await.expect("reads").transpose().expect("is there");
    assert_eq!(read.revision, patched.revision);
    assert_eq!((read.value.price, read.value.variants[0].stock), (euros(5), stock(2)));
    let set = ProductPatch {
        price: None,
        stock: vec![StockChange { sku: of("LAMP-1"), stock: stock(40) }],
        stock_delta: Vec::new(),
    };
    catalogue.patch(new, &set, None).await.expect("patches").expect("is there");
    let summary = catalogue.summary(new).await.expect("reads").transpose().expect("is there");
    assert_eq!(summary.value.price, euros(5));

    let mut content = product("ignored").content;
    content.name = of("Another");
    content.related = vec![id(3)];
    catalogue.replace(new, &content, None).await.expect("replaces").expect("is there");
    let page = catalogue.page(new).await.expect("reads").transpose().expect("is there").value;
    assert_eq!((page.name.as_str(), page.related.len(), page.sku.as_str()), ("Another", 1, "LAMP"));
}

#[tokio::test]
async fn a_write_names_every_view_that_it_changed() {
    if skip_without_servers("a_write_names_every_view_that_it_changed") {
        return;
    }
    let fixture = filled().await;
    let catalogue = &fixture.catalogue;
    let shows = catalogue.create(&product("SHOWS")).await.expect("creates").value.get();
    let before = revision(&fixture, shows).await;

    // A price: page and summary of the product, and the pages that show it.
    let patch = ProductPatch { price: Some(euros(1)), stock: Vec::new(), stock_delta: Vec::new() };
    let written = catalogue.patch(id(1), &patch, None).await.expect("patches").expect("is there");
    let named = change(&written.changes, View::ProductPage, shows);
    assert_eq!(named, Some(revision(&fixture, shows).await));
    assert!(named.is_some_and(|revision| revision.counter > before.counter));
    assert!(change(&written.changes, View::ProductSummary, 1).is_some());
    assert!(change(&written.changes, View::ProductSummary, shows).is_none());

    // A stock: the product's own page alone.
    let sku = of("LD-0000001-1");
    let stock_delta = vec![StockDelta { sku, delta: 1 }];
    let patch = ProductPatch { price: None, stock: Vec::new(), stock_delta };
    let written = catalogue.patch(id(1), &patch, None).await.expect("patches").expect("is there");
    let pages: Vec<i64> = written.changes.iter().map(|c| c.id.get()).collect();
    assert_eq!(pages, [1], "{:?}", written.changes);

    // A review: its product, and the pages that show its rating.
    let review = NewReview {
        rating: Rating::try_from(5).expect("valid"),
        title: of("t"),
        body: of(""),
        author: of("a"),
    };
    let added = catalogue.add_review(id(2), &review).await.expect("adds").expect("is there");
    assert_eq!(
        change(&added.changes, View::ProductPage, shows),
        Some(revision(&fixture, shows).await)
    );

    // A deletion: every page that showed it; the version outlives the product.
    let deleted = catalogue.delete(id(1), None).await.expect("deletes").expect("was there");
    assert_eq!(
        change(&deleted.changes, View::ProductPage, shows),
        Some(revision(&fixture, shows).await)
    );
    // Also what is not there has a version, which creating it would make newer.
    let absent = catalogue.page(id(1)).await.expect("reads");
    assert!(absent.value.is_none());
    assert_eq!(Some(absent.revision), change(&deleted.changes, View::ProductPage, 1));
    let never = catalogue.summary(id(1_000_000)).await.expect("reads");
    assert!(never.value.is_none() && never.revision.counter == 0 && never.revision.epoch > 0);
    assert!(catalogue.delete(id(1), None).await.expect("answers").is_none());
    let page = catalogue.page(id(shows)).await.expect("reads").transpose().expect("is there").value;
    assert_eq!(page.related.len(), 1);
}

#[tokio::test]
async fn what_postgres_refuses_is_told_in_the_words_of_the_domain() {
    if skip_without_servers("what_postgres_refuses_is_told_in_the_words_of_the_domain") {
        return;
    }
    let fixture = filled().await;
    let catalogue = &fixture.catalogue;
    catalogue.create(&product("ONCE")).await.expect("creates");
    let twice = catalogue.create(&product("ONCE")).await;
    assert!(matches!(&twice, Err(RepositoryError::Conflict(e)) if e.field == "sku"), "{twice:?}");
    let mut nowhere = product("NOWHERE");
    nowhere.content.category = of("no-such-category");
    let refused = catalogue.create(&nowhere).await;
    assert!(
        matches!(&refused, Err(RepositoryError::Invalid(e)) if e.field == "category"),
        "{refused:?}"
    );
    let mut shows = product("SHOWS-NOTHING");
    shows.content.related = vec![id(999_999)];
    let refused = catalogue.create(&shows).await;
    assert!(
        matches!(&refused, Err(RepositoryError::Invalid(e)) if e.field.starts_with("related")),
        "{refused:?}"
    );
    let stock_delta = vec![StockDelta { sku: of("LD-0000001-1"), delta: -1_000_000 }];
    let patch = ProductPatch { price: None, stock: Vec::new(), stock_delta };
    assert!(catalogue.patch(id(1), &patch, None).await.is_err());
    // Nothing of a refused write stays.
    assert!(catalogue.create(&product("NOWHERE")).await.is_ok());
}

#[tokio::test]
async fn writers_of_one_product_at_once_lose_no_piece_of_stock() {
    if skip_without_servers("writers_of_one_product_at_once_lose_no_piece_of_stock") {
        return;
    }
    let fixture = filled().await;
    let new = fixture.catalogue.create(&product("BUSY")).await.expect("creates").value;
    let writers: Vec<_> = (0..40)
        .map(|_| {
            let catalogue = fixture.catalogue.clone();
            tokio::spawn(async move {
                let stock_delta = vec![StockDelta { sku: of("BUSY-1"), delta: 1 }];
                let patch = ProductPatch { price: None, stock: Vec::new(), stock_delta };
                catalogue
                    .patch(new, &patch, None)
                    .await
                    .expect("patches")
                    .expect("is there")
                    .revision
            })
        })
        .collect();
    let mut revisions = Vec::new();
    for writer in writers {
        revisions.push(writer.await.expect("no panic").counter);
    }
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), 40, "every write has a version of its own");
    let page =
        fixture.catalogue.page(new).await.expect("reads").transpose().expect("is there").value;
    assert_eq!(page.variants[0].stock, stock(45));
}

#[tokio::test]
async fn a_category_is_listed_with_all_below_it_in_pages() {
    if skip_without_servers("a_category_is_listed_with_all_below_it_in_pages") {
        return;
    }
    let fixture = filled().await;
    let mut seen = Vec::new();
    let mut request = ListRequest { category: of("kitchen"), after: None, limit: 7 };
    loop {
        let listing = fixture.catalogue.list(&request).await.expect("lists").expect("is there");
        assert!(listing.products.len() <= 7);
        seen.extend(listing.products.iter().map(|product| product.id.get()));
        let Some(next) = listing.next else { break };
        request.after = Some(catalog_domain::Cursor::decode(&next).expect("its own cursor"));
    }
    assert!(!seen.is_empty() && seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    let nowhere = ListRequest { category: of("no-such"), after: None, limit: 7 };
    assert!(fixture.catalogue.list(&nowhere).await.expect("answers").is_none());
}

#[tokio::test]
async fn how_new_a_view_is_costs_one_statement_and_tells_since_when() {
    if skip_without_servers("how_new_a_view_is_costs_one_statement_and_tells_since_when") {
        return;
    }
    let fixture = filled().await;
    let newest = async |view, number| {
        let newest = fixture.catalogue.newest(view, id(number)).await.expect("reads");
        newest.expect("the views are tracked")
    };
    let before = newest(View::ProductPage, 1).await;
    let counted = fixture.database.counted().await;
    assert_eq!(before.revision, revision(&fixture, 1).await);
    assert_eq!(before.older_for(before.revision), None);
    let pause = std::time::Duration::from_millis(50);
    tokio::time::sleep(pause).await;
    let patch = ProductPatch { price: Some(euros(5)), ..ProductPatch::default() };
    let patched =
        fixture.catalogue.patch(id(1), &patch, None).await.expect("patches").expect("is there");
    tokio::time::sleep(pause).await;
    let now = newest(View::ProductPage, 1).await;
    assert_eq!(now.revision, patched.revision);
    let old = now.older_for(before.revision).expect("is older");
    assert!(old >= pause && old < now.epoch_changed, "{now:?}");
    // The page, the four statements of the write, and this.
    assert_eq!(fixture.database.counted().await - counted, 5);
    // What was never there has a revision, too, and a barrier makes it and all others old.
    let never = newest(View::ProductSummary, 1_000_000).await;
    assert_eq!(never.revision.counter, 0);
    fixture.database.execute("TRUNCATE products CASCADE").await;
    let barrier = newest(View::ProductPage, 1).await;
    assert!(barrier.revision.epoch > now.revision.epoch);
    let old = barrier.older_for(now.revision).expect("is older");
    assert_eq!(old, barrier.epoch_changed);
}
