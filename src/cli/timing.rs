//! Series of measurements, and how they are shown.

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

/// Cells of a table for GMAC/s and for the share of the peak; empty where nothing is multiplied.
pub fn rate_cells(gmac_per_s: Option<f64>, peak_share: Option<f64>) -> [String; 2] {
    let rate = gmac_per_s.map_or(String::new(), |rate| format!("{rate:.1}"));
    [rate, peak_share.map_or(String::new(), |share| format!("{:.0}%", share * 100.0))]
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
