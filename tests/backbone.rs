//! What is accepted as a backbone, and how everything else is refused.

use oddsight::backbone::{
    Backbone, BackboneError, BackboneErrorKind, Features, Normalise, from_feature,
};
use oddsight::model::self_test::picture;
use prost::Message as _;
use tract_onnx::pb::{ModelProto, StringStringEntryProto, tensor_proto::DataLocation};

#[path = "support/tiny.rs"]
mod tiny;

use tiny::Tail;

fn features(tail: Tail) -> Features {
    let backbone = Backbone::from_bytes(&tiny::onnx(tail), "tiny.onnx", None).unwrap();
    assert_eq!(backbone.crop(), [tiny::SIDE; 2]);
    assert_eq!((backbone.width(), backbone.classes()), (tiny::WIDTH, tiny::CLASSES));
    let mut state = backbone.state(&Normalise::CIFAR10).unwrap();
    let features = state.run(&picture(3, [tiny::SIDE; 2])).unwrap();
    // The final layer that the heads will read is the one that made the logits.
    let layer = backbone.final_layer();
    for (c, &logit) in features.logits.iter().enumerate() {
        let row = &layer.weight[c * layer.width..][..layer.width];
        let products = row.iter().zip(&features.avg).map(|(&w, &z)| f64::from(w) * from_feature(z));
        let wanted = products.sum::<f64>() + f64::from(layer.bias[c]);
        assert!((wanted - from_feature(logit)).abs() < 1e-4, "{tail:?}, class {c}");
    }
    features
}

#[test]
fn every_spelling_of_the_tail_gives_the_same_features() {
    let legacy = features(Tail::Legacy);
    for tail in [Tail::ReduceMeanAttribute, Tail::ReduceMeanInput, Tail::AveragePool] {
        let other = features(tail);
        let pairs =
            legacy.avg.iter().zip(&other.avg).chain(legacy.logits.iter().zip(&other.logits));
        for (a, b) in pairs {
            assert!((from_feature(*a) - from_feature(*b)).abs() < 1e-5, "{tail:?}: {a} and {b}");
        }
    }
}

#[test]
fn a_larger_input_than_exported_is_accepted() {
    let bytes = tiny::onnx(Tail::Legacy);
    let backbone = Backbone::from_bytes(&bytes, "tiny.onnx", Some([40, 24])).unwrap();
    assert_eq!((backbone.map().width, backbone.map().height), (20, 12));
}

fn refused(bytes: &[u8]) -> BackboneError {
    Backbone::from_bytes(bytes, "tiny.onnx", None).unwrap_err()
}

fn refused_after(change: impl FnOnce(&mut ModelProto)) -> BackboneError {
    let mut proto = tiny::proto(Tail::Legacy);
    change(&mut proto);
    refused(&proto.encode_to_vec())
}

#[test]
fn a_graph_without_a_pool_is_refused_with_the_nodes_looked_at() {
    let e = refused(&tiny::onnx(Tail::NoPool));
    assert_eq!(e.kind(), BackboneErrorKind::Taps);
    let why = e.to_string();
    assert!(why.contains("/net/f/Flatten (Flatten), /net/p/Identity (Identity)"), "{why}");
    assert!(why.contains("GlobalAveragePool"), "{why}");
}

#[test]
fn a_pool_that_does_not_cover_the_map_is_refused() {
    let bytes = tiny::onnx(Tail::AveragePool);
    let e = Backbone::from_bytes(&bytes, "tiny.onnx", Some([32, 32])).unwrap_err();
    assert!(matches!(e.kind(), BackboneErrorKind::Taps | BackboneErrorKind::Graph), "{e}");
}

#[test]
fn nan_weights_are_refused_by_name() {
    let e = refused_after(|proto| {
        proto.graph.as_mut().unwrap().initializer[2].float_data[5] = f32::NAN;
    });
    assert_eq!(e.kind(), BackboneErrorKind::Weights);
    assert!(e.to_string().contains("`w2`"), "{e}");
}

#[test]
fn external_weights_are_refused_with_the_remedy() {
    let e = refused_after(|proto| {
        let weight = &mut proto.graph.as_mut().unwrap().initializer[0];
        weight.float_data.clear();
        weight.data_location = Some(DataLocation::External as i32);
        let (key, value) = ("location".into(), "weights.bin".into());
        weight.external_data.push(StringStringEntryProto { key, value });
    });
    assert!(e.to_string().contains("save_as_external_data=False"), "{e}");
}

#[test]
fn missing_or_misshapen_parts_are_errors() {
    let no_graph = refused_after(|proto| proto.graph = None);
    assert_eq!(no_graph.kind(), BackboneErrorKind::NotOnnx);
    let short_weight = refused_after(|proto| {
        proto.graph.as_mut().unwrap().initializer[0].float_data.truncate(7);
    });
    assert!(short_weight.to_string().contains("`w1`"), "{short_weight}");
    let lost_weight = refused_after(|proto| {
        proto.graph.as_mut().unwrap().initializer.remove(0);
    });
    assert!(lost_weight.to_string().contains("w1"), "{lost_weight}");
    let unknown_operator = refused_after(|proto| {
        proto.graph.as_mut().unwrap().node[1].op_type = "Sorcery".into();
    });
    assert!(unknown_operator.to_string().contains("Sorcery"), "{unknown_operator}");
    let wrong_channels = refused_after(|proto| {
        let weight = &mut proto.graph.as_mut().unwrap().initializer[2];
        weight.dims = vec![6, 16, 3, 3];
    });
    assert_eq!(wrong_channels.kind(), BackboneErrorKind::Graph, "{wrong_channels}");
}

#[test]
fn a_truncated_or_damaged_file_is_an_error_and_never_a_panic() {
    let whole = tiny::onnx(Tail::Legacy);
    assert_eq!(refused(&[]).kind(), BackboneErrorKind::NotOnnx);
    for cut in (1..whole.len()).step_by(97) {
        refused(&whole[..cut]);
    }
    let mut random = oddsight::random::Random::new(1);
    for _ in 0..300 {
        let mut damaged = whole.clone();
        for _ in 0..4 {
            let at = random.below(damaged.len() as u64) as usize;
            damaged[at] = random.next_u64() as u8;
        }
        // Most damage hits a weight and stays a network; the rest must be an error.
        let _ = Backbone::from_bytes(&damaged, "tiny.onnx", None);
    }
}
