//! Sharing a number out by a Zipf law.

/// Shares `total` among `ranks` so that rank r (from 1) gets a part proportional to
/// r^-`exponent`; the parts add up to `total` exactly (largest remainders).
pub(super) fn share(total: u32, ranks: u32, exponent: f64) -> Vec<u32> {
    let weights: Vec<f64> = (1..=ranks).map(|rank| f64::from(rank).powf(-exponent)).collect();
    let sum: f64 = weights.iter().sum();
    let exact: Vec<f64> = weights.iter().map(|w| w / sum * f64::from(total)).collect();
    let mut shares: Vec<u32> = exact.iter().map(|share| share.floor() as u32).collect();
    let given: u64 = shares.iter().map(|&share| u64::from(share)).sum();
    let missing = (u64::from(total) - given.min(u64::from(total))) as usize;
    let mut by_remainder: Vec<usize> = (0..shares.len()).collect();
    // Ties go to the lower rank, so that the result is the same everywhere.
    by_remainder.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()).then(a.cmp(&b)));
    for index in by_remainder.into_iter().cycle().take(missing) {
        shares[index] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_follow_the_law() {
        for (total, ranks, exponent) in
            [(500_000, 50_000, 1.0), (7, 3, 0.0), (0, 5, 1.0), (9, 1, 2.0)]
        {
            let shares = share(total, ranks, exponent);
            assert_eq!(shares.len(), ranks as usize);
            assert_eq!(shares.iter().sum::<u32>(), total);
            assert!(shares.is_sorted_by(|a, b| a + 1 >= *b), "{total} {ranks}");
        }
        let shares = share(500_000, 50_000, 1.0);
        // Rank 1 of 50,000: 1 / H(50,000) = 1 / 11.397.
        assert!((43_800..43_950).contains(&shares[0]), "{}", shares[0]);
        assert_eq!(shares[0] / shares[9], 10);
    }
}
