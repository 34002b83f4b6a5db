//! Listing a category, page by page.

use serde::Serialize;

use crate::page::ProductSummary;
use crate::text::Slug;
use crate::values::ProductId;

/// The most products one page of a listing holds.
pub const MAX_LIMIT: u16 = 100;

/// Where the next page of a listing begins. Opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(ProductId);

/// What to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRequest {
    /// The category; those within it are included.
    pub category: Slug,
    /// After the end of which page.
    pub after: Option<Cursor>,
    /// How many products, 1 to [`MAX_LIMIT`].
    pub limit: u16,
}

/// One page of a listing, in the order of ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// The products.
    pub products: Vec<ProductSummary>,
    /// The cursor of the next page; none after the last.
    pub next: Option<String>,
}

impl Cursor {
    /// The cursor after a page that ends with `last`.
    #[must_use]
    pub const fn after(last: ProductId) -> Self {
        Self(last)
    }

    /// The last product of the page before.
    #[must_use]
    pub const fn last(self) -> ProductId {
        self.0
    }

    /// The form that clients see.
    #[must_use]
    pub fn encode(self) -> String {
        format!("p{}", self.0)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    ///
    /// For anything else.
    pub fn decode(text: &str) -> Result<Self, String> {
        let id = text.strip_prefix('p').and_then(|id| id.parse().ok());
        id.map(Self).ok_or_else(|| "must be a cursor from an earlier answer".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cursors_that_were_given_out_are_taken() {
        let id = "7".parse().expect("an id");
        assert_eq!(Cursor::decode(&Cursor::after(id).encode()), Ok(Cursor::after(id)));
        for other in ["", "p", "p0", "7", "p-7", "q7"] {
            assert!(Cursor::decode(other).is_err(), "{other:?}");
        }
    }
}
