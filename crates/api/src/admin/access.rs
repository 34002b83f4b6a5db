//! Who may administer.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use subtle::ConstantTimeEq;

use crate::problem::Problem;

/// Who may administer.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// There is no key, and the address can be reached from other machines.
    Nobody,
    /// There is no key, and only this machine can reach the address.
    Everybody,
    /// Reads are for everybody on this machine, changes for who has the key.
    KeyForChanges(Arc<str>),
    /// All is for who has the key.
    Key(Arc<str>),
}

impl Access {
    /// What `key` (empty: none) and the address listened on make of it.
    pub(crate) fn of(key: &str, address: SocketAddr) -> Self {
        match (key.is_empty(), address.ip().is_loopback()) {
            (true, false) => Self::Nobody,
            (true, true) => Self::Everybody,
            (false, true) => Self::KeyForChanges(key.into()),
            (false, false) => Self::Key(key.into()),
        }
    }
}

/// Lets `request` through, or answers 401.
pub(super) async fn check<B: MessageBody>(
    access: Access,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let key = match &access {
        Access::Nobody => return Err(Problem::unauthorized().into()),
        Access::Everybody => return next.call(request).await,
        Access::KeyForChanges(_) if request.method().is_safe() => return next.call(request).await,
        Access::KeyForChanges(key) | Access::Key(key) => key,
    };
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
    // In a time that does not tell how much of it was right.
    if bool::from(given.trim().as_bytes().ct_eq(key.as_bytes())) {
        next.call(request).await
    } else {
        Err(Problem::unauthorized().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_key_only_loopback_addresses_have_admin_routes() {
        let of = |key, address: &str| Access::of(key, address.parse().expect("an address"));
        assert!(matches!(of("", "127.0.0.1:1"), Access::Everybody));
        assert!(matches!(of("", "[::1]:1"), Access::Everybody));
        assert!(matches!(of("", "0.0.0.0:1"), Access::Nobody));
        assert!(matches!(of("k", "127.0.0.1:1"), Access::KeyForChanges(_)));
        assert!(matches!(of("k", "0.0.0.0:1"), Access::Key(_)));
    }
}
