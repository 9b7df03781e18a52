//! From an energy to a p-value and a verdict.
