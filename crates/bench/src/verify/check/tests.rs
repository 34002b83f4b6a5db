use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::scenario::ReadView::ProductPage;
use crate::verify::history::{ABSENT, Found, Step, Version, Write};

const SECOND: i64 = 1_000_000;
const MILLI: i64 = 1_000;

/// Builds histories of pages: product 1 shows product 2.
#[derive(Default)]
struct Scene {
    steps: HashMap<Subject, Vec<Step>>,
    history: History,
}

impl Scene {
    /// Versions begin with 1-1, prices with 10 times the id.
    fn new() -> Self {
        let mut scene = Self::default();
        scene.history.regions = vec![0, 0, 1];
        let first = |value| Step { value, committed: BEFORE, write: None, deletion: false };
        for id in [1, 2] {
            scene.steps.insert(Subject::Version(ProductPage, id), vec![first(1)]);
            scene.steps.insert(Subject::Product(id), vec![first(i64::from(id) * 10)]);
        }
        scene.steps.insert(Subject::Epoch(ProductPage), vec![first(1)]);
        scene
    }

    fn write(&mut self, writer: Writer, committed: i64, changes: &[(Subject, i64)]) -> u32 {
        let number = self.history.writes.len() as u32;
        self.history.writes.push(Write { txid: i64::from(number), committed, writer });
        for (subject, value) in changes {
            let deletion = *value == ABSENT;
            let step = Step { value: *value, committed, write: Some(number), deletion };
            self.steps.entry(*subject).or_default().push(step);
        }
        number
    }

    /// A new price of product 1.
    fn price(&mut self, writer: Writer, committed: i64, counter: i64, price: i64) -> u32 {
        let version = Subject::Version(ProductPage, 1);
        self.write(writer, committed, &[(version, counter), (Subject::Product(1), price)])
    }

    fn read(&mut self, began: i64, process: u8, answer: Answer) -> &mut Read {
        let (ended, view, product) = (began + MILLI, ProductPage, 1);
        let (phase, expected) = (Phase::Load, None);
        self.history.reads.push(Read {
            began,
            ended,
            process,
            view,
            product,
            phase,
            expected,
            answer,
        });
        self.history.reads.last_mut().expect("it was pushed")
    }

    fn check(&mut self) -> Verdict {
        let steps = std::mem::take(&mut self.steps);
        let registers = steps.into_iter().map(|(subject, steps)| (subject, Register::new(steps)));
        self.history.registers = registers.collect();
        check(&self.history, SECOND)
    }
}

fn page(counter: i64, price: i64, related: i64) -> Answer {
    let version = Version { epoch: 1, counter };
    Answer::Found(Found { version, price, related: Box::new([(2, related)]) })
}

fn kinds(verdict: &Verdict) -> Vec<Kind> {
    verdict.violations.iter().map(|violation| violation.kind).collect()
}

#[test]
fn a_read_is_stale_from_the_commit_of_the_next_step_and_wrong_beyond_the_bound() {
    for (began, staleness, wrong) in [
        (5 * SECOND - 1, 0, false),
        // What is committed as the read begins, it need not see.
        (5 * SECOND, 0, false),
        (5 * SECOND + 1, 1, false),
        (6 * SECOND, SECOND, false),
        (6 * SECOND + 1, SECOND + 1, true),
    ] {
        let mut scene = Scene::new();
        scene.price(Writer::Sql, 5 * SECOND, 2, 11);
        scene.read(began, 0, page(1, 10, 20));
        let verdict = scene.check();
        let missed = (staleness > 0).then_some(Path::Sql);
        assert_eq!(verdict.staleness, [(staleness, missed)], "{began}");
        assert_eq!(kinds(&verdict), if wrong { vec![Kind::Stale] } else { vec![] }, "{began}");
    }
}

#[test]
fn the_first_newer_step_counts_not_the_last() {
    let mut scene = Scene::new();
    scene.price(Writer::Process(0), 5 * SECOND, 2, 11);
    scene.price(Writer::Sql, 6 * SECOND, 3, 12);
    scene.read(6 * SECOND + 100, 0, page(1, 10, 20));
    let verdict = scene.check();
    assert_eq!(verdict.staleness, [(SECOND + 100, Some(Path::Api))]);
    assert_eq!(kinds(&verdict), [Kind::Stale]);
}

#[test]
fn old_content_under_a_new_version_is_seen() {
    let mut scene = Scene::new();
    let changes = [(Subject::Version(ProductPage, 1), 2), (Subject::Product(2), 21)];
    scene.write(Writer::Sql, SECOND, &changes);
    scene.read(3 * SECOND, 0, page(2, 10, 20));
    scene.read(3 * SECOND, 1, page(2, 10, 21));
    let verdict = scene.check();
    assert_eq!(kinds(&verdict), [Kind::OldContent]);
    assert_eq!(verdict.violations[0].subject, Subject::Product(2));
    assert_eq!(verdict.violations[0].read, 0);
}

#[test]
fn an_epoch_that_moved_makes_older_ones_stale() {
    let mut scene = Scene::new();
    scene.write(Writer::Sql, SECOND, &[(Subject::Epoch(ProductPage), 2)]);
    scene.read(3 * SECOND, 0, page(1, 10, 20));
    assert_eq!(kinds(&scene.check()), [Kind::Stale]);
}

#[test]
fn what_comes_back_after_a_deletion_is_a_resurrection() {
    for reborn in [false, true] {
        let mut scene = Scene::new();
        scene.price(Writer::Sql, 5 * SECOND, 2, ABSENT);
        if reborn {
            scene.price(Writer::Sql, 5 * SECOND + 100, 3, 11);
        }
        scene.read(5 * SECOND + 500, 0, page(1, 10, 20));
        scene.read(7 * SECOND, 0, page(1, 10, 20));
        let answer = if reborn { page(3, 11, 20) } else { Answer::Absent };
        scene.read(7 * SECOND, 0, answer);
        let verdict = scene.check();
        assert_eq!(kinds(&verdict), [Kind::Resurrection], "{reborn}");
        assert_eq!(verdict.violations[0].read, 1);
    }
}

#[test]
fn a_product_that_is_back_must_not_be_missed_longer_than_the_bound() {
    let mut scene = Scene::new();
    scene.price(Writer::Process(0), SECOND, 2, ABSENT);
    scene.price(Writer::Sql, 2 * SECOND, 3, 11);
    scene.read(2 * SECOND + 1, 0, Answer::Absent);
    scene.read(4 * SECOND, 0, Answer::Absent);
    let verdict = scene.check();
    assert_eq!(verdict.staleness[0], (1, Some(Path::Sql)));
    assert_eq!(kinds(&verdict), [Kind::Stale]);
}

#[test]
fn going_back_is_counted_at_once_and_wrong_beyond_the_bound() {
    let mut scene = Scene::new();
    scene.price(Writer::Sql, 5 * SECOND, 2, 11);
    scene.read(5 * SECOND + MILLI, 0, page(2, 11, 20));
    // Began before that one ended: both are right.
    scene.read(5 * SECOND + 2 * MILLI, 1, page(1, 10, 20));
    scene.read(5 * SECOND + 3 * MILLI, 1, page(1, 10, 20));
    scene.read(7 * SECOND, 1, page(1, 10, 20));
    let verdict = scene.check();
    assert_eq!(verdict.went_back, 2);
    assert_eq!(kinds(&verdict), [Kind::WentBack]);
    assert_eq!(verdict.violations[0].read, 3);
}

#[test]
fn what_nobody_committed_by_then_is_wrong() {
    let answers = [page(3, 10, 20), page(1, 12, 20), page(1, 10, 99), Answer::Absent];
    for answer in answers {
        let mut scene = Scene::new();
        // The version of the future: committed only after the read has ended.
        scene.price(Writer::Sql, 5 * SECOND, 3, 12);
        scene.read(SECOND, 0, answer.clone());
        assert_eq!(kinds(&scene.check()), [Kind::NeverCommitted], "{answer:?}");
    }
}

#[test]
fn what_is_committed_during_a_read_may_be_seen() {
    let mut scene = Scene::new();
    scene.price(Writer::Sql, SECOND + MILLI, 2, 11);
    scene.read(SECOND, 0, page(2, 11, 20));
    let verdict = scene.check();
    assert_eq!((verdict.violations.len(), verdict.staleness[0].0), (0, 0));
}

#[test]
fn a_writer_must_see_its_write_at_once() {
    let version = Version { epoch: 1, counter: 2 };
    let cases = [
        (page(1, 10, 20), true, vec![Kind::ReadYourWrites]),
        (page(2, 11, 20), true, vec![]),
        (Answer::Absent, true, vec![Kind::NeverCommitted]),
    ];
    for (answer, present, expected) in cases {
        let mut scene = Scene::new();
        scene.price(Writer::Process(0), SECOND, 2, 11);
        let read = scene.read(SECOND + 1, 1, answer.clone());
        read.expected = Some(Expected { version, present });
        assert_eq!(kinds(&scene.check()), expected, "{answer:?}");
    }
    // It was absent before, so that absence is something that was committed.
    let mut scene = Scene::new();
    scene.price(Writer::Sql, SECOND / 2, 2, ABSENT);
    scene.price(Writer::Process(0), SECOND, 3, 11);
    let read = scene.read(SECOND + 1, 1, Answer::Absent);
    read.expected = Some(Expected { version, present: true });
    assert_eq!(kinds(&scene.check()), [Kind::ReadYourWrites]);
}

#[test]
fn a_write_lags_until_the_last_read_that_missed_it_in_each_region() {
    let mut scene = Scene::new();
    let first = scene.price(Writer::Process(0), SECOND, 2, 11);
    let second = scene.price(Writer::Sql, 2 * SECOND, 3, 12);
    let unwatched = scene.price(Writer::Sql, 9 * SECOND, 4, 13);
    scene.read(SECOND + 30, 0, page(2, 11, 20));
    scene.read(SECOND + 40, 2, page(1, 10, 20));
    scene.read(2 * SECOND + 500, 1, page(1, 10, 20));
    scene.read(2 * SECOND + 600, 1, page(3, 12, 20));
    let verdict = scene.check();
    let found = |lag: &Lag| (lag.write, lag.path, lag.lag, lag.last.map(|(read, _)| read));
    let expected = [
        (first, Path::Api, SECOND + 500, Some(2)),
        (first, Path::OtherRegion, 40, Some(1)),
        (second, Path::Sql, 500, Some(2)),
    ];
    assert_eq!(verdict.lags.iter().map(found).collect::<Vec<_>>(), expected);
    assert!(verdict.lags.iter().all(|lag| lag.write != unwatched));
}

#[test]
fn failures_are_not_violations() {
    let mut scene = Scene::new();
    scene.price(Writer::Sql, SECOND, 2, 11);
    scene.read(9 * SECOND, 0, Answer::Failed(503));
    let verdict = scene.check();
    assert!(verdict.violations.is_empty() && verdict.staleness.is_empty());
}

/// A history in which every read shows one moment between its beginning and its end.
fn linearisable(random: &mut ChaCha8Rng) -> Scene {
    let mut scene = Scene::new();
    let (mut at, mut counter, mut prices) = (0, 1, [10, 20]);
    // What a page shows, from when on.
    let mut shown = vec![(BEFORE, page(1, 10, 20))];
    for next in 100..100 + random.random_range(1..40) {
        at += random.random_range(1..3 * SECOND);
        counter += 1;
        let writer = if random.random_bool(0.5) {
            Writer::Sql
        } else {
            Writer::Process(random.random_range(0..3))
        };
        let which = random.random_range(0..2_usize);
        prices[which] = if which == 0 && prices[0] != ABSENT && random.random_bool(0.3) {
            ABSENT
        } else {
            next
        };
        let version = (Subject::Version(ProductPage, 1), counter);
        scene.write(writer, at, &[version, (Subject::Product(which as u32 + 1), prices[which])]);
        let answer =
            if prices[0] == ABSENT { Answer::Absent } else { page(counter, prices[0], prices[1]) };
        shown.push((at, answer));
    }
    for _ in 0..random.random_range(1..200) {
        let began = random.random_range(0..at + 5 * SECOND);
        let ended = began + random.random_range(0..SECOND / 2);
        let moment = random.random_range(began..=ended);
        let current = shown.partition_point(|(from, _)| *from <= moment);
        let answer = shown[current - 1].1.clone();
        scene.read(began, random.random_range(0..3), answer).ended = ended;
    }
    scene
}

proptest! {
    #[test]
    fn a_linearisable_history_is_never_reported(seed in any::<u64>()) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let verdict = linearisable(&mut random).check();
        prop_assert_eq!(kinds(&verdict), vec![]);
        prop_assert_eq!(verdict.went_back, 0);
        prop_assert!(verdict.staleness.iter().all(|(staleness, _)| *staleness == 0));
        prop_assert!(verdict.lags.iter().all(|lag| lag.lag == 0));
    }

    #[test]
    fn an_old_answer_in_a_linearisable_history_is_always_reported(seed in any::<u64>()) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut scene = linearisable(&mut random);
        let replaced = scene.steps[&Subject::Version(ProductPage, 1)][1].committed;
        let began = replaced + SECOND + random.random_range(1..20 * SECOND);
        scene.read(began, random.random_range(0..3), page(1, 10, 20));
        let injected = scene.history.reads.len() - 1;
        let verdict = scene.check();
        let found: Vec<usize> = verdict.violations.iter().map(|violation| violation.read).collect();
        prop_assert_eq!(found, vec![injected]);
        prop_assert_eq!(verdict.violations[0].staleness_us, began - replaced);
    }
}
