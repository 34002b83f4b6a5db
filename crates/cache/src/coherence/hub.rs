//! What the tasks of coherence share: the namespaces of this process, and what is proven.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::Notify;

use super::member::{Member, Source};
use super::message::Event;
use super::proof::Proof;
use super::sabotage::Sabotage;
use crate::version::Version;

/// The namespaces of this process, and what is proven.
pub(crate) struct Hub {
    /// Of this process, so that it does not hear itself.
    name: Bytes,
    proof: Proof,
    members: RwLock<HashMap<String, Namespace>>,
    /// Rung when something may have been missed.
    loss: Notify,
    /// Rung when an epoch was told.
    moved: Notify,
    sabotage: Sabotage,
}

#[derive(Default)]
struct Namespace {
    /// Several for a moment, when the settings are switched.
    members: Vec<Arc<dyn Member>>,
    /// Changes are not relayed for it, as long as its epoch is this one.
    aloof: Option<u32>,
    /// The newest epoch that was told.
    raised: u32,
    /// Whether changes are told all the same.
    heeded: bool,
}

impl Hub {
    pub(crate) fn new(name: Bytes, proof: Proof, sabotage: Sabotage) -> Self {
        Self {
            name,
            proof,
            members: RwLock::default(),
            loss: Notify::new(),
            moved: Notify::new(),
            sabotage,
        }
    }

    pub(crate) fn name(&self) -> &Bytes {
        &self.name
    }

    pub(crate) const fn proof(&self) -> &Proof {
        &self.proof
    }

    pub(crate) const fn sabotage(&self) -> Sabotage {
        self.sabotage
    }

    /// Takes `member` in as the cache of `namespace`. `aloof`: changes mean nothing to it from now
    /// on, and this is the epoch that whoever set it up knew of; what is told by name it hears all
    /// the same.
    pub(crate) fn join(&self, namespace: &str, member: Arc<dyn Member>, aloof: Option<u32>) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        let entry = members.entry(namespace.to_owned()).or_default();
        entry.aloof = aloof;
        entry.members.retain(|member| member.is_alive());
        entry.members.push(member);
    }

    /// Changes in `namespace` are told, also where they mean nothing to it, or not any more.
    pub(crate) fn heed(&self, namespace: &str, heeded: bool) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        members.entry(namespace.to_owned()).or_default().heeded = heeded;
    }

    /// Whether a change in `namespace` is to be told.
    pub(crate) fn minds(&self, namespace: &str) -> bool {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        // One that is of another service's processes is served as well. Since the epoch has moved,
        // other processes may have been switched to where changes mean something.
        members.get(namespace).is_none_or(|known| {
            known.heeded || known.aloof.is_none_or(|epoch| epoch < known.raised)
        })
    }

    /// A change that this process relays.
    pub(crate) fn relay(&self, namespace: &str, key: &str, version: Version) {
        self.each_of(namespace, |member| member.invalidated(key, version, Source::Feed));
    }

    /// What another process tells.
    pub(crate) fn hear(&self, event: &Event) {
        match event {
            Event::Key { namespace, key, epoch, counter } => {
                if self.sabotage.ignores(key) {
                    return;
                }
                let version = Version::new(*epoch, *counter);
                self.each_of(namespace, |member| {
                    member.invalidated(key, version, Source::Backplane);
                });
            }
            Event::Tag { namespace, name, epoch, counter } => {
                let version = Version::new(*epoch, *counter);
                self.each_of(namespace, |member| member.tag_invalidated(name, version));
            }
            Event::Epoch { namespace, epoch } => self.raise(namespace, *epoch),
        }
    }

    /// Everything of an epoch of `namespace` before `epoch` is old.
    pub(crate) fn raise(&self, namespace: &str, epoch: u32) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        let known = members.entry(namespace.to_owned()).or_default();
        known.raised = known.raised.max(epoch);
        drop(members);
        self.each_of(namespace, |member| member.epoch_raised(epoch));
        self.moved.notify_one();
    }

    /// Waits until an epoch was told since this was last called.
    pub(crate) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Something may have been missed.
    pub(crate) fn missed(&self) {
        self.proof.lost();
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        for member in members.values().flat_map(|namespace| &namespace.members) {
            member.missed();
        }
        drop(members);
        self.loss.notify_one();
    }

    /// Waits until something may have been missed since this was last called.
    pub(crate) async fn loss(&self) {
        self.loss.notified().await;
    }

    fn each_of(&self, namespace: &str, tell: impl Fn(&dyn Member)) {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        for member in members.get(namespace).iter().flat_map(|namespace| &namespace.members) {
            tell(&**member);
        }
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("name", &self.name).field("proof", &self.proof).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// One that holds nothing.
    struct Nobody;

    impl Member for Nobody {
        fn is_alive(&self) -> bool {
            true
        }

        fn invalidated(&self, _key: &str, _version: Version, _source: Source) {}

        fn tag_invalidated(&self, _name: &str, _version: Version) {}

        fn epoch_raised(&self, _epoch: u32) {}

        fn missed(&self) {}
    }

    fn hub() -> Hub {
        Hub::new(Bytes::from_static(b"a"), Proof::new(Duration::from_secs(1)), Sabotage::None)
    }

    #[tokio::test]
    async fn what_comes_after_an_epoch_is_told_until_the_namespace_is_set_up_for_it() {
        let hub = hub();
        assert!(hub.minds("page"), "unknown here, known elsewhere perhaps");
        hub.join("page", Arc::new(Nobody), Some(1));
        assert!(!hub.minds("page"));
        hub.raise("page", 3);
        assert!(hub.minds("page"), "others may have been switched");
        // Set up by what was known before the last switch.
        hub.join("page", Arc::new(Nobody), Some(2));
        assert!(hub.minds("page"));
        hub.join("page", Arc::new(Nobody), Some(3));
        assert!(!hub.minds("page"));
        // An older one, told late.
        hub.raise("page", 2);
        assert!(!hub.minds("page"));
        hub.moved().await;
    }

    #[test]
    fn a_namespace_that_is_heeded_is_told_of_all_the_same() {
        let hub = hub();
        hub.heed("page", true);
        hub.join("page", Arc::new(Nobody), Some(1));
        assert!(hub.minds("page"));
        hub.heed("page", false);
        assert!(!hub.minds("page"));
    }
}
