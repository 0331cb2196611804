//! The upstream in files: what it signs, and what is wrong with files that it refuses.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DnType, IsCa};
use signet_crypto::{KeyType, SystemRandom};
use signet_runtime::{Clock, Stop, TokioClock};
use signet_spiffe::{TrustDomain, pem};
use signet_upstream::disk::{DiskFiles, DiskUpstream};
use signet_upstream::testing::{Pki, contract, request};
use signet_upstream::{UpstreamAuthority as _, UpstreamCa, UpstreamError, mint};
use tempfile::TempDir;

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn td() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

/// Files of an upstream in a directory of their own.
struct Files {
    dir: TempDir,
    with_bundle: bool,
}

impl Files {
    /// The authority that signs, those between it and the root, and the root as a bundle.
    fn of(pki: &Pki) -> Self {
        let with_bundle = pki.certificates().count() > 1;
        let files = Self {
            dir: tempfile::tempdir().unwrap(),
            with_bundle,
        };
        files.write(pki);
        files
    }

    fn write(&self, pki: &Pki) {
        let mut chain: Vec<_> = pki.certificates().collect();
        chain.reverse();
        if self.with_bundle {
            let root = chain.pop().unwrap();
            self.put("bundle.pem", &pem::encode_pem_certs([root]));
        }
        self.put("cert.pem", &pem::encode_pem_certs(chain));
        self.put("key.pem", &pki.key_pem());
    }

    /// In place of the file before, as an operator would: written beside it and renamed.
    fn put(&self, name: &str, text: &str) {
        let beside = self.path("new");
        fs::write(&beside, text).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(beside, self.path(name)).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn cut(&self, name: &str, keep: impl FnOnce(usize) -> usize) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        self.put(name, &text[..keep(text.len())]);
    }

    fn upstream(&self) -> (DiskUpstream, Arc<dyn Clock>) {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(now()));
        let files = DiskFiles {
            cert_file_path: self.path("cert.pem"),
            key_file_path: self.path("key.pem"),
            bundle_file_path: self.with_bundle.then(|| self.path("bundle.pem")),
        };
        let random = Arc::new(SystemRandom::new());
        let upstream = DiskUpstream::new(files, td(), Arc::clone(&clock), random);
        (upstream, clock)
    }

    async fn mint(&self) -> Result<UpstreamCa, UpstreamError> {
        let (upstream, clock) = self.upstream();
        let (_, request) = request(&td(), KeyType::EcP256);
        mint(&upstream, &request, HOUR, &td(), &clock).await
    }

    /// What the operator reads, and which file it names.
    async fn refusal(&self) -> String {
        let error = self.mint().await.unwrap_err();
        assert!(!error.is_transient(), "{error:?}");
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(error) = next {
            text = format!("{text}: {error}");
            next = error.source();
        }
        assert!(
            text.contains(self.dir.path().to_str().unwrap()),
            "no file is named: {text}"
        );
        text
    }
}

fn root() -> Pki {
    Pki::new("root", now())
}

fn intermediate() -> Pki {
    root().below("between", |_| {}).below("signs", |_| {})
}

#[tokio::test]
async fn a_root_and_an_intermediate_in_files_keep_the_contract() {
    for pki in [root(), intermediate()] {
        let files = Files::of(&pki);
        let (upstream, clock) = files.upstream();
        contract::check(&upstream, &td(), &clock).await;
    }
}

#[tokio::test]
async fn the_chain_leads_over_the_intermediates_to_the_bundle() {
    let ca = Files::of(&root()).mint().await.unwrap();
    assert_eq!(ca.chain.len(), 1);
    let ca = Files::of(&intermediate()).mint().await.unwrap();
    assert_eq!(ca.chain.len(), 3);
    assert_eq!(ca.certificate.not_after, now() + HOUR);
}

#[tokio::test]
async fn an_authority_does_not_outlive_the_upstreams_certificate() {
    let soon = |params: &mut CertificateParams| params.not_after = (now() + HOUR / 2).into();
    let ca = Files::of(&Pki::with_root("root", now(), soon)).mint().await;
    assert_eq!(ca.unwrap().certificate.not_after, now() + HOUR / 2);
}

#[tokio::test]
async fn replaced_files_are_used_at_the_next_signing() {
    let files = Files::of(&root());
    let first = files.mint().await.unwrap();
    let other = root();
    files.write(&other);
    let second = files.mint().await.unwrap();
    assert_ne!(first.root, second.root);
    assert_eq!(second.root, other.root());
}

#[tokio::test]
async fn a_replaced_bundle_is_noticed_and_a_bad_one_changes_nothing() {
    let files = Files::of(&intermediate());
    let (upstream, _) = files.upstream();
    let mut bundle = upstream.bundle();
    let other = intermediate();
    let steps = async {
        bundle.wait_for(Option::is_some).await.unwrap();
        bundle.mark_unchanged();
        files.cut("bundle.pem", |len| len / 2);
        let both = [files.path("bundle.pem"), files.path("cert.pem")];
        assert!(both.iter().all(|path| Path::exists(path)));
        files.write(&other);
        bundle.changed().await.unwrap();
        let known = bundle.borrow().clone().unwrap();
        assert_eq!(known.x509_authorities, [other.root()]);
    };
    tokio::select! {
        () = upstream.follow(Stop::never()) => unreachable!("it follows until it is stopped"),
        () = steps => {}
    }
}

#[tokio::test]
async fn missing_files_are_named() {
    for name in ["cert.pem", "key.pem", "bundle.pem"] {
        let files = Files::of(&intermediate());
        fs::remove_file(files.path(name)).unwrap();
        let refusal = files.refusal().await;
        assert!(refusal.contains("could not read"), "{refusal}");
        assert!(refusal.contains(name), "{refusal}");
    }
}

#[tokio::test]
async fn truncated_files_are_refused() {
    for name in ["cert.pem", "key.pem", "bundle.pem"] {
        let files = Files::of(&intermediate());
        files.cut(name, |len| len - 40);
        let refusal = files.refusal().await;
        assert!(refusal.contains("cut off"), "{refusal}");
        let files = Files::of(&intermediate());
        files.cut(name, |_| 0);
        files.refusal().await;
    }
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused() {
    let files = Files::of(&root());
    files.put("key.pem", &root().key_pem());
    let refusal = files.refusal().await;
    assert!(refusal.contains("does not belong to its key"), "{refusal}");
}

#[tokio::test]
async fn an_expired_authority_is_refused_as_root_and_as_intermediate() {
    let expired = |params: &mut CertificateParams| params.not_after = (now() - HOUR).into();
    let files = Files::of(&Pki::with_root("root", now(), expired));
    let refusal = files.refusal().await;
    assert!(refusal.contains("not valid now"), "{refusal}");
    let files = Files::of(&root().below("signs", expired));
    let refusal = files.refusal().await;
    assert!(refusal.contains("not valid now"), "{refusal}");
}

#[tokio::test]
async fn a_key_that_everybody_can_read_is_refused() {
    let files = Files::of(&root());
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(files.path("key.pem"), open).unwrap();
    let refusal = files.refusal().await;
    assert!(
        refusal.contains("open to all users (mode 0644)"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_chain_that_does_not_lead_to_the_bundle_is_refused() {
    let files = Files::of(&intermediate());
    let other = root();
    let bundle = other.certificates();
    files.put("bundle.pem", &pem::encode_pem_certs(bundle));
    let refusal = files.refusal().await;
    assert!(
        refusal.contains("do not verify with the roots"),
        "{refusal}"
    );
}

#[tokio::test]
async fn an_intermediate_without_a_bundle_is_refused() {
    let mut files = Files::of(&intermediate());
    files.with_bundle = false;
    let refusal = files.refusal().await;
    assert!(refusal.contains("bundle_file_path"), "{refusal}");
}

#[tokio::test]
async fn a_leaf_and_an_authority_whose_name_cannot_be_written_are_refused() {
    let leaf = |params: &mut CertificateParams| params.is_ca = IsCa::ExplicitNoCa;
    let refusal = Files::of(&Pki::with_root("root", now(), leaf))
        .refusal()
        .await;
    assert!(refusal.contains("cannot be a root"), "{refusal}");
    let odd = |params: &mut CertificateParams| {
        let text = rcgen::string::TeletexString::try_from("odd").unwrap();
        params.distinguished_name.push(
            DnType::OrganizationName,
            rcgen::DnValue::TeletexString(text),
        );
    };
    let refusal = Files::of(&Pki::with_root("root", now(), odd))
        .refusal()
        .await;
    assert!(
        refusal.contains("name cannot stand as an issuer"),
        "{refusal}"
    );
}
