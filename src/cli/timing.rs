//! Series of measurements.

/// Measurements of one thing.
pub type Series = Vec<f64>;

/// The median; 0 of nothing.
pub fn median(series: &mut Series) -> f64 {
    quantile(series, 0.5)
}

/// The smallest measurement that at least the share `q` of all do not exceed; 0 of nothing.
pub fn quantile(series: &mut Series, q: f64) -> f64 {
    if series.is_empty() {
        return 0.0;
    }
    let rank = (q * series.len() as f64).ceil() as usize;
    let rank = rank.clamp(1, series.len()) - 1;
    *series.select_nth_unstable_by(rank, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_hundred() {
        let mut series: Series = (1..=100).rev().map(f64::from).collect();
        assert_eq!(median(&mut series), 50.0);
        assert_eq!(quantile(&mut series, 0.99), 99.0);
        assert_eq!(quantile(&mut Vec::new(), 0.5), 0.0);
    }
}
