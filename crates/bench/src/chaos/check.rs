//! Whether what is there is what the client's record allows.

use super::record::{BASE, Found, Outcome, Record, Sent, WAVE, WHOLE};

#[cfg(test)]
mod tests;

/// What is wrong, counted in writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wrong {
    /// Acknowledged writes that are not there.
    pub lost: u64,
    /// Writes that are there more than once, or that were refused or never sent.
    pub twice: u64,
    /// Writes of one key that do not stand in the order in which they were acknowledged.
    pub order: u64,
    /// Not wrong: writes of unknown outcome that are there.
    pub arrived: u64,
}

impl Wrong {
    /// Writes that are not as they must be.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.lost + self.twice + self.order
    }
}

impl std::ops::AddAssign for Wrong {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.twice += other.twice;
        self.order += other.order;
        self.arrived += other.arrived;
    }
}

/// Compares all of a product.
#[must_use]
pub fn check(record: &Record, found: &Found) -> Wrong {
    let mut wrong = counted(&record.deltas, found.counted);
    wrong += ascending(&record.stocks, Found::FIRST.stock, found.stock);
    wrong += ascending(&record.prices, Found::FIRST.price, found.price);
    wrong
}

/// Compares a stock with all that was ever added to it. Of several explanations, that with the
/// fewest wrong writes is taken.
#[must_use]
pub fn counted(deltas: &[Sent], found: i64) -> Wrong {
    let acknowledged = deltas.iter().filter(|sent| sent.is_acknowledged());
    let (count, sum) = acknowledged.fold((0, Found::FIRST.counted), |(count, sum), sent| {
        (count + u64::from(sent.value < 0), sum + sent.value)
    });
    let unknown: Vec<i64> =
        deltas.iter().filter(|sent| sent.outcome == Outcome::Unknown).map(|s| s.value).collect();
    let rest = found - sum;
    let mut explained = vec![digits(rest, &unknown)];
    if unknown.contains(&-WHOLE) {
        let mut arrived = digits(rest + WHOLE, &unknown);
        arrived.arrived += 1;
        explained.push(arrived);
    }
    if count > 0 {
        let mut lost = digits(rest - WHOLE, &unknown);
        lost.lost += 1;
        let mut twice = digits(rest + WHOLE, &unknown);
        twice.twice += 1;
        explained.extend([lost, twice]);
    }
    explained.into_iter().min_by_key(Wrong::total).unwrap_or_default()
}

/// Explains what is too much or too little by single deltas: digits to the base of four, of which
/// the highest stands for one too few.
fn digits(mut rest: i64, unknown: &[i64]) -> Wrong {
    let mut wrong = Wrong::default();
    for place in 0..WAVE {
        let digit = match rest.rem_euclid(BASE) {
            3 => -1,
            digit => digit,
        };
        rest = (rest - digit) / BASE;
        let arrived = digit > 0 && unknown.contains(&BASE.pow(place));
        wrong.arrived += u64::from(arrived);
        match digit - i64::from(arrived) {
            lost @ ..0 => wrong.lost += lost.unsigned_abs(),
            twice => wrong.twice += twice.unsigned_abs(),
        }
    }
    // More than all deltas together: no single one of them explains it.
    match rest {
        ..0 => wrong.lost += rest.unsigned_abs(),
        _ => wrong.twice += rest.unsigned_abs(),
    }
    wrong
}

/// Compares what was set, one write after the other: the last that was acknowledged is there, or one
/// of unknown outcome that was sent after it.
#[must_use]
pub fn ascending(sent: &[Sent], first: i64, found: i64) -> Wrong {
    let mut wrong = Wrong::default();
    let mut before = 0;
    for position in sent.iter().filter_map(|sent| match sent.outcome {
        Outcome::Acknowledged(position) => position,
        Outcome::Refused | Outcome::Unknown => None,
    }) {
        wrong.order += u64::from(position <= before);
        before = position;
    }
    let last = sent.iter().rposition(Sent::is_acknowledged);
    let standing = last.map_or(first, |last| sent[last].value);
    if found == standing {
        return wrong;
    }
    let later = &sent[last.map_or(0, |last| last + 1)..];
    let is_there = |sent: &&Sent| sent.value == found;
    match later.iter().find(is_there).map(|sent| sent.outcome) {
        Some(Outcome::Unknown) => wrong.arrived += 1,
        Some(_) => wrong.twice += 1,
        // Something older, or nobody's: the last one is not there, and what is has come after it.
        None => {
            wrong.lost += u64::from(last.is_some());
            wrong.order += 1;
        }
    }
    wrong
}
