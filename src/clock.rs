//! Time, and what is known of it.
//!
//! Decisions use the monotonic clock: the wall clock of a field device starts years off and jumps. A [`Stamp`] carries
//! both, and whether the wall clock could be trusted.

mod system;

use serde::{Deserialize, Serialize};

pub use system::{System, boot_id};

/// A moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Milliseconds since the machine started, suspended time included. Orders the moments of one boot.
    pub mono_ms: u64,
    /// Milliseconds since 1970 by the wall clock, which may be wrong and may jump.
    pub utc_ms: i64,
    /// The wall clock was synchronised with a time source.
    pub clock_synced: bool,
}

/// Where time comes from: the seam where a simulation takes the machine's place.
pub trait Clock: Send + Sync {
    /// This moment.
    fn now(&self) -> Stamp;
}

/// `2026-11-26T09:20:13.042Z`; years outside of what a date can say become the nearest that it can.
pub fn utc(utc_ms: i64) -> String {
    let clamped =
        utc_ms.clamp(jiff::Timestamp::MIN.as_millisecond(), jiff::Timestamp::MAX.as_millisecond());
    let timestamp =
        jiff::Timestamp::from_millisecond(clamped).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{timestamp:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_has_a_date() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(1_795_684_813_042), "2026-11-26T09:20:13.042Z");
        for extreme in [i64::MIN, i64::MAX] {
            assert!(utc(extreme).ends_with('Z'));
        }
    }

    #[test]
    fn the_machine_has_a_clock_and_a_boot() {
        let (earlier, later) = (System.now(), System.now());
        assert!(earlier.mono_ms <= later.mono_ms && earlier.utc_ms > 1_600_000_000_000);
        assert_eq!(boot_id(), boot_id());
        assert!(!boot_id().is_empty());
    }
}
