//! From views to the messages of the Workload API.

use super::feed::Show;
use crate::encoded::wiped;
use crate::views::{Identity, View, X509Answer};
use bytes::Bytes;
use prost::Message;
use signet_model::Entry;
use signet_proto::workload::{JwtBundlesResponse, X509BundlesResponse, X509svid, X509svidResponse};
use signet_spiffe::{Bundle, TrustDomain, jwks};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What clients accept in one message when they change nothing: gRPC's default limit.
const CLIENTS_ACCEPT: usize = 4 << 20;

/// The answer to FetchX509SVID.
pub(super) fn x509_svids(view: &View, _: bool) -> Show {
    let identities = match &view.x509 {
        X509Answer::Denied => return Show::Denied,
        X509Answer::Pending => return Show::Pending,
        X509Answer::Ready(identities) => identities,
    };
    // An SVID without bundle is of no use to anybody, and clients refuse it.
    let Some(bundle) = view
        .bundle
        .as_ref()
        .filter(|b| !b.x509_authorities.is_empty())
    else {
        return Show::Pending;
    };
    let encoded = view.encoded.x509_svids.get_or_init(|| {
        let bundle = Bytes::from(der_of(bundle));
        let svids = identities
            .iter()
            .filter(|one| has_its_hint(&one.entry, &entries(identities)));
        let message = X509svidResponse {
            svids: svids.map(|one| x509_svid(one, &bundle)).collect(),
            crl: Vec::new(),
            federated_bundles: each(view.federated.values(), |bundle| der_of(bundle).into()),
        };
        sized("FetchX509SVID", wiped(message.encode_to_vec()))
    });
    Show::Message(encoded.clone())
}

/// The answer to FetchX509Bundles.
pub(super) fn x509_bundles(view: &View, allow_unauthenticated: bool) -> Show {
    bundles(view, allow_unauthenticated, || {
        let encoded = view.encoded.x509_bundles.get_or_init(|| {
            let message = X509BundlesResponse {
                crl: Vec::new(),
                bundles: each(all(view), |bundle| der_of(bundle).into()),
            };
            sized("FetchX509Bundles", message.encode_to_vec().into())
        });
        encoded.clone()
    })
}

/// The answer to FetchJWTBundles: plain JWK Sets with JWT keys only.
pub(super) fn jwt_bundles(view: &View, allow_unauthenticated: bool) -> Show {
    bundles(view, allow_unauthenticated, || {
        let encoded = view.encoded.jwt_bundles.get_or_init(|| {
            let keys = |bundle: &Bundle| jwks::encode(bundle, jwks::Flavor::JwtOnlyPlain);
            let message = JwtBundlesResponse {
                bundles: each(all(view), |bundle| keys(bundle).into()),
            };
            sized("FetchJWTBundles", message.encode_to_vec().into())
        });
        encoded.clone()
    })
}

fn bundles(view: &View, allow_unauthenticated: bool, message: impl FnOnce() -> Bytes) -> Show {
    if view.entries.is_empty() && !allow_unauthenticated {
        Show::Denied
    } else if view.bundle.is_none() {
        Show::Pending
    } else {
        Show::Message(message())
    }
}

/// The entries whose hint is unique among the others (SPIFFE_Workload_API.md, section 5.2.1): of
/// those that share one, the oldest has it, then the one with the smaller id.
pub(super) fn has_its_hint(entry: &Entry, among: &[&Entry]) -> bool {
    entry.hint.is_empty()
        || !among.iter().any(|other| {
            other.hint == entry.hint
                && (other.created_at, &other.id) < (entry.created_at, &entry.id)
        })
}

fn entries(identities: &[Identity]) -> Vec<&Entry> {
    identities.iter().map(|one| one.entry.as_ref()).collect()
}

fn x509_svid(identity: &Identity, bundle: &Bytes) -> X509svid {
    X509svid {
        spiffe_id: identity.svid.id.to_string(),
        x509_svid: identity.svid.chain.concat().into(),
        x509_svid_key: wiped(identity.svid.key.pkcs8_der().expose().to_vec()),
        bundle: bundle.clone(),
        hint: identity.entry.hint.clone(),
    }
}

fn all(view: &View) -> impl Iterator<Item = &Arc<Bundle>> {
    let own = view.bundle.as_ref().map(|bundle| &bundle.trust_domain);
    let federated = view.federated.values();
    let others = federated.filter(move |bundle| Some(&bundle.trust_domain) != own);
    view.bundle.iter().chain(others)
}

fn each<'a>(
    bundles: impl Iterator<Item = &'a Arc<Bundle>>,
    content: impl Fn(&Bundle) -> Bytes,
) -> BTreeMap<String, Bytes> {
    bundles
        .map(|bundle| (id_of(&bundle.trust_domain), content(bundle)))
        .collect()
}

fn id_of(name: &TrustDomain) -> String {
    name.id_string()
}

fn der_of(bundle: &Bundle) -> Vec<u8> {
    let authorities = bundle.x509_authorities.iter();
    authorities
        .flat_map(|authority| authority.der.iter().copied())
        .collect()
}

fn sized(method: &str, message: Bytes) -> Bytes {
    if message.len() > CLIENTS_ACCEPT {
        tracing::warn!(
            method,
            bytes = message.len(),
            "a message is larger than clients accept by default: \
             the workload matches too many entries or federated bundles"
        );
    }
    message
}
