//! From verdicts on frames to an alarm: a few flagged frames close together.

/// An alarm is raised when this many …
pub const RAISE: u32 = 3;
/// … of this many last frames are flagged, and is over when none of them is.
pub const WINDOW: u32 = 5;

/// The alarm after one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    /// It is on.
    pub on: bool,
    /// It went on with this frame.
    pub raised: bool,
    /// The last frames alone would raise it.
    pub met: bool,
}

/// The k-of-n rule over a stream of verdicts.
#[derive(Clone, Debug, Default)]
pub struct Debounce {
    /// The last verdicts, the newest in bit 0.
    flags: u32,
    on: bool,
}

impl Debounce {
    /// Takes the verdict on the next frame.
    pub fn step(&mut self, unusual: bool) -> Alarm {
        self.flags = ((self.flags << 1) | u32::from(unusual)) & ((1 << WINDOW) - 1);
        let met = self.flags.count_ones() >= RAISE;
        let raised = met && !self.on;
        self.on = met || (self.on && self.flags != 0);
        Alarm { on: self.on, raised, met }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(flags: &str) -> String {
        let mut debounce = Debounce::default();
        let mark = |alarm: Alarm| match (alarm.raised, alarm.met, alarm.on) {
            (true, true, true) => 'R',
            (false, true, true) => 'M',
            (false, false, true) => '+',
            (false, false, false) => '.',
            _ => '?',
        };
        flags.chars().map(|flag| mark(debounce.step(flag == 'x'))).collect()
    }

    #[test]
    fn three_of_five_raise_and_five_quiet_frames_end() {
        assert_eq!(on("x....x.x..x....x"), "................");
        assert_eq!(on("xx.x......"), "...RM+++..");
        assert_eq!(on("..xxx"), "....R");
        assert_eq!(on("xxx....x....x....."), "..RMM++++++++++++.");
    }
}
