//! X.509-SVIDs of a Workload API answer: read, shown, and written to files.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use signet_cli::{Failure, files, text};
use signet_crypto::{SecretString, pem};
use signet_proto::workload::{X509svid, X509svidResponse};
use signet_spiffe::certificate::{Certificate, split_concatenated};
use signet_spiffe::pem::encode_pem_certs;

/// More certificates than any chain or bundle has.
const MAX_CERTIFICATES: usize = 2048;

/// One line for each identity's validity, in SPIRE's shape.
pub(super) fn shown(response: &X509svidResponse) -> Result<String, Failure> {
    let mut parts = Vec::new();
    for svid in &response.svids {
        let mut part = identity(svid)?;
        for (trust_domain, bundle) in &response.federated_bundles {
            for (index, authority) in certificates(bundle)?.iter().enumerate() {
                part.push_str(&validity(
                    &format!("[{trust_domain}] CA #{}", index + 1),
                    authority,
                ));
            }
        }
        parts.push(part);
    }
    Ok(parts.join("\n"))
}

fn identity(svid: &X509svid) -> Result<String, Failure> {
    let mut lines = format!("SPIFFE ID:\t\t{}\n", svid.spiffe_id);
    if !svid.hint.is_empty() {
        lines.push_str(&format!("Hint:\t\t\t{}\n", svid.hint));
    }
    for (index, certificate) in certificates(&svid.x509_svid)?.iter().enumerate() {
        let name = match index {
            0 => "SVID".into(),
            index => format!("Intermediate #{index}"),
        };
        lines.push_str(&validity(&name, certificate));
    }
    for (index, authority) in certificates(&svid.bundle)?.iter().enumerate() {
        lines.push_str(&validity(&format!("CA #{}", index + 1), authority));
    }
    Ok(lines)
}

fn validity(name: &str, certificate: &Certificate) -> String {
    let after = text::timestamp(unix_seconds(certificate.not_before));
    let until = text::timestamp(unix_seconds(certificate.not_after));
    format!("{name} Valid After:\t{after}\n{name} Valid Until:\t{until}\n")
}

fn unix_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn certificates(concatenated: &[u8]) -> Result<Vec<Certificate>, Failure> {
    let each = split_concatenated(concatenated, MAX_CERTIFICATES);
    let each = each.and_then(|each| each.into_iter().map(Certificate::parse).collect());
    each.map_err(unreadable)
}

fn unreadable(error: impl std::error::Error) -> Failure {
    Failure::Content {
        subject: "the answer".into(),
        reason: text::with_causes(&error),
    }
}

/// Writes SVIDs, keys and bundles under SPIRE's names, and says what was written.
pub(super) fn write(response: &X509svidResponse, folder: &Path) -> Result<String, Failure> {
    let mut said = String::new();
    for (index, svid) in response.svids.iter().enumerate() {
        let name = |what: &str| folder.join(format!("{what}.{index}.pem"));
        said += &write_certificates(&format!("SVID #{index}"), &name("svid"), &svid.x509_svid)?;
        let key = folder.join(format!("svid.{index}.key"));
        said += &write_key(&format!("key #{index}"), &key, &svid.x509_svid_key)?;
        said += &write_certificates(&format!("bundle #{index}"), &name("bundle"), &svid.bundle)?;
        for (place, (trust_domain, bundle)) in response.federated_bundles.iter().enumerate() {
            let what = format!("federated bundle #{place} for trust domain {trust_domain}");
            let path = folder.join(format!("federated_bundle.{index}.{place}.pem"));
            said += &write_certificates(&what, &path, bundle)?;
        }
    }
    Ok(said)
}

fn write_certificates(what: &str, path: &Path, concatenated: &[u8]) -> Result<String, Failure> {
    let each = split_concatenated(concatenated, MAX_CERTIFICATES).map_err(unreadable)?;
    files::write_public(path, encode_pem_certs(each).as_bytes())?;
    Ok(written(what, path))
}

fn write_key(what: &str, path: &Path, pkcs8: &[u8]) -> Result<String, Failure> {
    let key = SecretString::new(pem::encode("PRIVATE KEY", pkcs8));
    files::write_private(path, key.expose().as_bytes())?;
    Ok(written(what, path))
}

fn written(what: &str, path: &Path) -> String {
    format!("Writing {what} to file {}.\n", path.display())
}
