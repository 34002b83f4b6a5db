//! A store in memory, which can fail and wait.

use super::*;

/// A store of prices: product id to (version, minor units).
#[derive(Clone, Default)]
pub(super) struct Store(pub(super) Arc<Inner>);

#[derive(Default)]
pub(super) struct Inner {
    pub(super) prices: Mutex<BTreeMap<i64, (u64, i64)>>,
    pub(super) loads: AtomicU64,
    pub(super) compared: AtomicU64,
    /// Whether loads fail.
    pub(super) fails: AtomicBool,
    /// When set, a load waits here after it has read, and a comparison before.
    pub(super) gate: Mutex<Option<Arc<Notify>>>,
    /// What waits is laid over what is read.
    pub(super) journal: OnceLock<Arc<MemoryJournal<write_behind::Prices>>>,
}

impl Store {
    pub(super) fn set(&self, id: ProductId, minor: i64) -> u64 {
        let mut prices = self.0.prices.lock().unwrap();
        let entry = prices.entry(id.get()).or_default();
        *entry = (entry.0 + 1, minor);
        entry.0
    }

    pub(super) fn loads(&self) -> u64 {
        self.0.loads.load(Ordering::SeqCst)
    }
}

fn unused<T>() -> Result<T, RepositoryError> {
    unreachable!("these tests do not call it")
}

impl ProductRepository for Store {
    async fn page(&self, _: ProductId) -> Result<Revised<Option<ProductPage>>, RepositoryError> {
        unused()
    }

    async fn summary(
        &self,
        id: ProductId,
    ) -> Result<Revised<Option<ProductSummary>>, RepositoryError> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        if self.0.fails.load(Ordering::SeqCst) {
            return Err(RepositoryError::Timeout);
        }
        let pending = self.0.journal.get().and_then(|twin| twin.pending(&id.to_string()).pop());
        let found = self.0.prices.lock().unwrap().get(&id.get()).copied();
        let found = found.map(|(counter, minor)| (counter, pending.unwrap_or(minor)));
        let gate = self.0.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.notified().await;
        }
        let Some((counter, minor)) = found else {
            return Ok(Revised { revision: Revision { epoch: 1, counter: 0 }, value: None });
        };
        let value = ProductSummary {
            id,
            sku: Sku::try_from("A1".to_owned()).expect("a SKU"),
            name: ProductName::try_from("Lamp".to_owned()).expect("a name"),
            price: Price::new(minor, Currency::try_from("EUR".to_owned()).expect("a currency"))
                .expect("a price"),
            updated_at: jiff::Timestamp::UNIX_EPOCH,
        };
        Ok(Revised { revision: Revision { epoch: 1, counter }, value: Some(value) })
    }

    async fn newest(&self, _: View, id: ProductId) -> Result<Option<Newest>, RepositoryError> {
        self.0.compared.fetch_add(1, Ordering::SeqCst);
        let gate = self.0.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.notified().await;
        }
        let counter = self.0.prices.lock().unwrap().get(&id.get()).map_or(0, |price| price.0);
        let revision = Revision { epoch: 1, counter };
        let ago = Duration::from_secs(60);
        Ok(Some(Newest { revision, changed: ago, epoch_changed: ago }))
    }

    async fn list(&self, _: &ListRequest) -> Result<Option<Listing>, RepositoryError> {
        unused()
    }

    async fn create(&self, _: &NewProduct) -> Result<Written<ProductId>, RepositoryError> {
        unused()
    }

    async fn replace(
        &self,
        _: ProductId,
        _: &ProductReplacement,
        _: Option<Revision>,
    ) -> Result<Option<Written<()>>, RepositoryError> {
        unused()
    }

    async fn patch(
        &self,
        id: ProductId,
        patch: &ProductPatch,
        _: Option<Revision>,
    ) -> Result<Option<Written<()>>, RepositoryError> {
        let minor = patch.price.expect("these tests change the price").minor();
        let revision = Revision { epoch: 1, counter: self.set(id, minor) };
        let changes = vec![Change { view: View::ProductSummary, id, revision }];
        Ok(Some(Written { value: (), revision, changes }))
    }

    async fn add_review(
        &self,
        _: ProductId,
        _: &NewReview,
    ) -> Result<Option<Written<ReviewId>>, RepositoryError> {
        unused()
    }

    async fn delete(
        &self,
        _: ProductId,
        _: Option<Revision>,
    ) -> Result<Option<Written<()>>, RepositoryError> {
        unused()
    }

    async fn ready(&self) -> Result<(), RepositoryError> {
        Ok(())
    }
}
