//! Bundles as text: certificates in PEM, or the SPIFFE bundle document.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use signet_cli::{Failure, text};
use signet_proto::spire::types;
use signet_spiffe::jwks::{self, Flavor};
use signet_spiffe::{Bundle, JwtAuthority, PublicKey, TrustDomain, X509Authority, pem};

/// The form of a bundle in a file or on the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The X.509 authorities in PEM
    #[default]
    Pem,
    /// The SPIFFE bundle document: a JWK set with all authorities
    Spiffe,
}

/// The bundle as text.
pub(super) fn write(bundle: &types::Bundle, format: Format) -> Result<String, Failure> {
    match format {
        Format::Pem => {
            let authorities = bundle.x509_authorities.iter();
            Ok(pem::encode_pem_certs(authorities.map(|one| &one.asn1)))
        }
        Format::Spiffe => {
            let bundle = from_wire(bundle).map_err(|reason| Failure::Content {
                subject: format!("the bundle of {}", bundle.trust_domain),
                reason,
            })?;
            Ok(jwks::encode(&bundle, Flavor::Spiffe) + "\n")
        }
    }
}

/// Reads a bundle of that trust domain.
pub(super) fn read(
    trust_domain: &str,
    content: &str,
    format: Format,
) -> Result<types::Bundle, String> {
    let name = TrustDomain::parse(trust_domain).map_err(explain)?;
    let bundle = match format {
        Format::Pem => Bundle {
            x509_authorities: authorities_from_pem(content)?,
            ..Bundle::empty(name)
        },
        Format::Spiffe => jwks::parse(name, content.as_bytes()).map_err(explain)?,
    };
    Ok(to_wire(&bundle))
}

fn authorities_from_pem(content: &str) -> Result<Vec<X509Authority>, String> {
    let certificates = pem::parse_pem_certs(content).map_err(explain)?;
    if certificates.is_empty() {
        return Err("it has no PEM certificate; for a JWK set give --format spiffe".into());
    }
    let authorities = certificates.iter().map(|der| X509Authority::from_der(der));
    authorities.collect::<Result<_, _>>().map_err(explain)
}

fn from_wire(bundle: &types::Bundle) -> Result<Bundle, String> {
    let x509 = bundle.x509_authorities.iter().map(|one| {
        let authority = X509Authority::from_der(&one.asn1).map_err(explain)?;
        Ok(authority.with_taint(one.tainted))
    });
    let jwt = bundle.jwt_authorities.iter();
    let jwt = jwt.map(|key| authority(&key.public_key, &key.key_id, key.expires_at, key.tainted));
    let wit = bundle.wit_authorities.iter();
    let wit = wit.map(|key| authority(&key.public_key, &key.key_id, key.expires_at, key.tainted));
    Ok(Bundle {
        trust_domain: TrustDomain::parse(&bundle.trust_domain).map_err(explain)?,
        x509_authorities: x509.collect::<Result<_, String>>()?,
        jwt_authorities: jwt.collect::<Result<_, _>>()?,
        wit_authorities: wit.collect::<Result<_, _>>()?,
        refresh_hint: seconds(bundle.refresh_hint),
        sequence: bundle.sequence_number,
    })
}

fn authority(
    public_key: &[u8],
    key_id: &str,
    expires_at: i64,
    tainted: bool,
) -> Result<JwtAuthority, String> {
    let key = PublicKey::from_spki_der(public_key).map_err(explain)?;
    let authority = JwtAuthority::new(key_id.into(), key).map_err(explain)?;
    Ok(JwtAuthority {
        expires_at: seconds(expires_at).map(|since| UNIX_EPOCH + since),
        tainted,
        ..authority
    })
}

fn seconds(seconds: i64) -> Option<Duration> {
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs)
}

fn to_wire(bundle: &Bundle) -> types::Bundle {
    let certificate = |authority: &X509Authority| types::X509Certificate {
        asn1: authority.der.to_vec().into(),
        tainted: authority.tainted,
    };
    let key = |authority: &JwtAuthority| types::JwtKey {
        public_key: authority.public_key.spki_der().to_vec().into(),
        key_id: authority.key_id.clone(),
        expires_at: authority.expires_at.map_or(0, unix_seconds),
        tainted: authority.tainted,
    };
    types::Bundle {
        trust_domain: bundle.trust_domain.name().into(),
        x509_authorities: bundle.x509_authorities.iter().map(certificate).collect(),
        jwt_authorities: bundle.jwt_authorities.iter().map(key).collect(),
        refresh_hint: bundle.refresh_hint.map_or(0, |hint| whole(hint.as_secs())),
        sequence_number: bundle.sequence,
        // A foreign trust domain's WIT keys are not kept by any server.
        wit_authorities: Vec::new(),
    }
}

fn unix_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    whole(since.as_secs())
}

fn whole(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn explain(error: impl std::error::Error) -> String {
    text::with_causes(&error)
}
