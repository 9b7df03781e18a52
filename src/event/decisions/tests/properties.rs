//! What must hold of any stream of frames, faults, changes of light and pauses, under any settings.

use std::collections::BTreeSet;

use super::*;

/// What happens, some time after what happened before.
#[derive(Clone, Copy, Debug)]
enum Step {
    Frame { region: usize, p_value: f64 },
    Good,
    Faulty(FaultKind),
    Light,
    Tick,
    Rules,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let p_value = prop_oneof![Just(0.01), Just(0.05), Just(0.1), Just(0.3), Just(0.9)];
    let kind = prop_oneof![
        Just(FaultKind::Lost),
        Just(FaultKind::Stalled),
        Just(FaultKind::Black),
        Just(FaultKind::Truncated)
    ];
    let step = prop_oneof![
        40 => (0usize..2, p_value).prop_map(|(region, p_value)| Step::Frame { region, p_value }),
        4 => Just(Step::Good),
        3 => kind.prop_map(Step::Faulty),
        1 => Just(Step::Light),
        2 => Just(Step::Tick),
        1 => Just(Step::Rules),
    ];
    let gap_ms = prop_oneof![50 => 0u64..2_000, 2 => 5_000u64..700_000, 1 => 0u64..2 * DAY_MS];
    prop::collection::vec((gap_ms, step), 1..300)
}

fn settings() -> impl Strategy<Value = AlarmSettings> {
    let rule = (1u32..4, 1u32..6, 1u32..4);
    let times = (0u32..5, 0u64..6, 0u64..4, 0u64..4);
    (rule, times, 0u32..3, 0.0f64..0.5).prop_map(|(rule, times, budget_per_day, clear_p)| {
        AlarmSettings {
            raise: rule.0,
            window: rule.1,
            clear_frames: rule.2,
            clear_p,
            min_s: f64::from(times.0),
            cooldown_s: times.1,
            update_s: times.2,
            light_holdoff_s: times.3,
            budget_per_day,
            ..AlarmSettings::default()
        }
    })
}

/// The rules of one region's events by definition: it keeps all frames, and looks through them each time.
struct Oracle {
    settings: AlarmSettings,
    /// Time and p-value of the frames that count for the next event.
    waiting: Vec<(u64, f64)>,
    open: Option<OracleEvent>,
    ready_ms: u64,
}

struct OracleEvent {
    raised_ms: u64,
    /// From the first flagged one.
    frames: Vec<(u64, f64)>,
    /// How many of them, from the first, say nothing of its end.
    raising: usize,
}

impl Oracle {
    fn flagged(p_value: f64) -> bool {
        p_value <= ALPHA
    }

    fn frame(&mut self, now_ms: u64, p_value: f64, held: bool) -> Option<Phase> {
        let AlarmSettings { raise, window, clear_p, clear_frames, min_s, .. } = self.settings;
        if let Some(event) = &mut self.open {
            event.frames.push((now_ms, p_value));
            let after = &event.frames[event.raising..];
            let clear = |&&(_, p): &&(u64, f64)| !Oracle::flagged(p) && p > clear_p;
            let in_a_row = after.iter().rev().take_while(clear).count();
            let long_enough = (now_ms - event.raised_ms) as f64 >= min_s * 1000.0;
            return (in_a_row >= clear_frames as usize && long_enough).then(|| self.end(now_ms));
        }
        if held || now_ms < self.ready_ms {
            self.waiting.clear();
            return None;
        }
        self.waiting.push((now_ms, p_value));
        let window = window as usize;
        let last = &self.waiting[self.waiting.len().saturating_sub(window)..];
        let flagged = last.iter().filter(|&&(_, p)| Oracle::flagged(p)).count();
        if flagged < raise.min(window as u32) as usize {
            return None;
        }
        let first = last.iter().position(|&(_, p)| Oracle::flagged(p)).unwrap();
        let frames = last[first..].to_vec();
        self.open = Some(OracleEvent { raised_ms: now_ms, raising: frames.len(), frames });
        self.waiting.clear();
        Some(Start)
    }

    fn end(&mut self, now_ms: u64) -> Phase {
        self.open = None;
        self.ready_ms = now_ms + self.settings.cooldown_s * 1000;
        End
    }

    /// Rules are set anew: nothing that was counted counts.
    fn count_anew(&mut self) {
        self.waiting.clear();
        if let Some(event) = &mut self.open {
            event.raising = event.frames.len();
        }
    }
}

/// Checks what is said against what must hold of any messages.
#[derive(Default)]
struct Listener {
    next_seq: u64,
    ids: BTreeSet<EventId>,
    /// Kind and region of what is open, with its start and its last message.
    open: BTreeMap<(&'static str, String), (Message, Message)>,
    ended_ms: BTreeMap<String, u64>,
    alarms_ms: Vec<u64>,
}

impl Listener {
    /// `by_frames`: not because the program stops or the camera is away.
    fn hear(&mut self, message: Message, settings: &AlarmSettings, by_frames: bool) {
        assert_eq!(message.seq, self.next_seq);
        self.next_seq += 1;
        let now_ms = message.at.mono_ms;
        assert!(message.started_ms <= now_ms);
        let key = match &message.cause {
            Cause::Unusual(unusual) => ("unusual", unusual.region.clone()),
            Cause::CameraFault(_) => ("fault", String::new()),
            Cause::Drift(drift) => ("drift", drift.region.clone()),
        };
        if let Cause::Unusual(unusual) = &message.cause {
            assert!(unusual.peak_energy >= unusual.energy);
            assert!(unusual.peak_p_value <= ALPHA && unusual.nearest.is_some());
        }
        match message.phase {
            Start => self.start(key, message, settings),
            Update => {
                let (start, last) = self.open.get_mut(&key).expect("an update of nothing");
                assert_eq!((&start.event, start.started_ms), (&message.event, message.started_ms));
                assert!(settings.update_s > 0);
                assert!(now_ms - last.at.mono_ms >= settings.update_s * 1000, "too soon");
                grows(&last.cause, &message.cause);
                *last = message;
            }
            End => {
                let (start, last) = self.open.remove(&key).expect("an end of nothing");
                assert_eq!((&start.event, start.started_ms), (&message.event, message.started_ms));
                grows(&last.cause, &message.cause);
                if key.0 == "unusual" {
                    let length_ms = now_ms - start.at.mono_ms;
                    assert!(!by_frames || length_ms as f64 >= settings.min_s * 1000.0);
                    self.ended_ms.insert(key.1, now_ms);
                }
            }
        }
    }

    fn start(&mut self, key: (&'static str, String), message: Message, settings: &AlarmSettings) {
        let now_ms = message.at.mono_ms;
        assert!(self.ids.insert(message.event.clone()), "a name that was there before");
        assert!(!self.open.contains_key(&key), "two events at once");
        if let Cause::Unusual(unusual) = &message.cause {
            let rule = settings.rule();
            assert!(unusual.unusual_frames >= u64::from(rule.raise), "too few flagged frames");
            assert!(unusual.frames <= u64::from(rule.window), "from too long ago");
            if let Some(ended_ms) = self.ended_ms.get(&unusual.region) {
                assert!(message.started_ms >= ended_ms + settings.cooldown_s * 1000);
            }
        }
        if message.is_alarm() {
            self.alarms_ms.push(now_ms);
            let today = self.alarms_ms.iter().filter(|&&ms| now_ms - ms < DAY_MS).count();
            let budget = settings.budget_per_day as usize;
            assert!(budget == 0 || today <= budget, "more alarms than the budget");
        }
        self.open.insert(key, (message.clone(), message));
    }
}

fn grows(before: &Cause, after: &Cause) {
    match (before, after) {
        (Cause::Unusual(a), Cause::Unusual(b)) => {
            assert!(a.frames <= b.frames && a.unusual_frames <= b.unusual_frames);
            assert!(a.peak_energy <= b.peak_energy && a.suppressed == b.suppressed);
        }
        (Cause::CameraFault(a), Cause::CameraFault(b)) => assert!(a.count <= b.count),
        _ => {}
    }
}

/// A device with two regions, its oracles and its listener.
struct Trial {
    alarm: AlarmSettings,
    decisions: Decisions,
    oracles: [Oracle; 2],
    listener: Listener,
}

const NAMES: [&str; 2] = ["door", "yard"];

impl Trial {
    fn new(alarm: AlarmSettings) -> Trial {
        let rules = Rules { alarm: alarm.clone(), ..Rules::default() };
        let oracles = NAMES.map(|_| Oracle {
            settings: alarm.clone(),
            waiting: Vec::new(),
            open: None,
            ready_ms: 0,
        });
        Trial {
            decisions: Decisions::new("shed".into(), NAMES.map(String::from), &rules, alpha()),
            oracles,
            listener: Listener::default(),
            alarm,
        }
    }

    fn hear(&mut self, said: impl IntoIterator<Item = Message>, by_frames: bool) {
        said.into_iter().for_each(|message| self.listener.hear(message, &self.alarm, by_frames));
    }

    fn frame(&mut self, region: usize, p_value: f64, now: Stamp) {
        let oracle = &mut self.oracles[region];
        let expected = oracle.frame(now.mono_ms, p_value, self.decisions.is_held(now.mono_ms));
        let said = self.decisions.scored(region, &[verdict(p_value)], now, machine());
        assert!(said.len() <= 1);
        let phase = said.first().map(|message| message.phase).filter(|&phase| phase != Update);
        assert_eq!(phase, expected);
        assert_eq!(self.decisions.event(region).is_some(), oracle.open.is_some());
        if let (Some(message), Some(event)) = (said.first(), &oracle.open) {
            let flagged = event.frames.iter().filter(|frame| Oracle::flagged(frame.1)).count();
            let so_far = unusual(message);
            assert_eq!(message.started_ms, event.frames[0].0);
            assert_eq!(so_far.frames, event.frames.len() as u64);
            assert_eq!(so_far.unusual_frames, flagged as u64);
        }
        self.hear(said, true);
    }

    fn step(&mut self, step: Step, now: Stamp) {
        match step {
            Step::Frame { region, p_value } => self.frame(region, p_value, now),
            Step::Good => {
                let said = self.decisions.good(now, machine());
                self.hear(said, true);
            }
            Step::Faulty(kind) => {
                let said = self.decisions.faulty(kind, "why", now, machine());
                if said.as_ref().is_some_and(|message| message.phase == Start) {
                    self.oracles.iter_mut().for_each(|oracle| oracle.waiting.clear());
                }
                self.hear(said, true);
            }
            Step::Light => {
                self.decisions.light_jumped(now);
            }
            Step::Tick => {
                let said = self.decisions.tick(now, machine());
                assert!(said.is_empty() || self.decisions.fault().is_some());
                for message in &said {
                    let region = NAMES.iter().position(|name| *name == unusual(message).region);
                    self.oracles[region.unwrap()].end(now.mono_ms);
                }
                self.hear(said, false);
            }
            Step::Rules => {
                let rules = Rules { alarm: self.alarm.clone(), ..Rules::default() };
                self.decisions.set_rules(&rules);
                self.oracles.iter_mut().for_each(Oracle::count_anew);
            }
        }
        let open = self.oracles.iter().any(|oracle| oracle.open.is_some());
        assert!(self.decisions.is_attentive() || !open);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn events_follow_their_rules(alarm in settings(), steps in steps()) {
        let mut trial = Trial::new(alarm);
        let mut now_ms = 0;
        for (gap_ms, step) in steps {
            now_ms += gap_ms;
            trial.step(step, at(now_ms));
        }
        let said = trial.decisions.close(at(now_ms), machine());
        trial.hear(said, false);
        let Trial { listener, decisions, .. } = trial;
        prop_assert!(listener.open.is_empty(), "{:?}", listener.open.keys());
        let tally = decisions.tally();
        prop_assert_eq!(tally.alarms, listener.alarms_ms.len() as u64);
        prop_assert_eq!(tally.alarms + tally.suppressed + tally.faults, listener.ids.len() as u64);
    }
}
