use std::path::PathBuf;

use super::*;

/// Made the signature of `tests/data/signed-model`.
const KEY: &str = "RWQjcReuclPX6Tl2i9EGytz7JDw8b3QVAvsqldnMZh2kEbWhvGvs3KFs";
const ANOTHER_KEY: &str = "RWSfWvrOb/9enM0SeNHGC9OuGZgQMan+ZaxnOOaX7JAC+8GCAtKo63Gw";

fn signed() -> tempfile::TempDir {
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/signed-model");
    let dir = tempfile::tempdir().unwrap();
    for name in ["backbone.onnx", "heads.postcard", MANIFEST_FILE, SIGNATURE_FILE] {
        fs::copy(from.join(name), dir.path().join(name)).unwrap();
    }
    dir
}

fn key(text: &str) -> PublicKey {
    text.parse().unwrap()
}

fn refused(dir: &Path, key: Option<&PublicKey>) -> (StoreErrorKind, String) {
    let refused = manifest::check(dir, key).unwrap_err();
    (refused.kind(), refused.to_string())
}

#[test]
fn a_signed_directory_is_accepted_as_it_is() {
    let dir = signed();
    assert_eq!(manifest::check(dir.path(), Some(&key(KEY))).unwrap(), 7);
    assert_eq!(manifest::check(dir.path(), None).unwrap(), 7);
}

#[test]
fn another_key_is_refused() {
    let (kind, why) = refused(signed().path(), Some(&key(ANOTHER_KEY)));
    assert_eq!(kind, StoreErrorKind::Signature, "{why}");
    assert!(why.contains(SIGNATURE_FILE) && why.contains("key"), "{why}");
}

#[test]
fn one_changed_byte_anywhere_is_refused() {
    for name in ["backbone.onnx", "heads.postcard", MANIFEST_FILE, SIGNATURE_FILE] {
        let dir = signed();
        let path = dir.path().join(name);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            // The first line of a signature is a comment that nobody signs.
            let is_comment = name == SIGNATURE_FILE && !whole[..=at].contains(&b'\n');
            if !is_comment {
                assert!(manifest::check(dir.path(), Some(&key(KEY))).is_err(), "{name}, byte {at}");
            }
        }
    }
}

#[test]
fn what_is_missing_is_named_with_a_remedy() {
    let dir = signed();
    fs::remove_file(dir.path().join(SIGNATURE_FILE)).unwrap();
    let (kind, why) = refused(dir.path(), Some(&key(KEY)));
    assert_eq!(kind, StoreErrorKind::Signature);
    assert!(why.contains("minisign -Sm"), "{why}");
    fs::remove_file(dir.path().join(MANIFEST_FILE)).unwrap();
    let (kind, why) = refused(dir.path(), Some(&key(KEY)));
    assert_eq!(kind, StoreErrorKind::Signature);
    assert!(why.contains("oddsight model manifest"), "{why}");
    assert_eq!(manifest::check(dir.path(), None).unwrap(), 0);
}

#[test]
fn a_manifest_names_files_of_a_model_and_nothing_else() {
    let dir = signed();
    let digest = "00".repeat(32);
    for (text, what) in [
        ("{}".to_string(), "no manifest"),
        ("[".repeat(10_000), "no manifest"),
        (r#"{"version": -1, "sha256": {}}"#.to_string(), "no manifest"),
        (r#"{"version": 1, "sha256": {}}"#.to_string(), "backbone.onnx"),
        (
            format!(
                r#"{{"version": 1, "sha256": {{"backbone.onnx": "{digest}", "heads.postcard": "{digest}",
                "../../etc/passwd": "{digest}"}}}}"#
            ),
            "../../etc/passwd",
        ),
    ] {
        fs::write(dir.path().join(MANIFEST_FILE), &text).unwrap();
        let (kind, why) = refused(dir.path(), None);
        assert_eq!(kind, StoreErrorKind::Manifest);
        assert!(why.contains(what), "{why}");
    }
}

#[test]
fn keys_are_parsed_or_explained() {
    assert_eq!(key(&format!(" {KEY}\n")), key(KEY));
    assert_ne!(key(KEY), key(ANOTHER_KEY));
    let why = "untrusted comment: minisign public key".parse::<PublicKey>().unwrap_err();
    assert!(why.contains("minisign.pub"), "{why}");
}

#[test]
fn a_state_that_cannot_be_read_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    assert_eq!(store.state(), State::default());
    for text in [
        "",
        "{",
        r#"{"failed_starts": 1}"#,
        r#"{"failed_starts": 1, "highest_version": 2, "x": 1}"#,
    ] {
        fs::write(dir.path().join(STATE_FILE), text).unwrap();
        assert_eq!(store.state(), State::default());
    }
    let state = State { failed_starts: 2, highest_version: 9 };
    store.write(&state).unwrap();
    assert_eq!(store.state(), state);
}

#[test]
fn an_empty_store_says_how_to_fill_it() {
    let dir = tempfile::tempdir().unwrap();
    let refused = Store::at(dir.path()).starting(3).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Empty);
    assert!(refused.to_string().contains("model install"), "{refused}");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_astray_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("versions/000001")).unwrap();
    for target in ["versions/000002", "versions/1", "/etc", "versions/000001/.."] {
        let link = dir.path().join(CURRENT);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(target, &link).unwrap();
        let refused = Store::at(dir.path()).current().unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Link, "{target}");
    }
}
