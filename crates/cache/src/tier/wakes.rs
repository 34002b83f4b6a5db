//! Who waits for which key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Those who wait for a key of L2 to change.
///
/// A wake-up is a hint: who waits looks again after a while in any case.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    waiting: Mutex<HashMap<String, Arc<Notify>>>,
}

/// One who waits. Whoever changes the key after this was made wakes it.
pub(crate) struct Listener<'a> {
    wakes: &'a Wakes,
    key: &'a str,
    notify: Arc<Notify>,
}

impl Wakes {
    pub(crate) fn listen<'a>(&'a self, key: &'a str) -> Listener<'a> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let notify = Arc::clone(waiting.entry(key.to_owned()).or_default());
        Listener { wakes: self, key, notify }
    }

    pub(crate) fn wake(&self, key: &str) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notify) = waiting.get(key) {
            notify.notify_waiters();
        }
    }
}

impl Listener<'_> {
    /// Completes at the next wake-up after this was called.
    pub(crate) fn woken(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        let mut waiting = self.wakes.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // The table and this listener: nobody else waits.
        if Arc::strong_count(&self.notify) == 2 {
            waiting.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn all_who_listen_are_woken_and_nothing_is_left_behind() {
        let wakes = Wakes::default();
        let (one, other, elsewhere) = (wakes.listen("a"), wakes.listen("a"), wakes.listen("b"));
        let (first, second, third) = (one.woken(), other.woken(), elsewhere.woken());
        wakes.wake("a");
        first.await;
        second.await;
        assert!(third.now_or_never().is_none());
        drop((one, other, elsewhere));
        assert!(wakes.waiting.lock().expect("not poisoned").is_empty());
    }
}
