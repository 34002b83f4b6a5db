//! What every journal must hold, to be run on each implementation.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use crate::version::Version;
use crate::write::{DeadLetter, FlushOptions, Journal, Journaled, Mode, Write, WriteState};

/// A journal under test, over numbers by key that begin at zero and may not go below it.
///
/// What waits or is applied for one of `0..8` as a key is seen under that key alone. A journal of
/// another mode than `journaled` names no version before its flush.
pub trait Subject: Send + Sync {
    /// The journal.
    type Journal: Journal;

    /// It.
    fn journal(&self) -> &Self::Journal;
    /// A write by which the number of `key` becomes `number`.
    fn put(&self, key: usize, number: i64) -> Write<<Self::Journal as Journal>::Operation>;
    /// A write by which it grows by `amount`.
    fn add(&self, key: usize, amount: i64) -> Write<<Self::Journal as Journal>::Operation>;
    /// A write by which it grows by one, which is taken, but cannot be applied until the subject
    /// is healed.
    fn poison(&self, key: usize) -> Write<<Self::Journal as Journal>::Operation>;
    /// What is poison can be applied from now on.
    fn heal(&self) -> impl Future<Output = ()> + Send;
    /// What a load of `key` sees: pending entries included, and the version.
    fn seen(&self, key: usize) -> impl Future<Output = (i64, Version)> + Send;
    /// What is in the database itself.
    fn stored(&self, key: usize) -> impl Future<Output = i64> + Send;
}

/// Attempts at once, a dead letter after the second.
const OPTIONS: FlushOptions =
    FlushOptions { entries: 100, attempts: 2, backoff: Duration::from_millis(1) };

/// Runs the whole contract on a subject whose journal is empty and whose numbers are zero.
///
/// # Panics
///
/// When the contract is not held.
pub async fn journal_contract<S: Subject>(subject: &S)
where
    <S::Journal as Journal>::Refusal: Debug,
{
    pending_writes_are_seen_and_applied_once_in_their_order(subject).await;
    what_breaks_a_rule_is_refused_and_the_rest_of_the_append_is_not(subject).await;
    a_flush_takes_no_more_than_it_may(subject).await;
    flushes_at_once_apply_each_entry_once(subject).await;
    a_dead_letter_keeps_back_its_own_key_alone(subject).await;
    a_dead_letter_is_replayed_at_the_end_or_discarded(subject).await;
}

async fn append<S: Subject>(
    subject: &S,
    writes: &[Write<<S::Journal as Journal>::Operation>],
) -> Vec<Journaled>
where
    <S::Journal as Journal>::Refusal: Debug,
{
    let answers = subject.journal().append(writes).await.expect("the journal answers");
    assert_eq!(answers.len(), writes.len(), "an answer for each write");
    answers.into_iter().map(|answer| answer.expect("it breaks no rule")).collect()
}

/// Whether an append gives the version that readers see.
fn names_versions<S: Subject>() -> bool {
    S::Journal::MODE == Mode::Journaled
}

/// Flushes until nothing waits.
async fn settle<S: Subject>(subject: &S) {
    for _ in 0..200 {
        subject.journal().flush(&OPTIONS).await.expect("the journal answers");
        if state(subject).await.0 == 0 {
            return;
        }
        tokio::time::sleep(OPTIONS.backoff).await;
    }
    panic!("something waits for ever");
}

async fn state<S: Subject>(subject: &S) -> (u64, u64) {
    let state = subject.journal().state().await.expect("the journal answers");
    (state.depth, state.dead)
}

async fn find<S: Subject>(subject: &S, position: u64) -> Option<WriteState> {
    subject.journal().find(position).await.expect("the journal answers")
}

async fn pending_writes_are_seen_and_applied_once_in_their_order<S: Subject>(subject: &S)
where
    <S::Journal as Journal>::Refusal: Debug,
{
    assert_eq!((state(subject).await, subject.seen(0).await.0), ((0, 0), 0));
    let before = subject.seen(0).await.1;
    let writes = [subject.add(0, 5), subject.put(0, 2), subject.add(0, 1), subject.add(1, 7)];
    let made = append(subject, &writes).await;
    let positions: Vec<_> = made.iter().map(|made| made.position).collect();
    assert!(positions.windows(2).all(|two| two[0] < two[1]), "in their order: {positions:?}");
    // Seen at once, under the version that was named, if any can be, and not yet applied.
    let (number, version) = subject.seen(0).await;
    assert_eq!((number, subject.stored(0).await), (3, 0));
    let named = made[..3].iter().flat_map(|made| &made.changes).map(|change| change.2).max();
    if names_versions::<S>() {
        assert!(version > before);
        assert_eq!(named, Some(version), "who is told of a change can tell what is older");
    } else {
        assert_eq!((version, named), (before, None), "no version before the flush");
    }
    assert_eq!(state(subject).await, (4, 0));
    assert_eq!(find(subject, positions[0]).await, Some(WriteState::Pending));
    let flushed = subject.journal().flush(&OPTIONS).await.expect("the journal answers");
    assert_eq!((flushed.entries, flushed.failed, flushed.dead), (4, 0, 0));
    assert!(flushed.applied <= flushed.entries);
    let after = subject.seen(0).await;
    if names_versions::<S>() {
        assert_eq!(after, (3, version), "the flush is no change that readers see");
    } else {
        assert_eq!(after.0, 3);
        assert!(after.1 > before, "the flush gives the version");
        let told = flushed.changes.iter().map(|change| change.2).max();
        assert_eq!(told.max(Some(after.1)), told, "and names it");
    }
    assert_eq!((subject.stored(0).await, subject.stored(1).await), (3, 7));
    assert_eq!(find(subject, positions[0]).await, Some(WriteState::Flushed));
    assert_eq!(find(subject, positions[3] + 1_000).await, None);
    let again = subject.journal().flush(&OPTIONS).await.expect("the journal answers");
    assert_eq!((again.entries, again.applied), (0, 0));
    assert_eq!(subject.stored(0).await, 3);
}

async fn what_breaks_a_rule_is_refused_and_the_rest_of_the_append_is_not<S: Subject>(subject: &S) {
    // 2 is there: what waits counts, and so does what stands before it in the same append.
    let writes = [subject.add(2, 2), subject.add(2, -1), subject.add(2, -5), subject.add(2, -1)];
    let answers = subject.journal().append(&writes).await.expect("the journal answers");
    let taken: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(taken, [true, true, false, true]);
    assert_eq!(subject.seen(2).await.0, 0);
    let more = subject.journal().append(&[subject.add(2, -1)]).await.expect("the journal answers");
    assert!(more[0].is_err());
    settle(subject).await;
    assert_eq!((subject.stored(2).await, state(subject).await), (0, (0, 0)));
}

async fn a_flush_takes_no_more_than_it_may<S: Subject>(subject: &S)
where
    <S::Journal as Journal>::Refusal: Debug,
{
    let writes: Vec<_> = (0..10).map(|step| subject.add(3 + step % 2, 1)).collect();
    append(subject, &writes).await;
    let few = FlushOptions { entries: 3, ..OPTIONS };
    let mut left = 10;
    while left > 0 {
        let flushed = subject.journal().flush(&few).await.expect("the journal answers");
        assert!((1..=3).contains(&flushed.entries), "{flushed:?}");
        left -= flushed.entries;
        assert_eq!(state(subject).await.0, left);
        assert_eq!((subject.seen(3).await.0, subject.seen(4).await.0), (5, 5));
    }
    assert_eq!((subject.stored(3).await, subject.stored(4).await), (5, 5));
}

async fn flushes_at_once_apply_each_entry_once<S: Subject>(subject: &S)
where
    <S::Journal as Journal>::Refusal: Debug,
{
    let writes: Vec<_> = (0..40).map(|_| subject.add(5, 1)).collect();
    append(subject, &writes).await;
    let few = FlushOptions { entries: 7, ..OPTIONS };
    let flush = || subject.journal().flush(&few);
    while state(subject).await.0 > 0 {
        let (a, b, c) = tokio::join!(flush(), flush(), flush());
        for flushed in [a, b, c] {
            assert_eq!(flushed.expect("the journal answers").failed, 0);
        }
        assert_eq!(subject.seen(5).await.0, 40);
    }
    assert_eq!(subject.stored(5).await, 40);
}

async fn a_dead_letter_keeps_back_its_own_key_alone<S: Subject>(subject: &S)
where
    <S::Journal as Journal>::Refusal: Debug,
{
    let writes = [subject.add(6, 1), subject.poison(6), subject.add(6, 10), subject.add(7, 1)];
    let made = append(subject, &writes).await;
    assert_eq!(subject.seen(6).await.0, 12);
    let seen = subject.seen(6).await.1;
    subject.journal().flush(&OPTIONS).await.expect("the journal answers");
    assert_eq!(subject.stored(7).await, 1, "another key does not wait");
    settle(subject).await;
    assert_eq!(subject.stored(6).await, 11, "what stands behind it is applied in the end");
    assert_eq!(state(subject).await, (0, 1));
    assert_eq!(find(subject, made[1].position).await, Some(WriteState::Dead));
    assert_eq!(find(subject, made[2].position).await, Some(WriteState::Flushed));
    // Readers saw it: what they see now is newer.
    let (number, version) = subject.seen(6).await;
    assert_eq!(number, 11);
    assert!(version > seen, "{version} {seen}");
    let letters = subject.journal().dead_letters(10).await.expect("the journal answers");
    assert_eq!((letters.len(), letters[0].position), (1, made[1].position));
    assert_eq!((&letters[0].key, letters[0].attempts), (&writes[1].key, 2));
    assert!(!letters[0].error.is_empty() && !letters[0].operation.is_empty());
    let letter = subject.journal().dead_letter(made[1].position).await;
    let letter = letter.expect("the journal answers").expect("it is dead");
    assert_eq!(DeadLetter { age: letters[0].age, ..letter }, letters[0]);
    let other = subject.journal().dead_letter(made[2].position).await;
    assert_eq!(other.expect("the journal answers"), None);
}

async fn a_dead_letter_is_replayed_at_the_end_or_discarded<S: Subject>(subject: &S)
where
    <S::Journal as Journal>::Refusal: Debug,
{
    let journal = subject.journal();
    let last = append(subject, &[subject.poison(6), subject.put(6, 50)]).await;
    settle(subject).await;
    assert_eq!((subject.stored(6).await, state(subject).await), (50, (0, 2)));
    assert!(journal.discard(last[0].position).await.expect("the journal answers"));
    assert!(!journal.discard(last[0].position).await.expect("the journal answers"));
    let letters = journal.dead_letters(10).await.expect("the journal answers");
    let position = letters[0].position;
    let seen = subject.seen(6).await.1;
    let again = journal.replay(position).await.expect("the journal answers").expect("it is dead");
    assert!(again.position > last[1].position);
    assert!(journal.replay(position).await.expect("the journal answers").is_none());
    if names_versions::<S>() {
        assert!(subject.seen(6).await.1 > seen);
    }
    assert_eq!(subject.seen(6).await.0, 51, "it waits again, and is seen");
    subject.heal().await;
    settle(subject).await;
    assert_eq!((subject.stored(6).await, state(subject).await), (51, (0, 0)));
}
