//! `GET /dashboard/events`: server-sent events, `hello` once and then `second` once a second.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::Data;
use futures_util::StreamExt;

use super::hub::Hub;
use super::viewers::Events;
use crate::problem::Problem;

/// How long one who is not let in waits before he asks again.
const RETRY: Duration = Duration::from_secs(5);

/// The stream. Its head is answered at once, so the deadline of requests does not end it.
pub(super) async fn stream(hub: Data<Hub>) -> Result<HttpResponse, Problem> {
    answer(hub.view())
}

/// What somebody is answered who looks, or may not.
pub(super) fn answer(events: Option<Events>) -> Result<HttpResponse, Problem> {
    let events = events.ok_or_else(|| {
        Problem::unavailable("as many look at the dashboard as may, or the service stops", RETRY)
    })?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        // A proxy that collects answers would show nothing for long.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(events.map(Ok::<_, Infallible>)))
}
