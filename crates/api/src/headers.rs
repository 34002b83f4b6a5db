//! Headers that say how new an answer is and where it came from.

use std::fmt::Write;

use actix_web::http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use bytes::Bytes;
use catalog_domain::Revision;
use catalog_service::{CacheStatus, Reply, Source};

use crate::problem::Problem;

const CACHE_STATUS: &str = "cache-status";

/// The strong entity tag of a revision.
pub(crate) fn etag(revision: Revision) -> String {
    format!("\"{revision}\"")
}

/// The entity tag of an answer: of its revision, and where writes are laid over it that have none yet,
/// of its content.
fn tag(reply: &Reply) -> String {
    match reply.overlaid {
        None => etag(reply.revision),
        Some(content) => format!("\"{}+{content:016x}\"", reply.revision),
    }
}

/// The answer to a conditional read of a `what`.
pub(crate) fn reply(request: &HttpRequest, what: &str, reply: Reply) -> HttpResponse {
    let status = cache_status(&reply.status);
    let tag = tag(&reply);
    match reply.body {
        Some(body) => view(request, &tag, status, body),
        None => {
            let mut response = Problem::not_found(what).error_response();
            let status = HeaderValue::try_from(status).expect("made of tokens and numbers");
            response.headers_mut().insert(HeaderName::from_static(CACHE_STATUS), status);
            response
        }
    }
}

/// An answer with the headers of a view; 304 without a body where the client has it.
pub(crate) fn view(
    request: &HttpRequest,
    etag: &str,
    cache_status: String,
    body: Bytes,
) -> HttpResponse {
    let known = request.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| matches(known, etag)) {
        return HttpResponse::NotModified()
            .insert_header((ETAG, etag))
            .insert_header((CACHE_STATUS, cache_status))
            .finish();
    }
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((ETAG, etag))
        .insert_header((CACHE_STATUS, cache_status))
        .body(body)
}

/// Weak comparison, as RFC 9110 asks for with If-None-Match.
fn matches(known: &str, etag: &str) -> bool {
    known.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// RFC 9211.
pub(crate) fn cache_status(status: &CacheStatus) -> String {
    let mut text = String::with_capacity(48);
    text.push_str("larder");
    let written = match status.source {
        Source::Hit(tier) => match status.ttl {
            Some(ttl) => write!(text, "; hit; ttl={}; detail={}", ttl.as_secs(), tier.as_str()),
            None => write!(text, "; hit; detail={}", tier.as_str()),
        },
        // RFC 9211: negative once it is stale.
        Source::Stale(tier) => write!(text, "; hit; ttl=-1; detail=stale-{}", tier.as_str()),
        Source::Miss(why) => {
            let stored = if status.stored { "; stored" } else { "" };
            write!(text, "; fwd=miss{stored}; detail={why}")
        }
        Source::Bypass(why) => write!(text, "; fwd=bypass; detail={why}"),
    };
    written.expect("writing to a String cannot fail");
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use larder::Tier;

    use super::*;

    #[test]
    fn cache_status_is_a_structured_field_of_rfc_9211() {
        let status = |source, ttl, stored| cache_status(&CacheStatus { source, ttl, stored });
        let ttl = Some(Duration::from_millis(12_900));
        assert_eq!(status(Source::Hit(Tier::L2), ttl, false), "larder; hit; ttl=12; detail=l2");
        assert_eq!(status(Source::Hit(Tier::L2), None, false), "larder; hit; detail=l2");
        let stale = Source::Stale(Tier::L1);
        assert_eq!(status(stale, None, false), "larder; hit; ttl=-1; detail=stale-l1");
        let miss = Source::Miss("absent");
        assert_eq!(status(miss, None, true), "larder; fwd=miss; stored; detail=absent");
        assert_eq!(
            status(Source::Bypass("redis-unavailable"), None, false),
            "larder; fwd=bypass; detail=redis-unavailable"
        );
    }

    #[test]
    fn what_waits_makes_another_entity_tag_of_the_same_revision() {
        let revision = Revision { epoch: 1, counter: 7 };
        let status = CacheStatus { source: Source::Hit(Tier::L2), ttl: None, stored: false };
        let tag = |overlaid| tag(&Reply { body: None, revision, overlaid, status });
        assert_eq!(tag(None), "\"1-7\"");
        assert_eq!(tag(Some(0xab)), "\"1-7+00000000000000ab\"");
    }

    #[test]
    fn if_none_match_takes_lists_weak_tags_and_the_star() {
        for known in ["\"1-2\"", "W/\"1-2\"", "\"1-1\", \"1-2\"", "*"] {
            assert!(matches(known, "\"1-2\""), "{known}");
        }
        for known in ["", "\"1-20\"", "1-2"] {
            assert!(!matches(known, "\"1-2\""), "{known}");
        }
    }
}
