//! Which pictures a set holds.
//!
//! A picture is told by its features, so neither its name nor its place counts, nor whether it came from a folder,
//! a tar or a feature file. A float backbone may round otherwise on another processor, and then its pictures are
//! not known again; an int8 one gives the same features everywhere.

use anyhow::{Result, ensure};
use oddsight::backbone::{Features, NOT_A_NUMBER};
use oddsight::energy::HeadId;
use oddsight::model::hex;
use sha2::{Digest as _, Sha256};

use crate::features::FeatureFile;

/// First eight bytes of the SHA-256 of a picture's features. Two different ones among a million pictures on either
/// side are alike with a probability of 10⁻⁷.
pub fn digest(features: &Features) -> u64 {
    let mut sha256 = Sha256::new();
    for row in [&features.avg, &features.std, &features.logits] {
        row.iter().for_each(|x| sha256.update(x.to_le_bytes()));
    }
    let mut first = [0; 8];
    first.copy_from_slice(&sha256.finalize()[..8]);
    u64::from_be_bytes(first)
}

/// Digests of the pictures of a set, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pictures(Vec<u64>);

impl FromIterator<u64> for Pictures {
    fn from_iter<I: IntoIterator<Item = u64>>(digests: I) -> Pictures {
        let mut digests: Vec<u64> = digests.into_iter().collect();
        digests.sort_unstable();
        Pictures(digests)
    }
}

impl Pictures {
    /// Those of a file. Errors: a feature that one of `heads` reads is not finite.
    pub fn of(file: &FeatureFile, heads: &[HeadId]) -> Result<Pictures> {
        let is_read = |by: &[HeadId]| heads.iter().any(|id| by.contains(id));
        use HeadId::*;
        let reads = [
            is_read(&[Gmm, Knn, HeatGmm, HeatEl]),
            is_read(&[GmmStd, HeatGmmStd]),
            is_read(&[Msp, Mls, El, HeatEl]),
        ];
        let mut digests = Vec::with_capacity(file.len());
        file.visit(|row, features| {
            let taps = [&features.avg, &features.std, &features.logits];
            let broken = |(tap, reads): (&Vec<i32>, bool)| reads && tap.contains(&NOT_A_NUMBER);
            ensure!(!taps.into_iter().zip(reads).any(broken), file.not_finite(row));
            digests.push(digest(features));
            Ok(())
        })?;
        Ok(digests.into_iter().collect())
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of these pictures are among the others.
    pub fn shared(&self, others: &Pictures) -> usize {
        self.0.iter().filter(|digest| others.0.binary_search(digest).is_ok()).count()
    }

    /// The `most` smallest digests. They are spread over the pictures as chance does it, so that a set which
    /// shares many pictures with this one shares some of them.
    pub fn smallest(&self, most: usize) -> Pictures {
        Pictures(self.0.iter().copied().take(most).collect())
    }

    /// Sixteen hexadecimal digits for each.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|digest| hex(&digest.to_be_bytes())).collect()
    }

    /// `None` where the text is not what [`Pictures::to_hex`] gives.
    pub fn from_hex(text: &str) -> Option<Pictures> {
        let digits = text.as_bytes().chunks(16);
        let digests = digits.map(|digits| {
            let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 16)?;
            u64::from_str_radix(digits, 16).ok()
        });
        digests.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_pictures_are_counted_and_written_down() {
        let set = |digests: &[u64]| digests.iter().copied().collect::<Pictures>();
        let (some, others) = (set(&[5, 1, u64::MAX, 5]), set(&[7, 5, 2]));
        assert_eq!((some.shared(&others), others.shared(&some)), (2, 1));
        assert_eq!(Pictures::from_hex(&some.to_hex()), Some(some.clone()));
        assert_eq!(some.smallest(1), set(&[1]));
        assert_eq!(Pictures::from_hex(""), Some(Pictures::default()));
        for text in ["1", "000000000000000g", "é00000000000000", "0000000000000001zz"] {
            assert_eq!(Pictures::from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn a_digest_is_of_all_features() {
        let features = |at: usize| Features {
            avg: vec![(at == 0).into()],
            std: vec![(at == 1).into()],
            logits: vec![(at == 2).into()],
        };
        let digests: Vec<u64> = (0..4).map(|at| digest(&features(at))).collect();
        assert!((0..4).all(|i| !digests[..i].contains(&digests[i])), "{digests:?}");
    }
}
