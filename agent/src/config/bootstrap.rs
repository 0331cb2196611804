//! The keys of the `agent` block that say how the server is known before anything is known:
//! `trust_bundle_*`, `insecure_bootstrap`, `rebootstrap_*`.

use std::path::PathBuf;

use http::Uri;
use signet_config::{Key, Section};

const NO_REBOOTSTRAP: &str = "has no effect yet: a server that the stored bundle does not prove is \
     never trusted; to trust a new bundle, stop the agent, remove its data directory and start it";

/// Rows for the key table of the `agent` block.
pub(super) const BOOTSTRAP_KEYS: [Key; 8] = [
    Key::implemented("trust_bundle_path"),
    Key::implemented("trust_bundle_url"),
    Key::implemented("trust_bundle_unix_socket"),
    Key::implemented("trust_bundle_format"),
    Key::implemented("insecure_bootstrap"),
    Key::implemented("rebootstrap_mode"),
    Key::implemented("rebootstrap_delay"),
    Key::refused(
        "trust_bundle_spiffe_workload_api",
        "write that agent's bundle to a file and give it as trust_bundle_path",
    ),
];

const FORMATS: [(&str, BundleFormat); 2] =
    [("pem", BundleFormat::Pem), ("spiffe", BundleFormat::Spiffe)];

const ONE_SOURCE: &str = "is required, or trust_bundle_url, or insecure_bootstrap = true";

/// Where the first bundle comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleSource {
    /// `trust_bundle_path`.
    File {
        /// The file.
        path: PathBuf,
        /// Its form.
        format: BundleFormat,
    },
    /// `trust_bundle_url`, fetched over HTTPS with the system's roots.
    Url {
        /// An `https` URL.
        url: Uri,
        /// The form of what is fetched.
        format: BundleFormat,
    },
    /// `trust_bundle_url`, fetched over plain HTTP from `trust_bundle_unix_socket`.
    UnixSocket {
        /// An `http` URL; its host only names.
        url: Uri,
        /// The socket.
        socket: PathBuf,
        /// The form of what is fetched.
        format: BundleFormat,
    },
    /// `insecure_bootstrap`: the first server that answers is believed.
    Insecure,
}

/// `trust_bundle_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BundleFormat {
    /// Concatenated certificates: the default.
    #[default]
    Pem,
    /// A JWKS document.
    Spiffe,
}

/// `None` where a problem was found.
pub(super) fn read(block: &Section<'_>) -> Option<BundleSource> {
    check_rebootstrap(block);
    let format = block
        .choice("trust_bundle_format", &FORMATS)
        .unwrap_or_default();
    let path = block.path("trust_bundle_path");
    let insecure = block.bool("insecure_bootstrap").unwrap_or(false);
    let has_url = block.is_set("trust_bundle_url");
    if !has_url && block.is_set("trust_bundle_unix_socket") {
        block.problem(
            "trust_bundle_unix_socket",
            "needs trust_bundle_url beside it",
        );
    }
    if insecure && (has_url || path.is_some()) {
        block.warn(
            "insecure_bootstrap",
            "has no effect: the given trust bundle is used",
        );
    }
    match (path, has_url) {
        (Some(path), false) => Some(BundleSource::File { path, format }),
        (None, true) => from_url(block, format),
        (Some(_), true) => {
            block.problem(
                "trust_bundle_url",
                "stands beside trust_bundle_path; give one of them",
            );
            None
        }
        (None, false) if insecure => Some(BundleSource::Insecure),
        (None, false) => {
            block.problem("trust_bundle_path", ONE_SOURCE);
            None
        }
    }
}

fn from_url(block: &Section<'_>, format: BundleFormat) -> Option<BundleSource> {
    let key = "trust_bundle_url";
    let url = block.parsed(key, |text| text.parse::<Uri>().map_err(|_| "is no URL"))?;
    match block.socket_path("trust_bundle_unix_socket") {
        None if url.scheme_str() == Some("https") && url.host().is_some() => {
            Some(BundleSource::Url { url, format })
        }
        None => {
            block.problem(key, "must start with https:// and name a host");
            None
        }
        Some(socket) => over_unix_socket(block, url, socket, format),
    }
}

/// The agent itself adds query keys of these prefixes, which the answering side trusts.
fn over_unix_socket(
    block: &Section<'_>,
    url: Uri,
    socket: PathBuf,
    format: BundleFormat,
) -> Option<BundleSource> {
    let key = "trust_bundle_url";
    let mut query = url.query().unwrap_or("").split('&');
    if query.any(|pair| pair.starts_with("spiffe-") || pair.starts_with("spire-")) {
        block.problem(
            key,
            "must have no query key that starts with \"spiffe-\" or \"spire-\"",
        );
    }
    if url.scheme_str() != Some("http") {
        block.problem(
            key,
            "must start with http:// beside trust_bundle_unix_socket",
        );
        return None;
    }
    Some(BundleSource::UnixSocket {
        url,
        socket,
        format,
    })
}

/// Not re-bootstrapping is the default and all there is: safe, but an operator may count on more.
fn check_rebootstrap(block: &Section<'_>) {
    block.duration("rebootstrap_delay");
    let modes = [("never", false), ("auto", true), ("always", true)];
    if block.choice("rebootstrap_mode", &modes) == Some(true) {
        block.warn("rebootstrap_mode", NO_REBOOTSTRAP);
    }
}
