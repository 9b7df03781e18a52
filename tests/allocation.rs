//! After its first frame nothing allocates: neither an int8 network nor the heads.

use std::path::Path;

use oddsight::backbone::{Backbone, Features, Normalise};
use oddsight::energy::{Scores, Scratch};
use oddsight::model::self_test;

#[path = "support/directory.rs"]
mod directory;
#[path = "support/tiny.rs"]
mod tiny;

#[test]
fn frames_after_the_first_allocate_nothing() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx");
    // A 3×3 stem with basic blocks; a 7×7 stem with max-pool; bottlenecks.
    for name in ["oddsight-basic", "qoperator-stem-7x7", "oddsight-bottleneck", "torch-dynamo"] {
        let backbone = Backbone::load(&dir.join(format!("{name}.onnx")), Some([32, 32])).unwrap();
        assert!(backbone.is_integer(), "{name}");
        let mut state = backbone.state(&Normalise::CIFAR10).unwrap();
        let mut features = Features::default();
        let pictures: Vec<_> = (1..4).map(|seed| self_test::picture(seed, [32, 32])).collect();
        let mut run = |i: usize| state.run_into(&pictures[i], &mut features).unwrap();
        let first = allocation_counter::measure(|| run(0));
        let later = allocation_counter::measure(|| (1..3).for_each(&mut run));
        assert_eq!(later.count_total, 0, "{name}: {later:?}, in the first frame {first:?}");
        assert!(first.count_total > 0, "{name}: the counter does not count");
    }
}

#[test]
fn heads_after_the_first_frame_allocate_nothing() {
    let heads = directory::every_head(40).fix().unwrap();
    let (mut scratch, mut scores) = (Scratch::default(), Scores::default());
    let mut run = |entry: i32| {
        let row = |n| (0..n).map(|i| entry.wrapping_mul(i)).collect();
        let features = Features { avg: row(40), std: row(40), logits: row(7) };
        allocation_counter::measure(|| heads.score(&features, &mut scratch, &mut scores))
    };
    let first = run(1 << 15);
    for entry in [-(1 << 12), 0, i32::MAX, i32::MIN, 77] {
        let later = run(entry);
        assert_eq!(later.count_total, 0, "{entry}: {later:?}, in the first frame {first:?}");
    }
    assert!(first.count_total > 0, "the counter does not count");
}
