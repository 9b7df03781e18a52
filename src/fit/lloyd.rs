//! k-means: the start of a mixture.

use crate::random::Random;

use super::Table;

/// Lloyd's algorithm ends when no row changes its cluster, or after so many rounds.
const ROUNDS: usize = 30;

/// A partition of rows.
pub(super) struct Clusters {
    /// Cluster of each row, below `count`.
    pub(super) assignment: Vec<usize>,
    /// Number of clusters; none is empty.
    pub(super) count: usize,
}

/// Partitions rows into at most `k ≥ 1` clusters by k-means++ (Arthur and Vassilvitskii 2007) and
/// Lloyd's algorithm; fewer when fewer rows are distinct. `sample` is not empty.
pub(super) fn cluster(sample: &Table, k: usize, random: &mut Random) -> Clusters {
    let mut centres = spread(sample, k, random);
    let mut assignment = vec![usize::MAX; sample.len()];
    for _ in 0..ROUNDS {
        let (mut next, mut distances): (Vec<usize>, Vec<f64>) =
            (0..sample.len()).map(|i| closest(&centres, sample.row(i))).unzip();
        fill_empty(centres.len(), &mut next, &mut distances);
        if next == assignment {
            break;
        }
        assignment = next;
        move_to_means(&mut centres, sample, &assignment);
    }
    Clusters { assignment, count: centres.len() }
}

/// k-means++: each further centre is a row, drawn in proportion to its squared distance to the
/// centres so far.
fn spread(sample: &Table, k: usize, random: &mut Random) -> Vec<Vec<f64>> {
    let centre = |i: usize| -> Vec<f64> { sample.row(i).to_vec() };
    let mut centres = vec![centre(random.below(sample.len() as u64) as usize)];
    let mut distances = vec![f64::INFINITY; sample.len()];
    while centres.len() < k {
        let newest = &centres[centres.len() - 1];
        for (i, distance) in distances.iter_mut().enumerate() {
            *distance = distance.min(squared_distance(newest, sample.row(i)));
        }
        let mut left = random.unit() * distances.iter().sum::<f64>();
        let drawn = distances.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        // Rounding may exhaust the sum before the last row; no sum at all: no further distinct row.
        let drawn = drawn.or_else(|| distances.iter().rposition(|&distance| distance > 0.0));
        let Some(drawn) = drawn else { break };
        centres.push(centre(drawn));
    }
    centres
}

/// The nearest centre, the first of equals, and its squared distance.
fn closest(centres: &[Vec<f64>], row: &[f64]) -> (usize, f64) {
    let mut best = (0, f64::INFINITY);
    for (c, centre) in centres.iter().enumerate() {
        let distance = squared_distance(centre, row);
        if distance < best.1 {
            best = (c, distance);
        }
    }
    best
}

/// Gives each empty cluster the row that lies farthest from its own centre.
fn fill_empty(clusters: usize, assignment: &mut [usize], distances: &mut [f64]) {
    let mut members = vec![0usize; clusters];
    assignment.iter().for_each(|&c| members[c] += 1);
    for empty in 0..clusters {
        if members[empty] > 0 {
            continue;
        }
        let spare = (0..assignment.len()).filter(|&i| members[assignment[i]] > 1);
        if let Some(row) = spare.max_by(|&a, &b| distances[a].total_cmp(&distances[b])) {
            members[assignment[row]] -= 1;
            members[empty] = 1;
            assignment[row] = empty;
            distances[row] = 0.0;
        }
    }
}

fn move_to_means(centres: &mut [Vec<f64>], sample: &Table, assignment: &[usize]) {
    let mut members = vec![0usize; centres.len()];
    centres.iter_mut().flatten().for_each(|x| *x = 0.0);
    for (i, &c) in assignment.iter().enumerate() {
        members[c] += 1;
        centres[c].iter_mut().zip(sample.row(i)).for_each(|(sum, x)| *sum += x);
    }
    for (centre, count) in centres.iter_mut().zip(members) {
        centre.iter_mut().for_each(|sum| *sum /= count as f64);
    }
}

fn squared_distance(centre: &[f64], row: &[f64]) -> f64 {
    centre.iter().zip(row).map(|(c, x)| (c - x) * (c - x)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[f64]) -> Table {
        let mut table = Table::new(1);
        values.iter().for_each(|&value| table.push(&[value], None).unwrap());
        table
    }

    #[test]
    fn separated_groups_are_found_from_any_seed() {
        let sample = line(&[0.0, 0.1, 0.2, 10.0, 10.1, 20.0, 20.1, 20.2, 20.3]);
        for seed in 0..50 {
            let found = cluster(&sample, 3, &mut Random::new(seed));
            assert_eq!(found.count, 3);
            let a = &found.assignment;
            assert!(a[..3].iter().all(|&c| c == a[0]), "seed {seed}: {a:?}");
            assert!(a[3..5].iter().all(|&c| c == a[3]) && a[3] != a[0], "seed {seed}: {a:?}");
            assert!(a[5..].iter().all(|&c| c == a[5]) && a[5] != a[3], "seed {seed}: {a:?}");
        }
    }

    #[test]
    fn equal_rows_make_fewer_clusters() {
        let found = cluster(&line(&[1.0, 1.0, 2.0, 2.0]), 4, &mut Random::new(3));
        assert_eq!(found.count, 2);
    }

    #[test]
    fn empty_cluster_takes_the_farthest_row_that_can_be_spared() {
        let mut assignment = [0, 0, 0, 2];
        fill_empty(3, &mut assignment, &mut [1.0, 5.0, 2.0, 9.0]);
        assert_eq!(assignment, [0, 1, 0, 2]);
    }
}
