//! After its first frame an int8 network allocates nothing.

use std::path::Path;

use oddsight::backbone::{Backbone, Features, Normalise};
use oddsight::model::self_test;

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
