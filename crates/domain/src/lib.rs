#![doc = include_str!("../README.md")]

mod change;
mod draft;
mod error;
mod listing;
mod money;
mod operation;
mod page;
mod repository;
mod text;
mod values;

pub use change::{Change, Newest, Revised, Revision, View, Written};
pub use draft::{
    Field, NewProduct, NewReview, NewVariant, ProductPatch, ProductReplacement, StockChange,
    StockDelta,
};
pub use error::{Problems, ValidationError};
pub use listing::{Cursor, ListRequest, Listing, MAX_LIMIT};
pub use money::{Currency, Price};
pub use operation::{Coalesced, Operation, Pending, Refusal, Standing};
pub use page::{
    CategoryRef, ProductPage, ProductSummary, RatingSummary, RelatedProduct, Review, Variant,
};
pub use repository::{ProductRepository, RepositoryError};
pub use text::{
    Attributes, Author, Description, ProductName, ReviewBody, ReviewTitle, Sku, Slug, VariantName,
};
pub use values::{ProductId, Rating, ReviewId, Stock};
