//! From faulty frames to a `camera_fault`.

use super::{Cause, Fault, FaultKind, Phase, Told};

/// Updates of a fault come at growing distances, each twice as long as the one before, up to this.
const RAREST_UPDATE_MS: u64 = 3_600_000;

/// Starts a fault after some faulty frames in a row, or at once when the camera is away; ends it after some good ones.
#[derive(Clone, Debug)]
pub struct FaultDecider {
    rule: FaultRule,
    /// Faulty frames in a row, while no fault is open, and when the first of them was.
    bad: u32,
    since_ms: u64,
    /// Good frames in a row, while a fault is open.
    good: u32,
    open: Option<Open>,
}

/// When faults start and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultRule {
    /// Faulty frames in a row that start a fault.
    pub bad_frames: u32,
    /// Good frames in a row that end it.
    pub good_frames: u32,
    /// Until the first update; 0 says none.
    pub update_ms: u64,
}

#[derive(Clone, Debug)]
struct Open {
    started_ms: u64,
    fault: Fault,
    /// One bit for each kind of fault that was met.
    met: u32,
    said_ms: u64,
    interval_ms: u64,
}

impl FaultDecider {
    /// A decider without a fault.
    pub fn new(rule: FaultRule) -> FaultDecider {
        FaultDecider { rule, bad: 0, since_ms: 0, good: 0, open: None }
    }

    /// A frame that shows nothing, or an attempt to open a camera that is away.
    pub fn faulty(&mut self, kind: FaultKind, why: &str, now_ms: u64) -> Option<Told> {
        self.good = 0;
        if let Some(open) = &mut self.open {
            return open.again(kind, why, now_ms, self.rule.update_ms);
        }
        if self.bad == 0 {
            self.since_ms = now_ms;
        }
        self.bad = self.bad.saturating_add(1);
        let away = matches!(kind, FaultKind::Lost | FaultKind::Stalled);
        if self.bad < self.rule.bad_frames && !away {
            return None;
        }
        let fault = Fault { fault: kind, why: why.into(), count: u64::from(self.bad) };
        let open = self.open.insert(Open {
            started_ms: self.since_ms,
            fault,
            met: 1 << kind as u32,
            said_ms: now_ms,
            interval_ms: self.rule.update_ms,
        });
        self.bad = 0;
        Some(open.tell(Phase::Start))
    }

    /// A frame that shows something.
    pub fn good(&mut self) -> Option<Told> {
        self.bad = 0;
        self.good = self.good.saturating_add(1);
        if self.good < self.rule.good_frames { None } else { self.close() }
    }

    /// Ends a fault that is open.
    pub fn close(&mut self) -> Option<Told> {
        Some(self.open.take()?.tell(Phase::End))
    }

    /// Whether a fault is open, and which.
    pub fn open(&self) -> Option<&Fault> {
        self.open.as_ref().map(|open| &open.fault)
    }

    /// The fault that is open, as an update would tell it now.
    pub fn told(&self) -> Option<Told> {
        self.open.as_ref().map(|open| open.tell(Phase::Update))
    }

    /// From now on by another rule.
    pub fn set_rule(&mut self, rule: FaultRule) {
        self.rule = rule;
    }
}

impl Open {
    /// Another faulty frame. The first of a kind starts the distances of updates anew: there are few kinds, so a camera
    /// that goes back and forth between some is no flood.
    fn again(&mut self, kind: FaultKind, why: &str, now_ms: u64, update_ms: u64) -> Option<Told> {
        self.fault.count += 1;
        self.fault.fault = kind;
        if self.fault.why != why {
            self.fault.why = why.into();
        }
        if self.met & 1 << kind as u32 == 0 {
            self.met |= 1 << kind as u32;
            self.interval_ms = update_ms;
        }
        if update_ms == 0 || now_ms.saturating_sub(self.said_ms) < self.interval_ms {
            return None;
        }
        self.said_ms = now_ms;
        let next_ms = self.interval_ms.saturating_mul(2).min(RAREST_UPDATE_MS);
        self.interval_ms = next_ms.max(update_ms);
        Some(self.tell(Phase::Update))
    }

    fn tell(&self, phase: Phase) -> Told {
        let cause = Cause::CameraFault(self.fault.clone());
        Told { phase, started_ms: self.started_ms, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: FaultRule = FaultRule { bad_frames: 3, good_frames: 2, update_ms: 10_000 };

    fn fault(told: &Told) -> (Phase, FaultKind, u64, u64) {
        let Cause::CameraFault(fault) = &told.cause else { panic!("{told:?}") };
        (told.phase, fault.fault, fault.count, told.started_ms)
    }

    #[test]
    fn three_in_a_row_start_it_and_two_good_ones_end_it() {
        let mut decider = FaultDecider::new(RULE);
        let mut now_ms = 0;
        let mut said = Vec::new();
        for frame in "bb.bbb.bb..b.".chars() {
            let told = match frame {
                'b' => decider.faulty(FaultKind::Black, "dark", now_ms),
                _ => decider.good(),
            };
            said.extend(told.map(|told| (now_ms, fault(&told))));
            now_ms += 100;
        }
        assert_eq!(
            said,
            [
                (500, (Phase::Start, FaultKind::Black, 3, 300)),
                (1000, (Phase::End, FaultKind::Black, 5, 300)),
            ]
        );
        assert!(decider.open().is_none());
    }

    #[test]
    fn a_camera_that_is_away_is_said_at_once() {
        for kind in [FaultKind::Lost, FaultKind::Stalled] {
            let mut decider = FaultDecider::new(RULE);
            assert!(decider.faulty(FaultKind::Truncated, "cut", 0).is_none());
            let told = decider.faulty(kind, "gone", 50).unwrap();
            assert_eq!(fault(&told), (Phase::Start, kind, 2, 0));
        }
    }

    #[test]
    fn a_camera_that_is_away_for_a_month_is_no_flood() {
        let mut decider = FaultDecider::new(RULE);
        let month_s = 30 * 86_400;
        let said: Vec<u64> = (0..month_s)
            .step_by(5)
            .filter(|s| decider.faulty(FaultKind::Lost, "gone", s * 1000).is_some())
            .collect();
        assert_eq!(said[..6], [0, 10, 30, 70, 150, 310]);
        assert!(said.len() < 30 * 24 + 20, "{}", said.len());
        assert!(said.windows(2).all(|pair| pair[1] - pair[0] <= 3600));
        assert_eq!(fault(&decider.close().unwrap()).2, month_s / 5);
    }

    #[test]
    fn another_kind_is_said_soon_but_is_no_flood() {
        let mut decider = FaultDecider::new(RULE);
        let mut said = Vec::new();
        for s in 0..2000u64 {
            let kind = match s {
                0..1000 => FaultKind::Lost,
                _ if s % 2 == 0 => FaultKind::Truncated,
                _ => FaultKind::Undecodable,
            };
            let told = decider.faulty(kind, "", s * 1000);
            said.extend(told.map(|told| (s, fault(&told).1)));
        }
        let later: Vec<u64> = said.iter().map(|&(s, _)| s).filter(|&s| s >= 1000).collect();
        assert_eq!(later[0], 1000, "the first frame of another kind");
        assert!(later.len() < 12, "{later:?}");
    }

    #[test]
    fn no_updates_are_said_where_none_are_wanted() {
        let mut decider = FaultDecider::new(FaultRule { update_ms: 0, ..RULE });
        let said =
            (0..100_000).filter(|ms| decider.faulty(FaultKind::Lost, "", ms * 1000).is_some());
        assert_eq!(said.count(), 1);
    }
}
