//! Heads: from features to energies. Larger energy = more unusual, everywhere.
