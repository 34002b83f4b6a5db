//! `GET /dashboard/events`: server-sent events, `hello` once and then `second` once a second.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::Data;
use bytes::Bytes;
use futures_util::stream;

use super::hub::{Hub, Viewer};
use crate::problem::Problem;

/// How long one who is not let in waits before he asks again.
const RETRY: Duration = Duration::from_secs(5);

/// The stream. Its head is answered at once, so the deadline of requests does not end it.
pub(super) async fn stream(hub: Data<Hub>) -> Result<HttpResponse, Problem> {
    let viewer = hub.view().ok_or_else(|| {
        Problem::unavailable("as many look at the dashboard as may, or the service stops", RETRY)
    })?;
    let events = stream::unfold(viewer, |mut viewer| async {
        Some((Ok::<_, Infallible>(viewer.next().await?), viewer))
    });
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        // A proxy that collects answers would show nothing for long.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(events))
}

impl Viewer {
    /// What is told next; `None` when the process stops. Who reads slowly misses seconds, and
    /// holds up nobody.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        self.events.changed().await.ok()?;
        Some(self.events.borrow_and_update().clone())
    }
}
