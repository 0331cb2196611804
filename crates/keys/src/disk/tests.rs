//! The disk manager against its contract, against damage, and against SPIRE's form.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use signet_crypto::{KeyType, SignatureAlgorithm};

use super::{DiskError, DiskKeys};
use crate::KeyManager;
use crate::testing::contract;

fn path(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("keys.json")
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn disk_keys_keep_the_contract() {
    let root = tempfile::tempdir().unwrap();
    contract::check(async || {
        let directory = tempfile::tempdir_in(root.path()).unwrap().keep();
        DiskKeys::open(directory.join("keys.json")).unwrap()
    })
    .await;
}

#[tokio::test]
async fn keys_are_found_again_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let before = {
        let keys = DiskKeys::open(path(&directory)).unwrap();
        keys.generate("x509-CA-A", KeyType::EcP256).await.unwrap();
        keys.generate("JWT-Signer-A", KeyType::EcP384)
            .await
            .unwrap();
        keys.list().await.unwrap()
    };
    let keys = DiskKeys::open(path(&directory)).unwrap();
    assert_eq!(keys.list().await.unwrap(), before);
    let signer = keys.get("x509-CA-A").await.unwrap().unwrap();
    let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
    let signature = signer.sign(algorithm, b"message").await.unwrap();
    before[1]
        .1
        .verify(algorithm, b"message", &signature)
        .unwrap();
}

#[tokio::test]
async fn the_file_has_the_form_of_spire_and_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let keys = DiskKeys::open(path(&directory)).unwrap();
    keys.generate("b", KeyType::EcP256).await.unwrap();
    keys.generate("a", KeyType::EcP256).await.unwrap();
    let text = fs::read_to_string(path(&directory)).unwrap();
    let lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(lines[0], "{");
    assert_eq!(lines[1], "\t\"keys\": {");
    assert!(lines[2].starts_with("\t\t\"a\": \"MI") && lines[2].ends_with("\","));
    assert!(lines[3].starts_with("\t\t\"b\": \"MI") && lines[3].ends_with('"'));
    assert_eq!(lines[4..], ["\t}", "}"]);
    assert_eq!(mode(&path(&directory)), 0o600);
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "no temporary file stays behind");
}

#[test]
fn a_file_made_by_openssl_on_another_machine_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let key = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgRGNS9YwHJ+6cwify9BqvSKXpNFuVtfahtpv/k+DGDcqhRANCAATvJxxXmOt4B4Cddut1ljxUy1Ntku7oPRM4b+8vlBO01fjVRctm8FgjeDliffxr4KLMGqNN4fyMthp4H5y8flzO";
    put(
        &path(&directory),
        &format!("{{\"keys\":{{\"agent-svid-A\":\"{key}\"}},\"later\":1}}"),
    );
    DiskKeys::open(path(&directory)).unwrap();
}

#[test]
fn an_agents_key_directory_is_made_private() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("a/keys");
    DiskKeys::open_in(&inner).unwrap();
    assert_eq!(mode(&inner), 0o700);
}

#[test]
fn a_missing_directory_is_refused_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let error = DiskKeys::open(directory.path().join("none/keys.json")).unwrap_err();
    assert!(matches!(&error, DiskError::Unwritable { path, .. } if path.ends_with("none")));
}

#[test]
fn a_truncated_file_is_refused_with_the_place_and_without_its_text() {
    let directory = tempfile::tempdir().unwrap();
    put(
        &path(&directory),
        "{\n\t\"keys\": {\n\t\t\"a\": \"MIGHAgEAMBMGByqGSM49",
    );
    let error = DiskKeys::open(path(&directory)).unwrap_err();
    assert!(matches!(error, DiskError::Damaged { line: 3, .. }));
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("keys.json") && shown.contains("backup"));
    assert!(!shown.contains("MIGH"));
}

#[test]
fn garbage_an_empty_file_and_a_wrong_shape_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for text in [
        "",
        "not json",
        "[]",
        "{}",
        r#"{"keys":[]}"#,
        r#"{"keys":{"a":7}}"#,
        "{\"keys\":{}} x",
    ] {
        put(&path(&directory), text);
        let error = DiskKeys::open(path(&directory)).unwrap_err();
        assert!(
            matches!(error, DiskError::Damaged { .. }),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_key_that_is_not_base64_or_not_pkcs8_is_refused_by_its_id() {
    let directory = tempfile::tempdir().unwrap();
    put(&path(&directory), r#"{"keys":{"x509-CA-A":"%%%"}}"#);
    let error = DiskKeys::open(path(&directory)).unwrap_err();
    assert!(matches!(&error, DiskError::NotBase64 { id, .. } if id == "x509-CA-A"));
    put(&path(&directory), r#"{"keys":{"x509-CA-A":"AAAA"}}"#);
    let error = DiskKeys::open(path(&directory)).unwrap_err();
    assert!(matches!(&error, DiskError::BadKey { id, .. } if id == "x509-CA-A"));
}

#[test]
fn a_file_open_to_all_is_refused_and_one_open_to_its_group_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    put(&path(&directory), r#"{"keys":{}}"#);
    fs::set_permissions(path(&directory), fs::Permissions::from_mode(0o644)).unwrap();
    let error = DiskKeys::open(path(&directory)).unwrap_err();
    assert!(matches!(error, DiskError::OpenToAll { mode: 0o644, .. }));
    assert!(error.to_string().contains("chmod 600"));
    fs::set_permissions(path(&directory), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(
        DiskKeys::open(path(&directory)).unwrap().warnings().len(),
        1
    );
    fs::set_permissions(path(&directory), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(
        DiskKeys::open(path(&directory))
            .unwrap()
            .warnings()
            .is_empty()
    );
}

#[test]
fn a_file_too_large_for_keys_is_refused_unread() {
    let directory = tempfile::tempdir().unwrap();
    put(&path(&directory), "");
    fs::File::options()
        .write(true)
        .open(path(&directory))
        .unwrap()
        .set_len(5 << 20)
        .unwrap();
    let error = DiskKeys::open(path(&directory)).unwrap_err();
    assert!(matches!(error, DiskError::TooLarge { .. }));
}

#[tokio::test]
async fn a_write_that_fails_leaves_file_and_keys_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    let keys = DiskKeys::open_in(&inner).unwrap();
    let first = keys.generate("a", KeyType::EcP256).await.unwrap();
    fs::rename(&inner, directory.path().join("away")).unwrap();
    let error = keys.generate("a", KeyType::EcP256).await.err().unwrap();
    assert!(error.is_transient());
    let still = keys.get("a").await.unwrap().unwrap();
    assert_eq!(still.public_key(), first.public_key());
}

#[tokio::test]
async fn a_temporary_file_left_by_a_crash_is_no_hindrance() {
    let directory = tempfile::tempdir().unwrap();
    let left = directory.path().join("keys.json.tmp");
    fs::write(&left, "half").unwrap();
    let keys = DiskKeys::open(path(&directory)).unwrap();
    keys.generate("a", KeyType::EcP256).await.unwrap();
    assert_eq!(mode(&path(&directory)), 0o600);
    assert!(!left.exists());
}
