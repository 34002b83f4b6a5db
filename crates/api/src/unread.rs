//! What a client goes on sending after its answer.
//!
//! actix-http closes a connection whose body was not read to its end, and reads it for
//! `server.client_disconnect_timeout_ms` before, so that the client gets to the answer. But a body in chunks
//! that nobody holds any more it reads on, and throws away, for as long as its client sends. So the body
//! is held here until its answer has been sent.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::problem::changed;

/// A request's body, read by whoever answers.
#[derive(Clone)]
struct Shared(Rc<RefCell<Payload>>);

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().poll_next_unpin(context)
    }
}

/// An answer's body that holds the request's.
pub(crate) struct Holding {
    body: BoxBody,
    _request: Shared,
}

impl MessageBody for Holding {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.body.as_pin_mut().poll_next(context)
    }
}

/// Ends a connection whose client has not sent all of its body in chunks when it is answered.
pub(crate) async fn ended<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, Holding>>, Error> {
    if !request.chunked().unwrap_or(false) {
        return next.call(request).await.map(ServiceResponse::map_into_left_body);
    }
    let shared = Shared(Rc::new(RefCell::new(request.take_payload())));
    request.set_payload(Payload::Stream { payload: Box::pin(shared.clone()) });
    let holding = move |body: BoxBody| Holding { body, _request: shared.clone() };
    match next.call(request).await {
        Ok(answer) => Ok(answer.map_body(|_, body| EitherBody::right(holding(body.boxed())))),
        Err(error) => Err(changed(error, move |answer| {
            answer.map_body(|_, body| holding(body)).map_into_boxed_body()
        })),
    }
}
