//! How the energies of heads become one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{EnergyError, EnergyErrorKind};

/// How standardised terms `v_k` become one energy (HEAT's equation 7). Written `sum`, `lse:BETA`,
/// `max` or `min`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Rule {
    /// `Σ v_k`: not the mean; β = 0.
    Sum,
    /// `(1/β) log Σ exp(β v_k)` with a finite β ≠ 0. β > 0 is a soft maximum, β < 0 a soft minimum.
    LogSumExp(f64),
    /// `max v_k`: any term can flag a frame; β = +∞.
    Max,
    /// `min v_k`: all terms must; β = −∞.
    Min,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Sum => f.pad("sum"),
            Rule::LogSumExp(beta) => write!(f, "lse:{beta}"),
            Rule::Max => f.pad("max"),
            Rule::Min => f.pad("min"),
        }
    }
}

impl FromStr for Rule {
    type Err = EnergyError;

    fn from_str(text: &str) -> Result<Rule, EnergyError> {
        let refuse = |why: String| Err(EnergyError::new(EnergyErrorKind::Rule, why));
        match (text, text.strip_prefix("lse:").map(str::parse::<f64>)) {
            ("sum", _) => Ok(Rule::Sum),
            ("max", _) => Ok(Rule::Max),
            ("min", _) => Ok(Rule::Min),
            (_, Some(Ok(beta))) if beta.is_finite() && beta != 0.0 => Ok(Rule::LogSumExp(beta)),
            (_, Some(_)) => refuse(format!(
                "rule {text:?}: beta must be a finite number other than 0; \
                 write sum for 0, max for +inf, min for -inf"
            )),
            _ => refuse(format!("unknown rule {text:?}: the rules are sum, lse:BETA, max, min")),
        }
    }
}
