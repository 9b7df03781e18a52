//! Exact binomial intervals.

use super::{MetricsError, MetricsErrorKind};

/// Some of a number of frames, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    count: u64,
    total: u64,
}

/// Two-sided confidence of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// 95 %.
    P95,
    /// 99 %.
    P99,
}

impl Share {
    /// `count` of `total`; `what` names the counted frames in an error.
    ///
    /// # Errors
    ///
    /// `total` is 0, or `count` is larger.
    pub fn new(what: &str, count: u64, total: u64) -> Result<Share, MetricsError> {
        if total == 0 {
            return Err(MetricsError::new(MetricsErrorKind::Empty, what, "counted among 0 frames"));
        }
        if count > total {
            let why = format_args!("{count} counted among {total} frames");
            return Err(MetricsError::new(MetricsErrorKind::Shape, what, why));
        }
        Ok(Share { count, total })
    }

    /// The frames that count.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All frames.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// `count / total`, in `0..=1`.
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.total as f64
    }

    /// The exact interval of Clopper and Pearson (1934) for the chance behind the rate, the frames
    /// taken as independent: at least `confidence` of such intervals cover it.
    pub fn interval(&self, confidence: Confidence) -> [f64; 2] {
        let tail = match confidence {
            Confidence::P95 => 0.025,
            Confidence::P99 => 0.005,
        };
        let missing = self.total - self.count;
        [lower_bound(self.count, self.total, tail), 1.0 - lower_bound(missing, self.total, tail)]
    }
}

/// The `p` at which `count` or more of `total` have the chance `tail`, by bisection.
fn lower_bound(count: u64, total: u64, tail: f64) -> f64 {
    if count == 0 {
        return 0.0;
    }
    let ways_ln = choose_ln(total, count);
    // At p = count / total the chance is at least one half: the median of a binomial distribution
    // whose mean is whole is that mean.
    let (mut low, mut high) = (0.0, count as f64 / total as f64);
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return low;
        }
        if upper_tail(count, total, middle, ways_ln) < tail {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// The chance of `count` or more of `total` at `p`, for `p` in `(0, count / total)`, where the terms
/// only fall. `ways_ln` is the logarithm of the binomial coefficient.
fn upper_tail(count: u64, total: u64, p: f64, ways_ln: f64) -> f64 {
    let (k, n) = (count as f64, total as f64);
    let first_ln = ways_ln + k * p.ln() + (n - k) * (-p).ln_1p();
    let odds = p / (1.0 - p);
    let (mut term, mut sum, mut hits) = (1.0, 0.0, k);
    while term > sum * f64::EPSILON / 4.0 {
        sum += term;
        term *= (n - hits) / (hits + 1.0) * odds;
        hits += 1.0;
    }
    first_ln.exp() * sum
}

/// Natural logarithm of the number of ways to choose `count` of `total`.
fn choose_ln(total: u64, count: u64) -> f64 {
    let few = count.min(total - count);
    (0..few).map(|i| ((total - i) as f64 / (few - i) as f64).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(count: u64, total: u64) -> Share {
        Share::new("flagged normal frames", count, total).expect("a share")
    }

    /// `scipy.stats.beta.ppf`, scipy 1.17.1.
    #[test]
    fn intervals_are_scipys() {
        let expected = [
            (251, 5000, Confidence::P95, [0.04431169439820203, 0.056620205139251825]),
            (251, 5000, Confidence::P99, [0.0425774544890695, 0.058692666089665196]),
            (0, 10, Confidence::P95, [0.0, 0.3084971078187607]),
            (10, 10, Confidence::P99, [0.5887040186524747, 1.0]),
            (1, 1, Confidence::P95, [0.025, 1.0]),
            (3, 100_000, Confidence::P95, [6.186763958922032e-06, 8.7670202566362e-05]),
            (949, 1000, Confidence::P99, [0.9283353498161598, 0.9652448573328026]),
            (500_000, 1_000_000, Confidence::P95, [0.49901951919531184, 0.5009804808046882]),
        ];
        for (count, total, confidence, [low, high]) in expected {
            let found = share(count, total).interval(confidence);
            for (found, expected) in found.into_iter().zip([low, high]) {
                assert!((found - expected).abs() <= 1e-9 * expected, "{count}/{total}: {found:e}");
            }
        }
    }

    #[test]
    fn an_impossible_share_is_refused() {
        assert_eq!(Share::new("hits", 0, 0).unwrap_err().kind(), MetricsErrorKind::Empty);
        let error = Share::new("hits", 3, 2).unwrap_err();
        assert_eq!(error.kind(), MetricsErrorKind::Shape);
        assert_eq!(error.to_string(), "hits: 3 counted among 2 frames");
    }
}
