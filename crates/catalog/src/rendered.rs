//! A view in the form that is sent: what is cached is what goes out.

use std::marker::PhantomData;

use bytes::Bytes;
use catalog_domain::{ProductPage, ProductSummary};
use larder::{CacheValue, Codec, CodecError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A view whose rendered form is cached.
pub(crate) trait CachedView: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Changes with every change of the rendered form.
    const SCHEMA: &'static str;
}

impl CachedView for ProductPage {
    const SCHEMA: &'static str = "product-page/1";
}

impl CachedView for ProductSummary {
    const SCHEMA: &'static str = "product-summary/1";
}

/// The JSON text of a `V`. A hit sends it as it was stored; it is parsed again only where something
/// waits that it does not show (`overlaid.rs`).
#[derive(Debug)]
pub(crate) struct Rendered<V> {
    pub(crate) body: Bytes,
    view: PhantomData<fn() -> V>,
}

impl<V> Clone for Rendered<V> {
    fn clone(&self) -> Self {
        Self { body: self.body.clone(), view: PhantomData }
    }
}

impl<V: CachedView> Rendered<V> {
    pub(crate) fn of(view: &V) -> Result<Self, serde_json::Error> {
        Ok(Self { body: serde_json::to_vec(view)?.into(), view: PhantomData })
    }
}

impl<V: CachedView> CacheValue for Rendered<V> {
    const SCHEMA: &'static str = V::SCHEMA;
    const CODEC: Codec = Codec::Json;

    fn encode(&self) -> Result<Bytes, CodecError> {
        Ok(self.body.clone())
    }

    fn decode(body: Bytes) -> Result<Self, CodecError> {
        Ok(Self { body, view: PhantomData })
    }

    fn size(&self) -> usize {
        self.body.len()
    }
}
