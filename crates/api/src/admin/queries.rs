//! `GET /admin/queries`: every SQL statement, counted.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use larder_postgres::Totals;
use serde_json::{Value, json};

use crate::app::State;
use crate::routes::resource;

pub(super) fn configure(service: &mut ServiceConfig) {
    service.service(resource("/queries").route(web::get().to(show)));
}

async fn show(state: Data<State>) -> HttpResponse {
    let ledger = state.catalogue.repository().database().ledger();
    let rows: Vec<Value> = ledger
        .rows()
        .into_iter()
        .map(|row| {
            let mut shown = totals(row.totals);
            shown["namespace"] = row.statement.namespace.into();
            shown["strategy"] = row.strategy.into();
            shown["purpose"] = row.statement.purpose.as_str().into();
            shown["operation"] = row.statement.operation.into();
            shown["collection"] = row.statement.collection.into();
            shown
        })
        .collect();
    // The relay's own role: its statements are no part of the application's count.
    let feed = state.feed.as_ref().map(|feed| totals(feed.ledger().totals()));
    HttpResponse::Ok().json(json!({
        "totals": totals(ledger.totals()),
        "rows": rows,
        "feed": feed,
    }))
}

fn totals(totals: Totals) -> Value {
    json!({
        "completed": totals.completed,
        "failed": totals.failed,
        "unknown": totals.unknown,
        "in_flight": totals.in_flight,
    })
}
