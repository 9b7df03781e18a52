//! What detectors ask of training rows, row by row.

use nalgebra::DMatrix;
use oddsight::fit::{FitError, FitErrorKind, Rows, visit_checked};

use crate::autodiff::{Matrix, multiply};
use crate::metrics::position;

/// Rows that are multiplied at once.
const BLOCK_ROWS: usize = 256;

/// Visits finite rows of one width.
pub fn visit(rows: &dyn Rows, each: &mut dyn FnMut(&[f64])) -> Result<(), FitError> {
    visit_checked(rows, &[], &mut |row, _| {
        each(row);
        Ok(())
    })
}

/// The mean of at least one row.
pub fn mean(rows: &dyn Rows) -> Result<Vec<f64>, FitError> {
    let mut sum = vec![0.0; rows.width()];
    let mut count = 0u64;
    visit(rows, &mut |row| {
        add(&mut sum, row);
        count += 1;
    })?;
    refuse_none(count)?;
    sum.iter_mut().for_each(|sum| *sum /= count as f64);
    Ok(sum)
}

/// The mean of each class, class by class. Errors: a row without a label or of no class; a class without
/// rows.
pub fn class_means(rows: &dyn Rows, classes: &[String]) -> Result<Vec<Vec<f64>>, FitError> {
    let mut sums = vec![vec![0.0; rows.width()]; classes.len()];
    let mut counts = vec![0u64; classes.len()];
    visit_checked(rows, classes, &mut |row, label| {
        let class = label.map(|label| label as usize).filter(|&class| class < classes.len());
        let Some(class) = class else {
            let message = format!("a row has label {label:?}, there are {} classes", classes.len());
            return Err(FitError::new(FitErrorKind::Label, message));
        };
        counts[class] += 1;
        add(&mut sums[class], row);
        Ok(())
    })?;
    if let Some(class) = counts.iter().position(|&count| count == 0) {
        let message = format!("class {} has no pictures: add some or remove it", classes[class]);
        return Err(FitError::new(FitErrorKind::TooFew, message));
    }
    for (sum, count) in sums.iter_mut().zip(counts) {
        sum.iter_mut().for_each(|sum| *sum /= count as f64);
    }
    Ok(sums)
}

/// The mean of `(z − centre)(z − centre)ᵀ` over at least one row, and their number.
pub fn moment(rows: &dyn Rows, centre: &[f64]) -> Result<(DMatrix<f64>, u64), FitError> {
    let width = rows.width();
    let mut sum = vec![0.0; width * width];
    let mut block = Vec::with_capacity(BLOCK_ROWS * width);
    let mut count = 0u64;
    let mut flush = |block: &mut Vec<f64>| {
        let rows = Matrix::new(block, width);
        multiply(&mut sum, rows.t(), rows, true);
        block.clear();
    };
    visit(rows, &mut |row| {
        block.extend(row.iter().zip(centre).map(|(x, c)| x - c));
        count += 1;
        if block.len() == BLOCK_ROWS * width {
            flush(&mut block);
        }
    })?;
    flush(&mut block);
    refuse_none(count)?;
    Ok((DMatrix::from_vec(width, width, sum) / count as f64, count))
}

/// The percentile at `share` of all entries of at least one row, linearly interpolated as in numpy.
///
/// Exact, by counting 16 bits of the entries at a time: five passes, and memory for the counts alone.
pub fn percentile(rows: &dyn Rows, share: f64) -> Result<f64, FitError> {
    const DIGITS: u32 = 16;
    let mut count = 0;
    visit(rows, &mut |row| count += row.len())?;
    refuse_none(count as u64)?;
    let (below, weight) = position(count, share);
    let mut ranks = [below, (below + 1).min(count - 1)];
    let mut found = [0u64; 2];
    for shift in (0..u64::BITS).step_by(DIGITS as usize).rev() {
        let mut counts = [vec![0usize; 1 << DIGITS], vec![0usize; 1 << DIGITS]];
        visit(rows, &mut |row| {
            for key in row.iter().map(|&x| ordered(x)) {
                // The digits above this one; none at first.
                let above = key.checked_shr(shift + DIGITS).unwrap_or(0);
                let digit = (key >> shift) as usize % (1 << DIGITS);
                for (counts, found) in counts.iter_mut().zip(found) {
                    counts[digit] += usize::from(above == found);
                }
            }
        })?;
        for ((counts, found), rank) in counts.iter().zip(&mut found).zip(&mut ranks) {
            let mut digit = 0;
            while *rank >= counts[digit] {
                *rank -= counts[digit];
                digit += 1;
            }
            *found = (*found << DIGITS) | digit as u64;
        }
    }
    let [lower, upper] = found.map(number);
    Ok(crate::metrics::between(lower, upper, weight))
}

const SIGN: u64 = 1 << 63;

/// Bits of a number, so that their order as integers is that of the numbers.
fn ordered(x: f64) -> u64 {
    let bits = x.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The number with these ordered bits.
fn number(key: u64) -> f64 {
    f64::from_bits(if key & SIGN == 0 { !key } else { key ^ SIGN })
}

fn add(sum: &mut [f64], row: &[f64]) {
    sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
}

fn refuse_none(count: u64) -> Result<(), FitError> {
    if count > 0 {
        return Ok(());
    }
    let message = "there are no rows to fit: add pictures".to_string();
    Err(FitError::new(FitErrorKind::TooFew, message))
}

#[cfg(test)]
mod tests {
    use oddsight::fit::Table;
    use oddsight::random::Random;

    use super::*;

    #[test]
    fn percentiles_are_those_of_all_entries_sorted() {
        let mut random = Random::new(1);
        for rows in [1, 2, 7, 300] {
            let mut table = Table::new(3);
            for _ in 0..rows {
                // Ties, both signs, and numbers that differ in their last bits alone.
                let mut entry = || (8.0 * random.range(-1.0, 1.0)).floor() + 1e-15 * random.unit();
                table.push(&[entry(), entry(), -0.0], None).unwrap();
            }
            let mut sorted = table.clone().into_values();
            sorted.sort_unstable_by(f64::total_cmp);
            for share in [0.0, 0.05, 0.5, 0.9, 1.0] {
                let found = percentile(&table, share).unwrap();
                assert_eq!(found, crate::metrics::percentile(&sorted, share), "{rows} {share}");
            }
        }
    }

    #[test]
    fn moments_are_those_of_the_definition_across_blocks() {
        for count in [1, BLOCK_ROWS, BLOCK_ROWS + 1] {
            let mut table = Table::new(2);
            (0..count).for_each(|i| table.push(&[i as f64, (i % 3) as f64], None).unwrap());
            let (found, rows) = moment(&table, &[1.0, 2.0]).unwrap();
            assert_eq!(rows, count as u64);
            let entry = |i: usize| (i as f64 - 1.0) * ((i % 3) as f64 - 2.0);
            let expected = (0..count).map(entry).sum::<f64>() / count as f64;
            assert!((found[(0, 1)] - expected).abs() < 1e-9 && found[(0, 1)] == found[(1, 0)]);
        }
    }
}
