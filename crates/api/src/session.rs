//! Read your own writes: a write's answer says in `Larder-Version` what it made, and a read that
//! brings it along in `Larder-Min-Version` gets nothing older.
//!
//! Both are written alike: `product-page=1-7, product-summary=1-3`, names of namespaces and
//! versions, in the manner of a dictionary of RFC 8941. A version alone, such as an entity tag, is
//! a minimum for whatever is read.

use actix_web::http::header::HeaderMap;
use catalog_domain::{ProductId, View, Written};
use larder::Version;

use crate::problem::Problem;

/// What a write made.
pub(crate) const LARDER_VERSION: &str = "Larder-Version";
/// What a reader has seen: nothing older is an answer.
pub(crate) const LARDER_MIN_VERSION: &str = "Larder-Min-Version";

/// Every view of the product `id` that was `written`, with its version.
pub(crate) fn made<T>(written: &Written<T>, id: ProductId) -> String {
    let members: Vec<String> = written
        .own(id)
        .map(|change| format!("{}={}", change.view.namespace(), change.revision))
        .collect();
    members.join(", ")
}

/// The version below which nothing is an answer to a read of `view`; the smallest, if the
/// headers ask for none.
pub(crate) fn asked(headers: &HeaderMap, view: View) -> Result<Version, Problem> {
    let mut asked = Version::default();
    // A list may come in several lines (RFC 9110, 5.3).
    for line in headers.get_all(LARDER_MIN_VERSION) {
        for member in line.to_str().unwrap_or_default().split(',') {
            let (namespace, version) = read(member.trim()).ok_or_else(malformed)?;
            // Of several the newest: one reader may have made several writes.
            if namespace.is_none_or(|namespace| namespace == view.namespace()) {
                asked = asked.max(version);
            }
        }
    }
    Ok(asked)
}

/// `namespace=version`, or a version alone.
fn read(member: &str) -> Option<(Option<&str>, Version)> {
    let Some((namespace, version)) = member.split_once('=') else {
        return Some((None, version(member)?));
    };
    let is_key =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte);
    let named = !namespace.is_empty() && namespace.bytes().all(is_key);
    Some((Some(namespace).filter(|_| named)?.into(), self::version(version)?))
}

/// A version as a token, as a string, or as an entity tag (which a proxy may have weakened, and which
/// may name what waits as well).
fn version(text: &str) -> Option<Version> {
    let quoted = text.strip_prefix("W/").unwrap_or(text);
    let bare = match quoted.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => text,
    };
    // What waits has no version yet: the entity tag of an answer that shows it has the one below.
    let bare = match bare.split_once('+') {
        Some((below, content)) if content.bytes().all(|byte| byte.is_ascii_hexdigit()) => below,
        _ => bare,
    };
    // Numbers may not have signs.
    bare.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-').then(|| bare.parse().ok())?
}

fn malformed() -> Problem {
    let form = "must be a version (1-7) or versions by namespace: what Larder-Version said, such as \
                product-page=1-7, product-summary=1-3";
    Problem::field(LARDER_MIN_VERSION, form)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use catalog_domain::{Change, Revision};

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let name = HeaderName::from_static("larder-min-version");
            headers.append(name, HeaderValue::from_str(line).expect("visible"));
        }
        headers
    }

    fn page(lines: &[&str]) -> Option<Version> {
        asked(&headers(lines), View::ProductPage).ok()
    }

    #[test]
    fn what_a_write_made_is_what_a_read_of_each_view_asks_for() {
        let id = ProductId::try_from(7).expect("an id");
        let other = ProductId::try_from(8).expect("an id");
        let change = |view, id, counter| {
            let revision = Revision { epoch: 1, counter };
            Change { view, id, revision }
        };
        let written = Written {
            value: (),
            revision: Revision { epoch: 1, counter: 7 },
            changes: vec![
                change(View::ProductSummary, id, 3),
                change(View::ProductPage, other, 99),
                change(View::ProductPage, id, 7),
            ],
        };
        let said = made(&written, id);
        assert_eq!(said, "product-page=1-7, product-summary=1-3");
        assert_eq!(page(&[&said]), Some(Version::new(1, 7)));
        let summary = asked(&headers(&[&said]), View::ProductSummary);
        assert_eq!(summary.ok(), Some(Version::new(1, 3)));
    }

    #[test]
    fn versions_are_read_in_all_their_spellings() {
        let seven = Some(Version::new(1, 7));
        for lines in [
            &["1-7"][..],
            &["\"1-7\""],
            &["W/\"1-7\""],
            &["product-page=1-7"],
            &["product-page=\"1-7\""],
            &["orders=9-9,product-page=1-7 , product-summary=1-8"],
            &["product-page=1-7, product-page=1-5"],
            &["product-page=1-5", "product-page=1-7"],
            &["product-page=1-5, 1-7"],
        ] {
            assert_eq!(page(lines), seven, "{lines:?}");
        }
        for none in [&[][..], &["product-summary=1-8"], &["orders=9-9"]] {
            assert_eq!(page(none), Some(Version::default()), "{none:?}");
        }
        assert_eq!(
            page(&["4294967295-18446744073709551615"]),
            Some(Version::new(u32::MAX, u64::MAX))
        );
    }

    #[test]
    fn anything_else_is_malformed() {
        for line in [
            "",
            " ",
            ",",
            "1-7,",
            "1",
            "1-",
            "+1-7",
            "1-+7",
            "-1-7",
            "1-7-9",
            "\"1-7",
            "1-7\"",
            "W/1-7",
            "abc",
            "*",
            "product-page",
            "product-page=",
            "=1-7",
            "Product Page=1-7",
            "product-page=1-7; a=b",
            "product-page==1-7",
            "orders=soon",
            "4294967296-1",
            "1-18446744073709551616",
        ] {
            assert_eq!(page(&[line]), None, "{line:?}");
        }
    }
}
