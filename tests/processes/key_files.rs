//! Key files that are damaged, open to others, of another type or of another server: an error that
//! says what to do, or a new authority that is published before it signs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use signet_tests::scene::directory;
use signet_tests::{Maker, Server, ServerSettings};
use tempfile::TempDir;

use crate::judges::assert_mints;
use crate::key_types::server_with;

const P256: [&str; 2] = ["ec-p256", "ec-p256"];

/// A server that has run and was stopped.
async fn stopped() -> (TempDir, Server) {
    stopped_with(&ServerSettings::new(Maker::Signet)).await
}

async fn stopped_with(settings: &ServerSettings) -> (TempDir, Server) {
    let directory = directory();
    let mut server = Server::start(directory.path(), settings).await;
    server.process.take().unwrap().terminate().await;
    (directory, server)
}

fn key_file(server: &Server) -> PathBuf {
    server.data_dir.join("keys.json")
}

/// Replaces what is in the file, not its mode.
fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

fn keys_in(path: &Path) -> Map<String, Value> {
    let document: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    document["keys"].as_object().unwrap().clone()
}

#[tokio::test]
async fn a_truncated_key_file_stops_the_server_and_names_the_place() {
    let (_directory, server) = stopped().await;
    let path = key_file(&server);
    let whole = fs::read_to_string(&path).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        put(&path, &whole[..length]);
        let said = server.refusal().await;
        assert!(said.contains("is damaged at line"), "{length}: {said}");
        assert!(
            said.contains("keys.json") && said.contains("backup"),
            "{said}"
        );
        assert!(!said.contains("MIG"), "no piece of a key is shown: {said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), whole[..length]);
    }
}

#[tokio::test]
async fn a_key_that_is_none_stops_the_server_and_is_named() {
    let (_directory, server) = stopped().await;
    let path = key_file(&server);
    for (id, key) in keys_in(&path) {
        let cut = &key.as_str().unwrap()[..40];
        put(&path, &format!("{{\"keys\":{{\"{id}\":\"{cut}\"}}}}"));
        let said = server.refusal().await;
        assert!(said.contains(&id) && said.contains("PKCS#8"), "{said}");
        assert!(!said.contains(cut), "{said}");
    }
}

#[tokio::test]
async fn a_key_file_open_to_all_stops_the_server_and_one_open_to_its_group_does_not() {
    let (directory, mut server) = stopped().await;
    let path = key_file(&server);
    for mode in [0o604, 0o644, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let said = server.refusal().await;
        assert!(said.contains("chmod 600"), "{said}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    server.resume().await;
    assert!(server.log().contains("is open to its group"));
    assert_mints(&server, &directory.path().join("svids"), P256).await;
}

/// After this the server has authorities other than those whose keys it lost, and says so. Whatever
/// it signs verifies with the bundle that it publishes.
async fn assert_starts_over(directory: &Path, server: &mut Server, key_types: [&str; 2]) {
    let before = server.log().len();
    server.resume().await;
    let said = server.log()[before..].to_owned();
    assert!(said.contains("an authority is given up"), "{said}");
    let svids = directory.join("svids");
    assert_mints(server, &svids, key_types).await;
    let bundle = fs::read_to_string(svids.join("bundle.pem")).unwrap();
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2, "{bundle}");
}

#[tokio::test]
async fn the_key_file_of_another_server_signs_nothing() {
    let (directory, mut server) = stopped().await;
    let (_other_directory, other) = stopped().await;
    fs::copy(key_file(&other), key_file(&server)).unwrap();
    let foreign = keys_in(&key_file(&other));
    assert_starts_over(directory.path(), &mut server, P256).await;
    let now = keys_in(&key_file(&server));
    let signing = now
        .values()
        .filter(|key| !foreign.values().any(|other| other == *key));
    assert!(signing.count() >= 2, "X.509 and JWT have keys of their own");
}

#[tokio::test]
async fn keys_of_another_type_than_the_authorities_sign_nothing() {
    let (directory, mut server) = stopped().await;
    let (_other_directory, other) = stopped_with(&server_with("ec-p384", "rsa-2048")).await;
    fs::copy(key_file(&other), key_file(&server)).unwrap();
    assert_starts_over(directory.path(), &mut server, P256).await;
}

#[tokio::test]
async fn exchanged_keys_sign_nothing() {
    let (directory, mut server) = stopped().await;
    let path = key_file(&server);
    let keys = keys_in(&path);
    let mut exchanged = keys.clone();
    for (id, (_, key)) in keys.keys().zip(keys.iter().rev()) {
        exchanged.insert(id.clone(), key.clone());
    }
    assert_ne!(exchanged, keys);
    put(&path, &serde_json::json!({ "keys": exchanged }).to_string());
    assert_starts_over(directory.path(), &mut server, P256).await;
}

#[tokio::test]
async fn a_missing_key_file_makes_new_authorities() {
    let (directory, mut server) = stopped().await;
    fs::remove_file(key_file(&server)).unwrap();
    assert_starts_over(directory.path(), &mut server, P256).await;
}

#[tokio::test]
async fn a_changed_key_type_leaves_the_authority_of_now_and_is_for_the_next() {
    let (directory, mut server) = stopped().await;
    server.configure(&server_with("rsa-2048", "ec-p384"));
    let keys = keys_in(&key_file(&server));
    server.resume().await;
    assert_mints(&server, &directory.path().join("same"), P256).await;
    assert_eq!(keys_in(&key_file(&server)), keys);
    server.process.take().unwrap().terminate().await;
    // The next authority is made because the one of now is gone.
    fs::remove_file(key_file(&server)).unwrap();
    assert_starts_over(directory.path(), &mut server, ["rsa-2048", "ec-p384"]).await;
}
