//! Records that are corrupted on purpose are found corrupted, each for what it is.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn acknowledged(value: i64) -> Sent {
    Sent { value, outcome: Outcome::Acknowledged(None) }
}

fn unknown(value: i64) -> Sent {
    Sent { value, outcome: Outcome::Unknown }
}

fn whole_wave() -> Vec<Sent> {
    let digits = (0..WAVE).map(|place| acknowledged(BASE.pow(place)));
    digits.chain([acknowledged(-WHOLE)]).collect()
}

fn wrong(lost: u64, twice: u64, order: u64) -> Wrong {
    Wrong { lost, twice, order, arrived: 0 }
}

#[test]
fn a_lost_and_a_doubled_delta_are_told_apart() {
    let sent = [acknowledged(1), acknowledged(4), acknowledged(16)];
    assert_eq!(counted(&sent, 21), wrong(0, 0, 0));
    assert_eq!(counted(&sent, 17), wrong(1, 0, 0));
    assert_eq!(counted(&sent, 25), wrong(0, 1, 0));
    // One lost and another twice, which a sum over equal deltas would hide.
    assert_eq!(counted(&sent, 24), wrong(1, 1, 0));
    // Refused, and there all the same.
    let refused = Sent { value: 4, outcome: Outcome::Refused };
    assert_eq!(counted(&[acknowledged(1), refused], 5), wrong(0, 1, 0));
}

#[test]
fn what_is_lost_is_still_missing_waves_later() {
    let waves = [whole_wave(), whole_wave(), whole_wave()].concat();
    assert_eq!(counted(&waves, 0), wrong(0, 0, 0));
    assert_eq!(counted(&waves, 64), wrong(0, 1, 0));
    let mut open = waves;
    open.push(acknowledged(256));
    assert_eq!(counted(&open, 256), wrong(0, 0, 0));
    assert_eq!(counted(&open, 256 - 64), wrong(1, 0, 0));
    // That a wave was taken off was lost, or came twice.
    assert_eq!(counted(&open, 256 + WHOLE), wrong(1, 0, 0));
    assert_eq!(counted(&open, 256 - WHOLE), wrong(0, 1, 0));
}

#[test]
fn an_unknown_delta_may_be_there_once() {
    let sent = [acknowledged(1), unknown(4)];
    assert_eq!(counted(&sent, 1), wrong(0, 0, 0));
    assert_eq!(counted(&sent, 5), Wrong { arrived: 1, ..Wrong::default() });
    assert_eq!(counted(&sent, 9), Wrong { twice: 1, arrived: 1, ..Wrong::default() });
    assert_eq!(counted(&sent, 4), Wrong { lost: 1, arrived: 1, ..Wrong::default() });
    let mut waves = whole_wave();
    waves.pop();
    waves.push(unknown(-WHOLE));
    assert_eq!(counted(&waves, WHOLE), wrong(0, 0, 0));
    assert_eq!(counted(&waves, 0), Wrong { arrived: 1, ..Wrong::default() });
    assert_eq!(counted(&waves, WHOLE - 16), wrong(1, 0, 0));
}

#[test]
fn the_last_that_was_acknowledged_stands() {
    let sent = [acknowledged(2), acknowledged(3), unknown(4)];
    assert_eq!(ascending(&sent, 1, 3), wrong(0, 0, 0));
    assert_eq!(ascending(&sent, 1, 4), Wrong { arrived: 1, ..Wrong::default() });
    // An older one, the first, and nobody's.
    for other in [2, 1, 9] {
        assert_eq!(ascending(&sent, 1, other), wrong(1, 0, 1), "{other}");
    }
    assert_eq!(ascending(&[], 1, 1), wrong(0, 0, 0));
    assert_eq!(ascending(&[], 1, 2), wrong(0, 0, 1));
    let refused = [acknowledged(2), Sent { value: 3, outcome: Outcome::Refused }];
    assert_eq!(ascending(&refused, 1, 3), wrong(0, 1, 0));
}

#[test]
fn positions_of_one_writer_ascend() {
    let at = |value, position| Sent { value, outcome: Outcome::Acknowledged(Some(position)) };
    assert_eq!(ascending(&[at(2, 5), at(3, 9)], 1, 3), wrong(0, 0, 0));
    assert_eq!(ascending(&[at(2, 9), at(3, 5)], 1, 3), wrong(0, 0, 1));
    assert_eq!(ascending(&[at(2, 9), at(3, 9)], 1, 3), wrong(0, 0, 1));
}

proptest! {
    /// Each delta is applied as often as `times` says, and the sum says so again. Unknown ones may
    /// be there once.
    #[test]
    fn how_often_each_was_applied_is_read_off_the_sum(
        waves in 0..3_usize,
        times in vec((0..3_i64, any::<bool>()), WAVE as usize),
    ) {
        let mut sent = whole_wave().repeat(waves);
        let (mut found, mut expected) = (0, Wrong::default());
        for (place, (times, is_unknown)) in (0..WAVE).zip(times) {
            let value = BASE.pow(place);
            sent.push(if is_unknown { unknown(value) } else { acknowledged(value) });
            found += times * value;
            let least = i64::from(!is_unknown);
            expected.lost += u64::from(times < least);
            expected.twice += u64::from(times == 2);
            expected.arrived += u64::from(is_unknown && times > 0);
        }
        let told = counted(&sent, found);
        // Another explanation may have fewer wrong writes, but never none where some are wrong.
        prop_assert!(told.total() <= expected.total());
        prop_assert_eq!(told.total() == 0, expected.total() == 0, "{:?} {:?}", told, expected);
        if expected.total() == 0 {
            prop_assert_eq!(told, expected);
        }
    }
}
