//! A board with something of everything on it, for tests.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::camera::Content;
use crate::energy::HeadId;
use crate::event::Cause;
use crate::event::{EventId, Fault, Unusual};
use crate::image::Rgb;
use crate::verdict::HeadVerdict;

pub(crate) const STALE: Duration = Duration::from_secs(30);

pub(crate) fn identity() -> Identity {
    Identity {
        device: "dock <3>".into(),
        source: "pipe:ffmpeg -i rtsp://me:secret@cam/1 -".into(),
        live: true,
        model: ModelCard {
            name: "demo & more".into(),
            alpha: 0.05,
            threshold: Some(4.5),
            median: 0.5,
            calibration: 199,
            heads: vec!["gmm", "el"],
            kernel: "avx2".into(),
        },
        regions: vec![
            Place { name: "left \"a\\b\"".into(), at: [0.0, 0.0, 0.5, 1.0] },
            Place { name: "right".into(), at: [0.5, 0.25, 0.5, 0.5] },
        ],
    }
}

pub(crate) fn at(mono_ms: u64) -> Stamp {
    Stamp { mono_ms, utc_ms: 1_795_684_813_042 + mono_ms as i64, clock_synced: true }
}

pub(crate) fn verdict(energy: f64) -> Verdict {
    let unusual = energy > 4.5;
    Verdict {
        energy,
        energy_q16: (energy * 65_536.0) as i64,
        p_value: if unusual { 0.005 } else { 0.4 },
        unusual,
        nearest: Some("gear <b>".into()),
        heads: vec![HeadVerdict { id: HeadId::Gmm, energy: 1.0, share: Some(energy) }],
    }
}

pub(crate) fn frame(seq: u64, grey: u8) -> Arc<Frame> {
    let picture = Rgb { width: 32, height: 16, pixels: vec![grey; 32 * 16 * 3] };
    Arc::new(Frame { seq, name: format!("test/{seq}"), content: Content::Picture(picture) })
}

pub(crate) fn message(phase: Phase, mono_ms: u64, number: u64, cause: Cause) -> Message {
    Message {
        event: EventId::new(number),
        phase,
        seq: 0,
        boot_id: "boot".into(),
        at: at(mono_ms),
        started_ms: mono_ms.min(102_500 + number * 500),
        device: "dock".into(),
        cause,
        machine: Machine::default(),
    }
}

pub(crate) fn unusual(energy: f64) -> Cause {
    Cause::Unusual(Unusual {
        region: "left \"a\\b\"".into(),
        frames: 10,
        unusual_frames: 8,
        energy,
        p_value: 0.005,
        peak_energy: energy,
        peak_p_value: 0.005,
        suppressed: false,
        nearest: Some("gear <b>".into()),
    })
}

/// Four seconds at ten frames a second from 100 s on, the last of them unusual and then frozen.
pub(crate) fn lively() -> (Board, Stamp) {
    let board = Board::new(identity(), at(90_000));
    board.metrics().opened();
    for i in 0..40 {
        let energy = if i < 25 { 0.5 } else { 5.0 + i as f64 * 0.1 };
        let verdicts = [verdict(if i == 39 { 6.5 } else { energy }), verdict(0.25)];
        let stamp = at(100_000 + i * 100);
        board.scored(stamp, &frame(i, i as u8), &verdicts, Duration::from_millis(7));
        if i == 27 {
            board.event(&message(Phase::Start, stamp.mono_ms, 0, unusual(energy)));
        }
    }
    board.passed(at(103_950), FrameResult::Unchanged);
    board.fault(at(104_000), FaultKind::Frozen, "50 equal frames <img>");
    let frozen = Fault {
        fault: FaultKind::Frozen,
        why: "50 equal frames <img>, rtsp://me:secret@cam".into(),
        count: 50,
    };
    board.event(&message(Phase::Start, 104_000, 1, Cause::CameraFault(frozen)));
    board
        .machine(Machine { temperature_c: Some(61.5), throttled: Some(1 << 16) }, Some(48_000_000));
    board.sinks(vec![
        SinkStatus { name: "journal".into(), delivered: 9, ..SinkStatus::default() },
        SinkStatus {
            name: "mqtt".into(),
            delivered: 4,
            dropped: 2,
            failed: 3,
            queued: 5,
            trouble: Some("mqtts://me:secret@broker: connection refused".into()),
        },
    ]);
    board.storage(vec![StorageStatus {
        name: "evidence".into(),
        used_bytes: 250_000_000,
        quota_bytes: 1_000_000_000,
        free_bytes: Some(12_000_000_000),
        trouble: None,
    }]);
    let region = "right".into();
    board.drift(vec![DriftStatus { region, evidence: 1.5, mean_p_value: 0.48 }]);
    (board, at(104_200))
}
