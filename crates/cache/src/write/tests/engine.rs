//! Group commit, back-pressure, flushing by size and age, retries, and the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::{add, nobody, options, shelf, write};
use crate::testing::{MemoryJournal, Refused, Shelf, ShelfOperation};
use crate::write::{
    DeadLetter, FlushOptions, Flushed, Journal, JournalError, JournalState, Journaled, WhenFull,
    Write, WriteBehind, WriteBehindOptions, WriteError, WriteState,
};

/// The twin, with appends that wait for permits, and answers that can be withheld.
#[derive(Clone)]
struct Slow(Arc<Gates>);

struct Gates {
    inner: MemoryJournal<Shelf>,
    appends: Semaphore,
    sizes: std::sync::Mutex<Vec<usize>>,
    most: AtomicUsize,
    under_way: AtomicUsize,
    broken: AtomicBool,
    flushes: AtomicU64,
}

impl Slow {
    fn new(permits: usize) -> Self {
        Self(Arc::new(Gates {
            inner: shelf(),
            appends: Semaphore::new(permits),
            sizes: std::sync::Mutex::default(),
            most: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            flushes: AtomicU64::new(0),
        }))
    }

    fn sizes(&self) -> Vec<usize> {
        self.0.sizes.lock().unwrap().clone()
    }

    fn stored(&self, key: usize) -> i64 {
        self.0.inner.target().seen(&format!("key {key}"), &[]).0
    }

    fn answer(&self) -> Result<(), JournalError> {
        if self.0.broken.load(Ordering::SeqCst) { Err(JournalError("gone".into())) } else { Ok(()) }
    }
}

impl Journal for Slow {
    type Operation = ShelfOperation;
    type Refusal = Refused;

    async fn append(
        &self,
        writes: &[Write<ShelfOperation>],
    ) -> Result<Vec<Result<Journaled, Refused>>, JournalError> {
        let under_way = self.0.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(under_way, Ordering::SeqCst);
        self.0.sizes.lock().unwrap().push(writes.len());
        self.0.appends.acquire().await.expect("never closed").forget();
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        self.answer()?;
        self.0.inner.append(writes).await
    }

    async fn flush(&self, options: &FlushOptions) -> Result<Flushed, JournalError> {
        self.0.flushes.fetch_add(1, Ordering::SeqCst);
        self.answer()?;
        self.0.inner.flush(options).await
    }

    async fn state(&self) -> Result<JournalState, JournalError> {
        self.answer()?;
        self.0.inner.state().await
    }

    async fn find(&self, position: u64) -> Result<Option<WriteState>, JournalError> {
        self.0.inner.find(position).await
    }

    async fn dead_letters(&self, most: usize) -> Result<Vec<DeadLetter>, JournalError> {
        self.0.inner.dead_letters(most).await
    }

    async fn dead_letter(&self, position: u64) -> Result<Option<DeadLetter>, JournalError> {
        self.0.inner.dead_letter(position).await
    }

    async fn replay(&self, position: u64) -> Result<Option<Journaled>, JournalError> {
        self.0.inner.replay(position).await
    }

    async fn discard(&self, position: u64) -> Result<bool, JournalError> {
        self.0.inner.discard(position).await
    }
}

const FREE: usize = Semaphore::MAX_PERMITS;

fn engine(journal: &Slow, options: WriteBehindOptions) -> WriteBehind<Slow> {
    WriteBehind::new(journal.clone(), options).expect("valid")
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_an_append_is_on_its_way_goes_into_the_next_one() {
    let journal = Slow::new(0);
    let engine = engine(&journal, WriteBehindOptions { append_entries: 60, ..options() });
    let writers = tokio::spawn({
        let engine = engine.clone();
        async move { join_all((0..101).map(|step| engine.write(add(step % 3, 1)))).await }
    });
    sleep(Duration::from_millis(1)).await;
    assert_eq!(journal.sizes(), [60], "one is on its way, and the rest waits for it");
    assert!(!writers.is_finished(), "nobody is answered before it is");
    journal.0.appends.add_permits(2);
    let made = writers.await.expect("no panic");
    assert!(made.iter().all(Result::is_ok));
    assert_eq!(journal.sizes(), [60, 41]);
    assert_eq!((engine.status().appended, engine.status().appends), (101, 2));
}

#[tokio::test(start_paused = true)]
async fn an_append_that_is_held_up_does_not_hold_up_the_others_and_they_are_few() {
    let journal = Slow::new(0);
    let engine = engine(&journal, options());
    let mut writers = Vec::new();
    for step in 0..50 {
        let engine = engine.clone();
        writers.push(tokio::spawn(async move { engine.write(add(step, 1)).await }));
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(journal.0.most.load(Ordering::SeqCst), 4);
    journal.0.appends.add_permits(FREE);
    for writer in writers {
        writer.await.expect("no panic").expect("it is taken");
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_who_goes_away_neither_loses_nor_cancels_a_write() {
    let journal = Slow::new(0);
    let engine = engine(&journal, options());
    let gone = tokio::spawn({
        let engine = engine.clone();
        async move { engine.write(add(1, 1)).await }
    });
    let stays = tokio::spawn({
        let engine = engine.clone();
        async move { engine.write(add(1, 2)).await }
    });
    sleep(Duration::from_millis(1)).await;
    gone.abort();
    journal.0.appends.add_permits(2);
    stays.await.expect("no panic").expect("it is taken");
    assert!(engine.drain(Duration::from_secs(1), &nobody()).await);
    assert_eq!(journal.stored(1), 3);
}

#[tokio::test(start_paused = true)]
async fn each_write_of_an_append_is_refused_on_its_own() {
    let journal = Slow::new(FREE);
    let engine = engine(&journal, options());
    let (one, two, three) =
        tokio::join!(engine.write(add(1, 5)), engine.write(add(1, -6)), engine.write(add(1, -5)),);
    assert!(one.is_ok() && three.is_ok());
    assert!(matches!(two, Err(WriteError::Refused(Refused))), "{two:?}");
    assert_eq!(engine.status().depth, 2);
}

#[tokio::test(start_paused = true)]
async fn a_flush_comes_by_age_or_by_size_whichever_is_first() {
    let journal = Slow::new(FREE);
    let engine = engine(&journal, options());
    engine.start(nobody()).await;
    sleep(Duration::from_millis(1)).await;
    let began = Instant::now();
    engine.write(add(1, 1)).await.expect("it is taken");
    while journal.stored(1) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let age = began.elapsed();
    assert!((500..520).contains(&age.as_millis()), "{age:?}");
    let began = Instant::now();
    for _ in 0..100 {
        engine.write(add(2, 1)).await.expect("it is taken");
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(journal.stored(2), 100);
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    let status = engine.status();
    assert_eq!((status.flushed, status.coalesced, status.depth), (101, 99, 0));
    assert_eq!(status.oldest, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_full_journal_refuses_or_sends_to_the_synchronous_way_and_loses_nothing() {
    for when_full in [WhenFull::Refuse, WhenFull::Synchronous] {
        let journal = Slow::new(FREE);
        let engine = engine(&journal, WriteBehindOptions { max_depth: 10, when_full, ..options() });
        let answers = join_all((0..15).map(|_| engine.write(add(1, 1)))).await;
        let taken = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!((taken, engine.status().full), (10, 5));
        let last = answers.last().expect("fifteen");
        match when_full {
            WhenFull::Refuse => assert!(matches!(last, Err(WriteError::Full { .. })), "{last:?}"),
            WhenFull::Synchronous => assert!(matches!(last, Err(WriteError::Synchronous))),
        }
        engine.start(nobody()).await;
        sleep(Duration::from_secs(2)).await;
        engine.write(add(1, 1)).await.expect("there is room again");
        assert!(engine.drain(Duration::from_secs(1), &nobody()).await);
        assert_eq!(journal.stored(1), 11);
    }
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_while_the_journal_does_not_answer() {
    let journal = Slow::new(0);
    let options = WriteBehindOptions { queue: 8, append_entries: 2, ..options() };
    let engine = engine(&journal, options);
    let mut writers = Vec::new();
    for _ in 0..100 {
        let engine = engine.clone();
        writers.push(tokio::spawn(async move { engine.write(add(1, 1)).await }));
        sleep(Duration::from_millis(50)).await;
    }
    let refused = engine.status().full;
    // In the queue, and in the appends on their way.
    assert!(refused >= 100 - 8 - 4 * 2, "{refused}");
    journal.0.appends.add_permits(FREE);
    let mut taken = 0;
    for writer in writers {
        taken += i64::from(writer.await.expect("no panic").is_ok());
    }
    assert!(engine.drain(Duration::from_secs(1), &nobody()).await);
    assert_eq!(journal.stored(1), taken);
}

#[tokio::test(start_paused = true)]
async fn while_the_journal_does_not_answer_flushes_are_tried_again_ever_less_often() {
    let journal = Slow::new(FREE);
    let engine = engine(&journal, options());
    engine.start(nobody()).await;
    sleep(Duration::from_millis(1)).await;
    engine.write(add(1, 1)).await.expect("it is taken");
    journal.0.broken.store(true, Ordering::SeqCst);
    let unheard = engine.write(add(1, 1)).await;
    assert!(matches!(unheard, Err(WriteError::Journal(_))), "{unheard:?}");
    sleep(Duration::from_secs(60)).await;
    let tries = journal.0.flushes.load(Ordering::SeqCst);
    assert!((5..40).contains(&tries), "{tries}");
    assert_eq!(engine.status().depth, 1);
    assert!(engine.status().oldest >= Duration::from_secs(60));
    journal.0.broken.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(journal.stored(1), 1);
}

#[tokio::test(start_paused = true)]
async fn what_another_process_has_left_is_applied_and_dead_letters_are_told() {
    let journal = Slow::new(FREE);
    let left = [add(1, 4), write(2, ShelfOperation::Poison(1)), add(2, 6)];
    journal.0.inner.append(&left).await.expect("it answers");
    let engine = engine(&journal, options());
    let told = Arc::new(AtomicU64::new(0));
    let start = engine.start({
        let told = Arc::clone(&told);
        Arc::new(move |changes| {
            told.fetch_add(changes.len() as u64, Ordering::SeqCst);
            Box::pin(async {})
        })
    });
    start.await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!((journal.stored(1), journal.stored(2)), (4, 6));
    let status = engine.status();
    assert_eq!((status.dead_letters, status.depth, told.load(Ordering::SeqCst)), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_was_left_is_applied_also_where_the_journal_did_not_answer_at_the_start() {
    let journal = Slow::new(FREE);
    journal.0.inner.append(&[add(1, 4)]).await.expect("it answers");
    journal.0.broken.store(true, Ordering::SeqCst);
    let engine = engine(&journal, options());
    engine.start(nobody()).await;
    engine.watch(false);
    sleep(Duration::from_secs(60)).await;
    journal.0.broken.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(30)).await;
    assert_eq!((journal.stored(1), engine.status().depth), (4, 0));
    let asked = journal.0.flushes.load(Ordering::SeqCst);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        journal.0.flushes.load(Ordering::SeqCst),
        asked,
        "nothing waits, and nobody writes behind"
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_at_its_deadline_and_what_is_left_is_journaled() {
    let journal = Slow::new(FREE);
    let engine = engine(&journal, options());
    engine.start(nobody()).await;
    engine.write(add(1, 1)).await.expect("it is taken");
    journal.0.broken.store(true, Ordering::SeqCst);
    let began = Instant::now();
    assert!(!engine.drain(Duration::from_secs(3), &nobody()).await);
    assert_eq!(began.elapsed().as_secs(), 3);
    assert!(matches!(engine.write(add(1, 1)).await, Err(WriteError::Closed)));
    assert_eq!(journal.0.inner.pending("key 1").len(), 1);
}

#[test]
fn options_that_cannot_work_are_named() {
    let named = |options: WriteBehindOptions| options.validate().err().map(|error| error.option);
    assert_eq!(named(options()), None);
    assert_eq!(named(WriteBehindOptions { max_depth: 0, ..options() }), Some("max_depth"));
    assert_eq!(named(WriteBehindOptions { queue: 0, ..options() }), Some("queue"));
    let never = WriteBehindOptions { flush_after: Duration::ZERO, ..options() };
    assert_eq!(named(never), Some("flush_after"));
}
