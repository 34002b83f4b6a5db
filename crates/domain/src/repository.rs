//! The port: what the catalogue needs of whatever stores it.

use std::future::Future;

use thiserror::Error;

use crate::change::{Newest, Revised, Revision, View, Written};
use crate::draft::{NewProduct, NewReview, ProductPatch, ProductReplacement};
use crate::error::ValidationError;
use crate::listing::{ListRequest, Listing};
use crate::page::{ProductPage, ProductSummary};
use crate::values::{ProductId, ReviewId};

/// Why the store could not do what it was asked to.
#[derive(Debug, Error)]
pub enum RepositoryError {
    /// It cannot be reached at present; later it may.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took longer than a statement may.
    #[error("the database took too long")]
    Timeout,
    /// Something else is there already.
    #[error("{0}")]
    Conflict(ValidationError),
    /// The input names something that is not there, or breaks a rule only the store can check.
    #[error("{0}")]
    Invalid(ValidationError),
    /// The product is no longer at the revision that the write expects.
    #[error("the product has changed: it is at revision {found}")]
    Moved {
        /// The revision of its page.
        found: Revision,
    },
    /// Stored data breaks the domain's rules.
    #[error("stored data is wrong: {table}.{column}, row {row}: {problem}")]
    Corrupt {
        /// The table …
        table: &'static str,
        /// … the column …
        column: &'static str,
        /// … and the row's key.
        row: String,
        /// What is wrong.
        problem: String,
    },
    /// A defect.
    #[error("the database refused: {0}")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What the catalogue needs of whatever stores it.
///
/// The implementor guarantees that a read returns value and revision of one snapshot, that a
/// write's `changes` name every view it changed (also of products that show the written one),
/// and that a read of an absent product, which is no error, has a revision as well: that of its
/// deletion, or 0 if it was never there.
///
/// Where writes may wait in a journal, the implementor also guarantees that a read shows the
/// product's pending operations as applied, and that every write applies them first.
///
/// A write with an `expected` revision is done only while the product's page is at it, and is
/// otherwise refused as [`RepositoryError::Moved`]; what is not there has not moved.
pub trait ProductRepository: Send + Sync + 'static {
    /// The full page.
    fn page(
        &self,
        id: ProductId,
    ) -> impl Future<Output = Result<Revised<Option<ProductPage>>, RepositoryError>> + Send;

    /// The summary.
    fn summary(
        &self,
        id: ProductId,
    ) -> impl Future<Output = Result<Revised<Option<ProductSummary>>, RepositoryError>> + Send;

    /// The newest revision of a view, without its value; `None` if views of this kind have none.
    fn newest(
        &self,
        view: View,
        id: ProductId,
    ) -> impl Future<Output = Result<Option<Newest>, RepositoryError>> + Send;

    /// One page of a category; `None` if there is no such category.
    fn list(
        &self,
        request: &ListRequest,
    ) -> impl Future<Output = Result<Option<Listing>, RepositoryError>> + Send;

    /// Stores a new product.
    fn create(
        &self,
        product: &NewProduct,
    ) -> impl Future<Output = Result<Written<ProductId>, RepositoryError>> + Send;

    /// Replaces all about a product but its SKU.
    fn replace(
        &self,
        id: ProductId,
        content: &ProductReplacement,
        expected: Option<Revision>,
    ) -> impl Future<Output = Result<Option<Written<()>>, RepositoryError>> + Send;

    /// Changes price or stock.
    fn patch(
        &self,
        id: ProductId,
        patch: &ProductPatch,
        expected: Option<Revision>,
    ) -> impl Future<Output = Result<Option<Written<()>>, RepositoryError>> + Send;

    /// Adds a review.
    fn add_review(
        &self,
        id: ProductId,
        review: &NewReview,
    ) -> impl Future<Output = Result<Option<Written<ReviewId>>, RepositoryError>> + Send;

    /// Deletes a product with all that belongs to it.
    fn delete(
        &self,
        id: ProductId,
        expected: Option<Revision>,
    ) -> impl Future<Output = Result<Option<Written<()>>, RepositoryError>> + Send;

    /// Succeeds when the store can serve.
    fn ready(&self) -> impl Future<Output = Result<(), RepositoryError>> + Send;
}
