//! How the service ends: it says that it is not ready, goes on serving for a while, and only then stops
//! listening.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::config::ServerConfig;
use crate::problem::changed;

/// The part of the time for a shutdown that requests get at most, of three.
const PARTS_FOR_REQUESTS: u32 = 2;

/// Whether the service is about to end, and when it does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closing(Arc<AtomicBool>, Arc<Notify>);

/// How long each part of a shutdown may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// `/readyz` says no, and everything is served.
    pub(crate) drain: Duration,
    /// Requests under way end.
    pub(crate) requests: Duration,
    /// What is journaled is applied, and the relay is handed over.
    pub(crate) journal: Duration,
}

impl Closing {
    pub(crate) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Ends the service that `handle` is of: not ready from now on, in a while not listening.
    pub(crate) async fn close(&self, handle: &ServerHandle, drain: Duration) {
        self.0.store(true, Ordering::Release);
        sleep(drain).await;
        self.stop(handle, true).await;
    }

    /// Waits until the service stops listening: answers that have no end must end by themselves, for
    /// it waits for them. For one who waits.
    pub(crate) async fn stopping(&self) {
        self.1.notified().await;
    }

    async fn stop(&self, handle: &ServerHandle, graceful: bool) {
        self.1.notify_one();
        handle.stop(graceful).await;
    }

    /// Ends it when the process is told to: by SIGTERM as [`close`](Self::close) does, by a second one
    /// without waiting any longer for balancers, by SIGINT or SIGQUIT without waiting for requests.
    pub(crate) async fn on_signal(self, handle: ServerHandle, drain: Duration) {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()];
        let [Ok(mut terminate), Ok(mut interrupt), Ok(mut quit)] = kinds.map(signal) else {
            tracing::warn!("signals are not heard: a stop will not wait for requests");
            return;
        };
        let mut at_once =
            async || tokio::select! { _ = interrupt.recv() => {}, _ = quit.recv() => {} };
        tokio::select! {
            () = told(&mut terminate) => {}
            () = at_once() => {
                self.0.store(true, Ordering::Release);
                return self.stop(&handle, false).await;
            }
        }
        tracing::info!(?drain, "closing: not ready from now on");
        tokio::select! {
            () = self.close(&handle, drain) => {}
            () = told(&mut terminate) => self.stop(&handle, true).await,
            () = at_once() => self.stop(&handle, false).await,
        }
    }
}

async fn told(signal: &mut Signal) {
    signal.recv().await;
}

impl Patience {
    pub(crate) fn of(server: &ServerConfig) -> Self {
        let all = Duration::from_millis(server.shutdown_timeout_ms);
        let requests = all * PARTS_FOR_REQUESTS / 3;
        let drain = Duration::from_millis(server.drain_ms);
        Self { drain, requests, journal: all - requests }
    }
}

/// While the service closes, every answer tells its client to come back on another connection.
pub(crate) async fn told_to_leave<B: MessageBody>(
    closing: Closing,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    match next.call(request).await {
        answer if !closing.has_begun() => answer,
        Ok(mut answer) => {
            answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
            Ok(answer)
        }
        Err(error) => Err(changed(error, |mut answer| {
            answer.head_mut().set_connection_type(ConnectionType::Close);
            answer
        })),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::dev::Service;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, init_service};
    use actix_web::{App, HttpResponse, web};

    use super::*;
    use crate::problem::Problem;

    /// As the guard and the deadline do, from within.
    async fn refusing<B: MessageBody>(
        request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<B>, actix_web::Error> {
        if request.path() == "/refused" {
            return Err(Problem::deadline().into());
        }
        next.call(request).await
    }

    async fn answer_to(path: &str, closing: &Closing) -> (u16, ConnectionType) {
        let closing = closing.clone();
        let app = App::new()
            .wrap(from_fn(refusing))
            .wrap(from_fn(move |request, next| told_to_leave(closing.clone(), request, next)))
            .route("/good", web::get().to(HttpResponse::Ok))
            .route("/bad", web::get().to(async || Err::<HttpResponse, _>(Problem::busy("no"))));
        let app = init_service(app).await;
        let answer = match app.call(TestRequest::get().uri(path).to_request()).await {
            Ok(answer) => answer.into_parts().1.map_into_boxed_body(),
            Err(error) => {
                let answer = error.error_response();
                assert_eq!(error.as_response_error().status_code(), answer.status());
                answer
            }
        };
        (answer.status().as_u16(), answer.head().connection_type())
    }

    #[actix_web::test]
    async fn every_answer_ends_its_connection_once_the_service_closes() {
        let closing = Closing::default();
        let cases = [("/good", 200), ("/bad", 503), ("/refused", 504)];
        for (path, status) in cases {
            let open = (status, ConnectionType::KeepAlive);
            assert_eq!(answer_to(path, &closing).await, open, "{path}");
        }
        closing.0.store(true, Ordering::Release);
        for (path, status) in cases {
            let last = (status, ConnectionType::Close);
            assert_eq!(answer_to(path, &closing).await, last, "{path}");
        }
    }
}
