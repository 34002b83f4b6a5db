//! `If-Match` (RFC 9110, 13.1.1): a write that is made only if the product's page is still the one
//! that the client has seen.

use actix_web::http::header::{HeaderMap, IF_MATCH};
use catalog_domain::Revision;
use catalog_service::Condition;
use larder::Version;

use crate::problem::Problem;

/// What a request asks for. Tags are compared strongly: a weak one, and one that was never made
/// here, match nothing.
pub(crate) fn asked(headers: &HeaderMap) -> Result<Condition, Problem> {
    let mut condition = Condition::None;
    // A list may come in several lines (RFC 9110, 5.3).
    for line in headers.get_all(IF_MATCH) {
        let line = line.to_str().map_err(|_| malformed())?.trim();
        if line == "*" {
            return Ok(Condition::Exists);
        }
        for tag in line.split(',') {
            let revision = revision(tag.trim())?;
            condition = match condition {
                Condition::At(mut revisions) => {
                    revisions.extend(revision);
                    Condition::At(revisions)
                }
                Condition::None | Condition::Exists => {
                    Condition::At(revision.into_iter().collect())
                }
            };
        }
    }
    Ok(condition)
}

/// The revision of an entity tag; `None`: of no page.
fn revision(tag: &str) -> Result<Option<Revision>, Problem> {
    let (weak, opaque) = match tag.strip_prefix("W/") {
        Some(opaque) => (true, opaque),
        None => (false, tag),
    };
    let bare = opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let bare = bare.filter(|bare| !bare.contains('"')).ok_or_else(malformed)?;
    let version: Option<Version> = bare.parse().ok().filter(|_| !weak);
    let revision = version.map(|v| Revision { epoch: v.epoch, counter: v.counter });
    // Written another way, it is not the tag that was given out.
    Ok(revision.filter(|revision| revision.to_string() == bare))
}

fn malformed() -> Problem {
    Problem::field("If-Match", "must be * or entity tags: \"1-7\", as ETag said")
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn of(lines: &[&str]) -> Option<Condition> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IF_MATCH, HeaderValue::from_str(line).expect("visible"));
        }
        asked(&headers).ok()
    }

    #[test]
    fn entity_tags_are_compared_strongly_and_come_in_lists() {
        let at = |counters: &[u64]| {
            let at = counters.iter().map(|counter| Revision { epoch: 1, counter: *counter });
            Some(Condition::At(at.collect()))
        };
        assert_eq!(of(&[]), Some(Condition::None));
        assert_eq!(of(&["*"]), Some(Condition::Exists));
        assert_eq!(of(&["\"1-7\""]), at(&[7]));
        assert_eq!(of(&["\"1-7\", \"1-8\"", "\"1-9\""]), at(&[7, 8, 9]));
        // Never given out by this service, or weakened on the way.
        for foreign in ["W/\"1-7\"", "\"abc\"", "\"1-07\"", "\"+1-7\"", "\"\""] {
            assert_eq!(of(&[foreign]), at(&[]), "{foreign}");
        }
        for malformed in ["", "1-7", "\"1-7", "\"1-7\",", "\"1-7\" \"1-8\""] {
            assert_eq!(of(&[malformed]), None, "{malformed}");
        }
    }
}
