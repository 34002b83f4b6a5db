//! Writes that wait outside of the database, laid over what is shown.
//!
//! What is cached stays as the database says it. Only where something waits for a product that an
//! answer shows, its JSON text is parsed, changed and written again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use catalog_domain::{Listing, Pending, ProductId, ProductPage, ProductSummary, View};
use larder::{Overlay, Version};
use serde::Deserialize;

use crate::error::CatalogueError;
use crate::rendered::CachedView;
use crate::reply::Reply;

/// What of a page is read first: which products it shows.
#[derive(Deserialize)]
struct Shown {
    related: Vec<ShownProduct>,
}

#[derive(Deserialize)]
struct ShownProduct {
    id: ProductId,
}

/// The page of the product `id`, with what waits.
pub(crate) async fn page(
    overlay: Option<&Overlay<Pending>>,
    id: ProductId,
    reply: Reply,
) -> Result<Reply, CatalogueError> {
    let Some((overlay, body)) = concerned(overlay, &reply) else { return Ok(reply) };
    let shown: Shown = serde_json::from_slice(body)?;
    let related = shown.related.iter().map(|shown| shown.id);
    let mut waiting: HashMap<ProductId, Vec<Pending>> = HashMap::new();
    for product in std::iter::once(id).chain(related) {
        let over = over(overlay, product, View::ProductPage, id, &reply).await;
        if !over.is_empty() {
            waiting.insert(product, over);
        }
    }
    if waiting.is_empty() {
        return Ok(reply);
    }
    let mut page: ProductPage = serde_json::from_slice(body)?;
    if let Some(waiting) = waiting.get(&id) {
        page.overlay(waiting);
    }
    for related in &mut page.related {
        if let Some(waiting) = waiting.get(&related.id) {
            related.overlay(waiting);
        }
    }
    rendered(&page, reply)
}

/// The summary of the product `id`, with what waits.
pub(crate) async fn summary(
    overlay: Option<&Overlay<Pending>>,
    id: ProductId,
    reply: Reply,
) -> Result<Reply, CatalogueError> {
    let Some((overlay, body)) = concerned(overlay, &reply) else { return Ok(reply) };
    let waiting = over(overlay, id, View::ProductSummary, id, &reply).await;
    if waiting.is_empty() {
        return Ok(reply);
    }
    let mut summary: ProductSummary = serde_json::from_slice(body)?;
    summary.overlay(&waiting);
    rendered(&summary, reply)
}

/// What waits before a listing is read. It shows prices alone, and these do not depend on what was
/// there before: it does no harm if some of it has been applied when the listing is read.
pub(crate) fn before_listing(overlay: Option<&Overlay<Pending>>) -> HashMap<String, Vec<Pending>> {
    overlay.filter(|overlay| !overlay.is_empty()).map(Overlay::all_waiting).unwrap_or_default()
}

/// Lays what waited over a listing that was read since.
pub(crate) fn listing(before: &HashMap<String, Vec<Pending>>, listing: &mut Listing) {
    if before.is_empty() {
        return;
    }
    for product in &mut listing.products {
        if let Some(waiting) = before.get(&key(product.id)) {
            product.overlay(waiting);
        }
    }
}

/// The body, if something waits for any product.
fn concerned<'a>(
    overlay: Option<&'a Overlay<Pending>>,
    reply: &'a Reply,
) -> Option<(&'a Overlay<Pending>, &'a Bytes)> {
    Some((overlay.filter(|overlay| !overlay.is_empty())?, reply.body.as_ref()?))
}

/// What waits for `product` and the `view` of the product `of`, which was read, does not show.
async fn over(
    overlay: &Overlay<Pending>,
    product: ProductId,
    view: View,
    of: ProductId,
    reply: &Reply,
) -> Vec<Pending> {
    let product = key(product);
    if !overlay.holds(&product) {
        return Vec::new();
    }
    let version = Version::new(reply.revision.epoch, reply.revision.counter);
    overlay.over(&product, view.namespace(), &of.to_string(), version).await
}

/// A product's key in the overlay.
fn key(id: ProductId) -> String {
    id.to_string()
}

/// `reply` with `view` as its body. Where that is another one, so is what tells it apart.
fn rendered<V: CachedView>(view: &V, reply: Reply) -> Result<Reply, CatalogueError> {
    let body = Bytes::from(serde_json::to_vec(view)?);
    if reply.body.as_ref() == Some(&body) {
        return Ok(reply);
    }
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    Ok(Reply { overlaid: Some(hasher.finish()), body: Some(body), ..reply })
}
