//! The port, implemented: each method is the function of the same name in its own file.

use catalog_domain::{
    ListRequest, Listing, NewProduct, NewReview, Newest, ProductId, ProductPage, ProductPatch,
    ProductReplacement, ProductRepository, ProductSummary, RepositoryError, ReviewId, Revised,
    Revision, View, Written,
};
use larder_postgres::{Database, Purpose, Statement};

use crate::deferred::CatalogueSink;
use crate::errors::translate;
use crate::journal::{self, CatalogueJournal};
use crate::retry::again;
use crate::{create, delete, listing, newest, page, patch, replace, review, summary};

const READY: Statement = Statement {
    namespace: "",
    purpose: Purpose::Admin,
    operation: "SELECT",
    collection: "products",
};

/// The catalogue in Postgres.
#[derive(Clone, Debug)]
pub struct PostgresCatalogue {
    db: Database,
}

impl PostgresCatalogue {
    /// The catalogue in `db`, whose schema must be migrated.
    #[must_use]
    pub const fn new(db: Database) -> Self {
        Self { db }
    }

    /// The journal for writes that wait. Loads of this catalogue show what is in it, and its other
    /// writes apply it first.
    #[must_use]
    pub fn journal(&self) -> CatalogueJournal {
        journal::journal(self.db.clone())
    }

    /// Where writes go in the end that wait outside of the database. Loads of this catalogue do not
    /// show them before.
    #[must_use]
    pub fn sink(&self) -> CatalogueSink {
        CatalogueSink::new(self.db.clone())
    }

    /// Where its statements are counted.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.db
    }
}

impl ProductRepository for PostgresCatalogue {
    async fn page(&self, id: ProductId) -> Result<Revised<Option<ProductPage>>, RepositoryError> {
        page::page(&self.db, id).await
    }

    async fn summary(
        &self,
        id: ProductId,
    ) -> Result<Revised<Option<ProductSummary>>, RepositoryError> {
        summary::summary(&self.db, id).await
    }

    async fn newest(&self, view: View, id: ProductId) -> Result<Option<Newest>, RepositoryError> {
        newest::newest(&self.db, view, id).await
    }

    async fn list(&self, request: &ListRequest) -> Result<Option<Listing>, RepositoryError> {
        listing::list(&self.db, request).await
    }

    async fn create(&self, product: &NewProduct) -> Result<Written<ProductId>, RepositoryError> {
        again(|| create::create(&self.db, product)).await
    }

    async fn replace(
        &self,
        id: ProductId,
        content: &ProductReplacement,
        expected: Option<Revision>,
    ) -> Result<Option<Written<()>>, RepositoryError> {
        again(|| replace::replace(&self.db, id, content, expected)).await
    }

    async fn patch(
        &self,
        id: ProductId,
        patch: &ProductPatch,
        expected: Option<Revision>,
    ) -> Result<Option<Written<()>>, RepositoryError> {
        again(|| patch::patch(&self.db, id, patch, expected)).await
    }

    async fn add_review(
        &self,
        id: ProductId,
        review: &NewReview,
    ) -> Result<Option<Written<ReviewId>>, RepositoryError> {
        again(|| review::add_review(&self.db, id, review)).await
    }

    async fn delete(
        &self,
        id: ProductId,
        expected: Option<Revision>,
    ) -> Result<Option<Written<()>>, RepositoryError> {
        again(|| delete::delete(&self.db, id, expected)).await
    }

    async fn ready(&self) -> Result<(), RepositoryError> {
        sqlx::query("SELECT FROM products LIMIT 1")
            .fetch_optional(self.db.counted(READY))
            .await
            .map(drop)
            .map_err(translate)
    }
}
