//! Whether the box works, and what is the matter with it.

use serde::Serialize;

use super::report::{DriftStatus, FaultStatus, SinkStatus, StorageStatus};
use crate::clock::Stamp;
use crate::event::Machine;
use crate::metrics::fault_name;

/// The state of the box, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Frames are scored, and nothing is unusual.
    Normal,
    /// No frame was scored yet, but not for too long.
    Starting,
    /// An unusual event goes on.
    Unusual,
    /// A camera fault goes on.
    CameraFault,
    /// No frame was scored for too long: nobody is watching.
    Blind,
}

impl State {
    /// As it is spelt in files and in the page's classes.
    pub fn name(self) -> &'static str {
        match self {
            State::Normal => "normal",
            State::Starting => "starting",
            State::Unusual => "unusual",
            State::CameraFault => "camera_fault",
            State::Blind => "blind",
        }
    }
}

/// Health is about frames: a process that runs and scores none is not healthy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Health {
    /// A frame was scored, or the program started, less than the allowed time ago.
    pub ok: bool,
    pub state: State,
    /// Since the last scored frame, or since the start.
    pub silent_s: f64,
    /// The worst first.
    pub problems: Vec<Problem>,
}

/// Something that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub level: Level,
    pub text: String,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing is watched.
    Bad,
    /// It works, but not as it should.
    Warn,
    /// Worth knowing.
    Note,
}

/// What a machine may reach before it is worth saying, in °C: boards start to throttle at 80.
pub const HOT_C: f32 = 80.0;
/// A region whose evidence of drift reaches this is named: 20 to 1.
const DRIFTS: f64 = 20.0;

/// What [`judge`] looks at.
pub(super) struct Signs<'a> {
    pub now: Stamp,
    /// Frames come by themselves.
    pub live: bool,
    pub silent_s: f64,
    pub stale_s: f64,
    pub scored_any: bool,
    pub unusual: bool,
    pub fault: Option<&'a FaultStatus>,
    pub sinks: &'a [SinkStatus],
    pub storage: &'a [StorageStatus],
    pub drift: &'a [DriftStatus],
    pub model_trouble: Option<&'a str>,
    pub learning: Option<&'a str>,
    pub machine: Machine,
}

/// Draws the conclusions.
pub(super) fn judge(signs: &Signs) -> Health {
    let may_be_silent = !signs.live && signs.fault.is_none();
    let ok = signs.silent_s <= signs.stale_s || may_be_silent;
    let state = match () {
        () if !ok => State::Blind,
        () if signs.fault.is_some() => State::CameraFault,
        () if signs.unusual => State::Unusual,
        () if !signs.scored_any => State::Starting,
        () => State::Normal,
    };
    let mut problems = Vec::new();
    let mut say = |level, text: String| problems.push(Problem { level, text });
    if !ok {
        let silent = length(signs.silent_s);
        say(Level::Bad, format!("no frame was scored for {silent}"));
    }
    if let Some(fault) = signs.fault {
        let (kind, why) = (fault_name(fault.fault).replace('_', " "), &fault.why);
        say(Level::Bad, format!("camera {kind} for {}: {why}", length(fault.age_s)));
    }
    for sink in signs.sinks {
        if let Some(why) = &sink.trouble {
            say(Level::Warn, format!("{} does not take events: {why}", sink.name));
        }
    }
    for storage in signs.storage {
        if let Some(why) = &storage.trouble {
            say(Level::Warn, format!("{} is not written: {why}", storage.name));
        }
    }
    if let Some(why) = signs.model_trouble {
        say(Level::Warn, why.into());
    }
    machine(signs.machine, &mut say);
    for drift in signs.drift.iter().filter(|drift| drift.evidence >= DRIFTS) {
        let DriftStatus { region, evidence, .. } = drift;
        say(Level::Note, format!("{region}: what is normal has moved ({evidence:.0} to 1)"));
    }
    if let Some(progress) = signs.learning {
        say(Level::Note, progress.into());
    }
    if !signs.now.clock_synced {
        say(Level::Note, "the clock is not synchronised: dates may be wrong".into());
    }
    problems.sort_by_key(|problem| problem.level);
    Health { ok, state, silent_s: signs.silent_s, problems }
}

fn machine(machine: Machine, say: &mut impl FnMut(Level, String)) {
    if let Some(hot) = machine.temperature_c.filter(|&c| c >= HOT_C) {
        say(Level::Warn, format!("the machine is hot: {hot:.0} °C"));
    }
    let bits = machine.throttled.unwrap_or(0);
    for (bit, text) in THROTTLED {
        if bits & bit != 0 {
            say(Level::Warn, text.into());
        }
    }
    if bits & UNDER_VOLTAGE_BEFORE != 0 && bits & UNDER_VOLTAGE == 0 {
        say(Level::Note, "the supply voltage was too low since the machine started".into());
    }
}

const UNDER_VOLTAGE: u32 = 1;
const UNDER_VOLTAGE_BEFORE: u32 = 1 << 16;
/// The Raspberry Pi firmware's bits of what goes on now.
const THROTTLED: [(u32, &str); 3] = [
    (UNDER_VOLTAGE, "the supply voltage is too low"),
    (1 << 2, "the processor is throttled"),
    (1 << 3, "the processor is slowed down: soft temperature limit"),
];

/// `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn length(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..10 => format!("{:.1} s", seconds.max(0.0)),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FaultKind;

    const FINE: Signs = Signs {
        now: Stamp { mono_ms: 100_000, utc_ms: 0, clock_synced: true },
        live: true,
        silent_s: 0.1,
        stale_s: 30.0,
        scored_any: true,
        unusual: false,
        fault: None,
        sinks: &[],
        storage: &[],
        drift: &[],
        model_trouble: None,
        learning: None,
        machine: Machine { temperature_c: Some(50.0), throttled: Some(0) },
    };

    #[test]
    fn the_worst_that_goes_on_is_the_state() {
        let fault =
            FaultStatus { fault: FaultKind::WrongSize, why: "320 by 240".into(), age_s: 75.0 };
        let state = |signs: &Signs| (judge(signs).ok, judge(signs).state);
        assert_eq!(state(&FINE), (true, State::Normal));
        assert!(judge(&FINE).problems.is_empty());
        assert_eq!(state(&Signs { scored_any: false, ..FINE }), (true, State::Starting));
        assert_eq!(state(&Signs { unusual: true, ..FINE }), (true, State::Unusual));
        let faulty = Signs { unusual: true, fault: Some(&fault), ..FINE };
        assert_eq!(state(&faulty), (true, State::CameraFault));
        let text = &judge(&faulty).problems[0].text;
        assert_eq!(text, "camera wrong size for 1 min 15 s: 320 by 240");
        assert_eq!(state(&Signs { silent_s: 30.1, ..faulty }), (false, State::Blind));
        // A folder may be silent for days, unless it is gone.
        let folder = Signs { live: false, silent_s: 90_000.0, ..FINE };
        assert_eq!(state(&folder), (true, State::Normal));
        assert_eq!(state(&Signs { fault: Some(&fault), ..folder }), (false, State::Blind));
    }

    #[test]
    fn problems_come_worst_first() {
        let sinks = [SinkStatus {
            name: "mqtt".into(),
            trouble: Some("connection refused".into()),
            ..SinkStatus::default()
        }];
        let drift = [DriftStatus { region: "belt".into(), evidence: 150.0, mean_p_value: 0.2 }];
        let machine = Machine { temperature_c: Some(81.0), throttled: Some(1 << 16 | 1 << 2) };
        let now = Stamp { clock_synced: false, ..FINE.now };
        let model_trouble = Some("model 2 is not used: altered");
        let learning = Some("learning: fitting heads");
        let signs = Signs {
            now,
            silent_s: 61.0,
            sinks: &sinks,
            drift: &drift,
            model_trouble,
            learning,
            machine,
            ..FINE
        };
        let health = judge(&signs);
        let levels: Vec<Level> = health.problems.iter().map(|problem| problem.level).collect();
        use Level::{Bad, Note, Warn};
        assert_eq!(levels, [Bad, Warn, Warn, Warn, Warn, Note, Note, Note, Note]);
        assert_eq!(health.problems[0].text, "no frame was scored for 1 min 1 s");
        assert_eq!(health.problems[1].text, "mqtt does not take events: connection refused");
        assert_eq!(health.problems[2].text, "model 2 is not used: altered");
    }

    #[test]
    fn names_are_those_of_the_files() {
        for state in
            [State::Normal, State::Starting, State::Unusual, State::CameraFault, State::Blind]
        {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{}\"", state.name()));
        }
    }

    #[test]
    fn lengths_read_well() {
        let lengths = [-1.0, 0.44, 59.9, 60.0, 3725.0, 90_000.0, f64::NAN].map(length);
        let expected = ["0.0 s", "0.4 s", "59 s", "1 min 0 s", "1 h 2 min", "1 d 1 h", "0.0 s"];
        assert_eq!(lengths, expected);
    }
}
